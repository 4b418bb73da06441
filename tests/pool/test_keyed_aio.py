"""A keyed pool for asyncio: as for threads, and what a cancel may do at each suspension."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

from cenote import AsyncKeyedPool, LeaseError, NestedAcquire, PoolClosed, PoolTimeout, WrongLoop
from tests.cancellation import Victim
from tests.conftest import Proof
from tests.pool.async_world import pass_turns
from tests.pool.conftest import Run
from tests.pool.doubles import Behaviour, GatedConnector, Resource
from tests.pool.invariants import assert_closed_once
from tests.pool.virtual_time import virtual_clock


class Hosts:
    """A connector for each key, all of them under the test's control."""

    def __init__(self, **behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connectors: dict[str, GatedConnector] = {}

    def __call__(self, key: str) -> GatedConnector:
        assert key not in self.connectors or self.connectors[key].calls["connect"]
        return self.connectors.setdefault(key, GatedConnector(clean=True, **self.behaviour))

    @property
    def resources(self) -> list[Resource]:
        return [one for connector in self.connectors.values() for one in connector.resources]

    @property
    def live(self) -> int:
        return sum(len(connector.live) for connector in self.connectors.values())


async def use(
    pool: AsyncKeyedPool[str, Resource], key: str, turns: int = 2, timeout: float = 60.0
) -> Resource:
    """Hold a connection to a key for some turns of the loop."""
    async with pool.connection(key, timeout) as conn:
        conn.hold(key)
        try:
            await pass_turns(turns)
        finally:
            conn.let_go()
    return conn


async def at_rest(pool: AsyncKeyedPool[str, Resource]) -> None:
    """Wait until nobody waits and nothing is under way."""
    for _ in range(300):
        stats = pool.stats()
        if stats.size == stats.idle and not stats.waiting:
            return
        await asyncio.sleep(0)
    pytest.fail(f"something goes on for ever: {pool.stats()}")


def test_connections_are_kept_by_key_and_make_room_for_each_other(run: Run) -> None:
    async def scenario() -> None:
        hosts = Hosts()
        async with AsyncKeyedPool(hosts, max_total=2) as pool:
            first = await use(pool, "a")
            await use(pool, "b")
            assert await use(pool, "a") is first
            await use(pool, "c")
            await at_rest(pool)
            assert sorted(pool.keys()) == ["a", "c"]
            assert pool.stats().closed["evicted"] == 1
        assert hosts.live == 0

    run(scenario)


def test_a_task_that_would_wait_for_a_slot_that_its_other_key_holds_is_told(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts(), max_total=2, nested="error") as pool:
            async with pool.connection("a"), pool.connection("b"):
                with pytest.raises(NestedAcquire, match="raise max_total"):
                    await pool.acquire("c")
            async with pool.connection("c"), pool.connection("a"):
                pass  # what lies idle makes room

    run(scenario)


def test_acquire_and_release_find_the_key_by_themselves(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts()) as pool:
            one, other = await pool.acquire("a"), await pool.acquire("b")
            assert pool.try_acquire("c") is None
            pool.release(one)
            with pytest.raises(LeaseError, match="released twice, or foreign"):
                pool.release(one)
            assert pool.detach(other) is other
            await at_rest(pool)
            assert pool.stats().detached == 1
        assert other.closes == 0

    run(scenario)


def test_the_errors_of_a_key_that_is_crowded_out_say_by_whom(virtually: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts(), max_total=1, clock=virtual_clock()) as pool:
            async with pool.connection("a"):
                with pytest.raises(PoolTimeout, match=r"1/1 slots of all keys taken.*max_total"):
                    await pool.acquire("b", timeout=1.0)
            await use(pool, "b")

    virtually(scenario)


@pytest.mark.stress
def test_keys_that_wait_are_served_in_turn(virtually: Run) -> None:
    async def scenario() -> None:
        clock, served, waits = virtual_clock(), Counter[str](), [0.0]
        pool = AsyncKeyedPool(Hosts(), max_total=2, max_per_key=2, turn_after=0.5, clock=clock)

        async def keep_using(key: str) -> None:
            while clock.now < 1020.0:
                since = clock.now
                async with pool.connection(key, timeout=None):
                    waits.append(clock.now - since)
                    await asyncio.sleep(0.01)
                    served[key] += 1

        async with pool:
            callers = ["busy"] * 6 + ["a", "b", "c"]
            await asyncio.gather(*map(keep_using, callers))
        assert all(served[key] > 20 for key in "abc"), served
        assert 0.4 < max(waits) < 0.6, "it is a turn that a key waits, and hardly more"

    virtually(scenario)


def test_a_keyed_pool_belongs_to_one_loop_all_keys_together() -> None:
    pool = AsyncKeyedPool(Hosts())

    async def scenario(key: str) -> None:
        await use(pool, key)

    with asyncio.Runner() as first:
        first.run(scenario("a"))
        with asyncio.Runner() as second, pytest.raises(WrongLoop, match="one pool for each"):
            second.run(scenario("b"))
        first.run(pool.close())


def test_closing_ends_within_one_timeout_what_hangs_too(virtually: Run) -> None:
    async def scenario() -> None:
        hosts = Hosts(close=Behaviour.NEVER)
        pool = AsyncKeyedPool(hosts, clock=virtual_clock())
        for key in "abc":
            await use(pool, key)
        held = await pool.acquire("d")
        waiting = asyncio.create_task(use(pool, "e"))
        await asyncio.sleep(0)
        report = await pool.close(timeout=2.0)
        assert report.seconds <= 3.0
        assert report.abandoned == 1
        with pytest.raises(PoolClosed):
            await use(pool, "z")
        with pytest.raises(PoolClosed):
            await waiting
        pool.release(held)
        await pass_turns(5)
        assert (await pool.close()).complete or held.closes == 1

    virtually(scenario)


def test_draining_waits_for_every_key(virtually: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts(), max_total=1, clock=virtual_clock()) as pool:
            held = await pool.acquire("a")
            waiting = asyncio.create_task(use(pool, "b"))
            await pass_turns(3)
            assert not await pool.drain(timeout=1.0)
            pool.release(held)
            assert await pool.drain(timeout=10.0)
            await waiting
            with pytest.raises(PoolClosed):
                await use(pool, "a")

    virtually(scenario)


def test_limits_are_lowered_for_all_keys(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts(), max_total=4, max_per_key=2) as pool:
            held = [await pool.acquire(key) for key in "aabb"]
            assert sorted(str(holder.key) for holder in pool.holders()) == ["a", "a", "b", "b"]
            pool.resize(2, 1)
            for conn in held:
                pool.release(conn)
            await at_rest(pool)
            assert 1 <= pool.stats().size <= 2
            assert all(stats.size == 1 for stats in pool.stats_by_key().values())
            pool.invalidate_all(pool.keys()[0])
            await pass_turns(20)
            assert pool.stats().closed["invalidated"] == 1
            assert pool.holders() == []

    run(scenario)


def test_a_pause_holds_for_keys_that_come_later_too(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(Hosts()) as pool:
            await use(pool, "a")
            pool.pause()
            for key in "ab":
                with pytest.raises(PoolTimeout, match="the pool is paused"):
                    await pool.acquire(key, timeout=0)
            pool.resume()
            for key in "ab":
                await use(pool, key)

    run(scenario)


@pytest.mark.proof
def test_a_cancelled_caller_of_one_key_takes_nothing_from_another(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        hosts = Hosts()
        pool = AsyncKeyedPool(hosts, max_total=1, max_per_key=1, turn_after=60.0)
        holder = asyncio.create_task(use(pool, "a", turns=4))
        await pass_turns(3)
        victim.start(use(pool, "b"))
        await pass_turns(1)
        others = [asyncio.create_task(use(pool, key)) for key in "cab"]
        await victim.ended()
        await asyncio.wait_for(asyncio.gather(holder, *others), 5)
        await at_rest(pool)
        assert pool.stats().size == 1
        await pool.close()
        assert_closed_once(hosts.resources)
        assert not pool.keyring.held

    proof(scenario)


@pytest.mark.proof
@pytest.mark.parametrize("hanging", ["connect", "close"])
def test_what_is_slow_for_a_key_that_gave_up_serves_the_next(proof: Proof, hanging: str) -> None:
    async def scenario(victim: Victim) -> None:
        hosts = Hosts()
        pool = AsyncKeyedPool(hosts, max_total=1, turn_after=60.0)
        await use(pool, "a")
        hosts.behaviour = {hanging: Behaviour.SLOW}
        hosts.connectors["a"].behaviour[hanging] = Behaviour.SLOW
        victim.start(use(pool, "b"))
        await pass_turns(4)
        other = asyncio.create_task(use(pool, "c"))
        await pass_turns(2)
        opening = asyncio.create_task(let_through(hosts))
        await victim.ended()
        await asyncio.wait_for(other, 5)
        await at_rest(pool)
        await pool.close()
        opening.cancel()
        await asyncio.wait([opening])
        assert_closed_once(hosts.resources)

    proof(scenario)


async def let_through(hosts: Hosts) -> None:
    """Let everything slow pass, turn by turn."""
    while True:
        for connector in list(hosts.connectors.values()):
            for gate in connector.gates.values():
                gate.open_all()
        await asyncio.sleep(0)


def test_a_forked_child_begins_anew_in_a_loop_of_its_own() -> None:
    pool = AsyncKeyedPool(Hosts())

    async def in_child() -> None:
        assert pool.keys() == []
        await use(pool, "a")
        assert pool.stats().created == 1
        await pool.close()

    async def scenario() -> None:
        kept = await use(pool, "a")
        child = os.fork()
        if not child:  # pragma: no cover - in the child
            os._exit(_outcome_of(in_child))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await use(pool, "a") is kept
        await pool.close()

    asyncio.run(scenario())


def _outcome_of(scenario: object) -> int:
    assert callable(scenario)
    asyncio._set_running_loop(None)  # the parent's, which does not run here
    try:
        asyncio.run(scenario())
    except BaseException:
        return 1
    return 0
