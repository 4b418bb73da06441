"""The asyncio pool under a cancel, and two, at every point where a task can be cancelled.

Strategy: see ``tests/cancellation.py``. Each scenario is small, ends in a bounded number of turns,
and has somebody else who needs what the victim was about to get. In every schedule the invariants
hold at each turn, nobody waits for ever, nothing is lost, and the pool closes clean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.cancellation import Victim, prove
from tests.conftest import Proof
from tests.pool.async_world import World, pass_turns
from tests.pool.doubles import Behaviour, GatedConnector
from tests.pool.virtual_time import VirtualLoop

pytestmark = pytest.mark.proof


@pytest.fixture(
    params=[
        {"fairness": "eventual", "fair_after": 0.001},
        {"fairness": "eventual", "fair_after": 0.0},
        {"fairness": "strict"},
        {"fairness": "barging"},
    ],
    ids=["eventual, young", "eventual, old", "strict", "barging"],
)
def fairness(request: pytest.FixtureRequest) -> dict[str, Any]:
    options: dict[str, Any] = request.param
    return options


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "to be reset"])
def test_a_cancelled_waiter_passes_its_grant_on(
    proof: Proof, fairness: dict[str, Any], clean: bool
) -> None:
    """aiohttp: woken and cancelled in one turn, and the next waiter hung with nothing in use."""

    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(clean=clean), max_size=1, **fairness)
        holder = asyncio.create_task(world.use("holder", turns=4))
        await pass_turns(3)
        victim.start(world.use("victim"))
        await pass_turns(1)
        next_one = asyncio.create_task(world.use("next"))
        await victim.ended()
        await asyncio.wait_for(asyncio.gather(holder, next_one), 5)
        await world.end()

    proof(scenario)


def test_a_connection_is_opened_on_although_its_caller_is_cancelled(proof: Proof) -> None:
    """Opening belongs to the pool: the result goes to the next waiter, or to idle."""

    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(connect=Behaviour.SLOW), max_size=1)
        victim.start(world.use("victim"))
        await pass_turns(5)
        world.connector.gates["connect"].open()
        await victim.ended()
        await world.rest()
        assert world.connector.calls["connect"] == 1
        await world.end()

    proof(scenario)


def test_a_cancelled_waiter_leaves_the_connection_being_opened_to_the_next(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(connect=Behaviour.SLOW), max_size=1)
        victim.start(world.use("victim"))
        await pass_turns(2)
        others = [asyncio.create_task(world.use(f"other {n}")) for n in range(2)]
        await pass_turns(4)
        for _ in range(60):
            world.connector.gates["connect"].open_all()
            await pass_turns(1)
        await victim.ended()
        await asyncio.wait_for(asyncio.gather(*others), 5)
        await world.end()

    proof(scenario)


def test_a_cancel_in_a_wait_for_a_check_leaves_the_connection_to_the_pool(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(max_size=1, check_after=0.0)
        await world.use("first")
        world.connector.behaviour["check"] = Behaviour.SLOW
        victim.start(world.use("victim"))
        await pass_turns(2)
        next_one = asyncio.create_task(world.use("next"))
        await pass_turns(4)
        for _ in range(60):
            world.connector.gates["check"].open_all()
            await pass_turns(1)
        await victim.ended()
        await asyncio.wait_for(next_one, 5)
        await world.end()

    proof(scenario)


def test_a_cancel_while_a_dead_connection_is_replaced_loses_no_slot(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(max_size=1, check_after=0.0)
        (await world.use("first")).alive = False
        victim.start(world.use("victim"))
        await pass_turns(2)
        next_one = asyncio.create_task(world.use("next"))
        await victim.ended()
        await asyncio.wait_for(next_one, 5)
        await world.end()

    proof(scenario)


def test_a_cancelled_releaser_interrupts_no_reset(proof: Proof) -> None:
    """redis-py: a second cancel during an awaiting release leaked the connection for ever."""

    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(reset=Behaviour.SLOW), max_size=1)

        async def work() -> None:
            try:
                await world.use("victim")
            finally:
                await pass_turns(3)

        victim.start(work())
        await pass_turns(3)
        next_one = asyncio.create_task(world.use("next"))
        await victim.ended()
        for _ in range(20):
            world.connector.gates["reset"].open_all()
            await pass_turns(1)
        await asyncio.wait_for(next_one, 5)
        await world.end()

    proof(scenario)


def test_acquire_and_release_by_hand_survive_a_cancel_in_between(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(max_size=1)

        async def work() -> None:
            resource = await world.pool.acquire()
            try:
                await pass_turns(2)
            finally:
                resource.clean = True
                world.pool.release(resource)

        victim.start(work())
        next_one = asyncio.create_task(world.use("next"))
        await victim.ended()
        await asyncio.wait_for(next_one, 5)
        await world.end()

    proof(scenario)


def test_a_task_that_holds_one_and_waits_for_another_gives_back_both(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(max_size=2)
        holder = asyncio.create_task(world.use("holder", turns=8))
        await pass_turns(2)

        async def work() -> None:
            async with world.pool.connection():
                await world.use("victim")

        victim.start(work())
        others = [asyncio.create_task(world.use(f"other {n}")) for n in range(2)]
        await victim.ended()
        await asyncio.wait_for(asyncio.gather(holder, *others), 5)
        await world.end()

    proof(scenario)


@pytest.mark.parametrize("place", range(4))
def test_all_other_waiters_are_served_wherever_in_the_queue_one_is_cancelled(
    proof: Proof, fairness: dict[str, Any], place: int
) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(max_size=2, **fairness)
        others = []
        for number in range(5):
            if number == place:
                victim.start(world.use("victim"))
            else:
                others.append(asyncio.create_task(world.use(f"other {number}", turns=3)))
            await pass_turns(1)
        await victim.ended()
        await asyncio.wait_for(asyncio.gather(*others), 5)
        await world.end()

    proof(scenario)


def test_a_cancelled_close_has_closed_the_pool_all_the_same(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(close=Behaviour.SLOW), max_size=2)
        await world.use("first")
        holder = asyncio.create_task(world.use("holder", turns=6))
        await pass_turns(2)
        victim.start(world.pool.close())
        await pass_turns(4)
        for _ in range(20):
            world.connector.gates["close"].open_all()
            await pass_turns(1)
        await victim.ended()
        await holder
        world.connector.behaviour["close"] = Behaviour.OK
        await pass_turns(5)
        await world.end()

    proof(scenario)


def test_a_cancelled_open_or_drain_leaves_a_pool_that_works(proof: Proof) -> None:
    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(connect=Behaviour.SLOW), max_size=2, min_size=2)

        async def work() -> None:
            await world.pool.open(wait=True, timeout=60.0)
            holder = asyncio.create_task(world.use("holder", turns=3))
            await pass_turns(1)
            try:
                await world.pool.drain()
            finally:
                await holder

        victim.start(work())
        await pass_turns(3)
        for _ in range(20):
            world.connector.gates["connect"].open_all()
            await pass_turns(1)
        await victim.ended()
        await world.end()

    proof(scenario)


def test_a_cancel_within_the_back_off_leaves_the_next_attempt_to_others(
    record_property: Callable[[str, object], None],
) -> None:
    """In virtual time: the delay passes as soon as nothing else happens."""

    async def scenario(victim: Victim) -> None:
        world = World(GatedConnector(connect=Behaviour.ERROR), max_size=1)
        world._watching = False  # it would keep the loop too busy for time to pass
        victim.start(world.use("victim"))
        other = asyncio.create_task(world.use("other"))
        await asyncio.sleep(1.0)
        world.connector.behaviour["connect"] = Behaviour.OK
        await victim.ended()
        await other
        await world.end()

    record_property("schedules", prove(scenario, loop_factory=VirtualLoop))


def test_a_deadline_that_ties_with_a_cancel_or_a_grant_loses_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    """In virtual time: the release, the deadline, and the cancel fall into the same instant."""

    async def scenario(victim: Victim) -> None:
        world = World(max_size=1)
        world._watching = False
        held = await world.pool.acquire()
        held.clean = True
        asyncio.get_running_loop().call_later(1.0, world.pool.release, held)

        async def work() -> None:
            try:
                await world.use("victim", timeout=1.0)
            except TimeoutError:
                await world.use("again")

        victim.start(work())
        other = asyncio.create_task(world.use("other", timeout=5.0))
        await victim.ended()
        await other
        await world.end()

    record_property("schedules", prove(scenario, loop_factory=VirtualLoop))
