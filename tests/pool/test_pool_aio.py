"""The asyncio pool, behaviour by behaviour, on asyncio and uvloop; long waits in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    LeaseError,
    PoolClosed,
    PoolSaturated,
    PoolTimeout,
    WrongLoop,
)
from cenote.pool.aio import AsyncPool
from cenote.pool.observer import Observer
from cenote.pool.options import PoolOptions
from tests.pool.async_world import World, pass_turns
from tests.pool.conftest import Run, run_in
from tests.pool.doubles import Behaviour, GatedConnector, Resource, Trouble
from tests.pool.invariants import assert_closed_once
from tests.pool.virtual_time import VirtualLoop, virtual_clock

# Leasing.


def test_a_connection_is_reused_by_the_next(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        assert await world.use("one") is await world.use("two")
        await world.end()

    run(scenario)


def run_at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends, and return its result."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


def test_leasing_what_is_idle_never_suspends(run: Run) -> None:
    """Driven without a loop to come back to, the coroutines run to their end."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        resource = await world.use("first")
        lease = world.pool.connection()
        assert run_at_once(lease.__aenter__()) is resource
        await lease.__aexit__(None, None, None)
        assert run_at_once(world.pool.acquire()) is resource
        world.pool.release(resource)
        entry = run_at_once(world.pool.checkout(world.pool.clock()))
        assert entry.resource is resource
        world.pool.checkin(entry)
        await world.end()

    run(scenario)


def test_nothing_is_opened_before_first_use(run: Run) -> None:
    async def scenario() -> None:
        world = World(min_size=2)
        await pass_turns(3)
        assert world.connector.calls["connect"] == 0
        await world.pool.close()
        assert world.connector.calls["connect"] == 0
        world._watching = False

    run(scenario)


def test_a_plain_callable_is_connector_enough(run: Run) -> None:
    class Closing:
        closed = False

        async def close(self) -> None:
            self.closed = True

    async def scenario() -> None:
        async def connect() -> Closing:
            return Closing()

        async with AsyncPool(connect) as pool, pool.connection() as resource:
            assert not resource.closed
        assert resource.closed

    run(scenario)


def test_hooks_may_be_plain_functions(run: Run) -> None:
    """Only connect has to be a coroutine function."""
    seen: list[str] = []

    class Plain:
        async def connect(self, timeout: float) -> Resource:
            return Resource(1)

        def close(self, resource: Resource) -> None:
            seen.append("close")

        def is_alive(self, resource: Resource) -> bool:
            seen.append("check")
            return True

        def reset(self, resource: Resource) -> None:
            seen.append("reset")

    async def scenario() -> None:
        async with AsyncPool(Plain(), check_after=0.0) as pool:
            for _ in range(2):
                async with pool.connection():
                    pass
                await pass_turns(3)

    run(scenario)
    assert seen == ["check", "reset", "check", "reset", "close"]


def test_acquire_and_release_by_hand(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        resource = await world.pool.acquire()
        world.pool.release(resource)
        with pytest.raises(LeaseError):
            world.pool.release(resource)
        with pytest.raises(LeaseError):
            world.pool.release(Resource(99))
        await world.end()

    run(scenario)


def test_a_lease_is_for_one_block_at_a_time(run: Run) -> None:
    async def scenario() -> None:
        world = World()
        lease = world.pool.connection()
        async with lease:
            with pytest.raises(LeaseError):
                await lease.__aenter__()
        with pytest.raises(LeaseError):
            await lease.__aexit__(None, None, None)
        await world.end()

    run(scenario)


def test_entries_for_layers_above_come_and_go(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        assert world.pool.checkout_nowait() is None
        entry = await world.pool.checkout(world.pool.clock() + 5)
        assert entry.resource is world.connector.resources[0]
        world.pool.checkin(entry)
        with pytest.raises(LeaseError):
            world.pool.checkin(entry)
        again = world.pool.checkout_nowait()
        assert again is entry
        world.pool.checkin(entry, Trouble("broken"))
        await pass_turns(3)
        assert entry.resource.closes == 1
        await world.end()

    run(scenario)


def test_try_acquire_does_not_wait_but_has_a_connection_opened(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        assert world.pool.try_acquire() is None
        await pass_turns(4)
        resource = world.pool.try_acquire()
        assert resource is not None
        assert world.pool.try_acquire() is None
        world.pool.release(resource)
        await world.end()

    run(scenario)


def test_try_acquire_has_what_was_idle_for_long_checked(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1, check_after=0.5)
        await world.use("first")
        clock: Any = world.pool.clock
        clock.advance(1.0)
        assert world.pool.try_acquire() is None
        await pass_turns(4)
        resource = world.pool.try_acquire()
        assert resource is not None
        assert world.connector.calls["check"] == 1
        world.pool.release(resource)
        await world.end()

    run(scenario)


def test_try_acquire_is_content_with_nothing_where_callers_may_not_wait(run: Run) -> None:
    async def scenario() -> None:
        world = World(max_size=1, max_waiting=0)
        assert world.pool.try_acquire() is None
        await world.rest()
        await world.pool.close()
        with pytest.raises(PoolClosed):
            world.pool.try_acquire()
        world._watching = False

    run(scenario)


# Waiting.


def test_a_wait_ends_by_its_deadline_and_says_who_holds_what(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(max_size=1)
        world._watching = False
        async with world.pool.connection():
            began = virtual_clock().now
            with pytest.raises(
                PoolTimeout, match=r"1/1 in use.*longest held .* by 'Task-"
            ) as caught:
                await world.pool.acquire(timeout=3.0)
            assert virtual_clock().now == pytest.approx(began + 3.0)
        assert caught.value.pool == world.pool.name
        assert caught.value.waited == pytest.approx(3.0)
        await world.end()

    virtually(scenario)


def test_timeout_zero_does_not_wait(run: Run) -> None:
    async def scenario() -> None:
        world = World(max_size=1)
        async with world.pool.connection():
            with pytest.raises(PoolTimeout):
                await world.pool.acquire(timeout=0)
        await world.end()

    run(scenario)


def test_without_a_limit_a_waiter_waits_until_it_is_served(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(max_size=1)
        world._watching = False
        async with world.pool.connection(timeout=None):
            waiter = asyncio.create_task(world.use("waiter", timeout=None))
            await asyncio.sleep(1e6)
        await waiter
        await world.end()

    virtually(scenario)


def test_the_deadline_includes_a_connect_that_never_ends(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.NEVER), connect_timeout=5.0)
        world._watching = False
        began = virtual_clock().now
        with pytest.raises(PoolTimeout):
            await world.pool.acquire(timeout=2.0)
        assert virtual_clock().now == pytest.approx(began + 2.0)
        await world.pool.close()

    virtually(scenario)


def test_a_connect_that_takes_too_long_is_cancelled_and_named_as_the_cause(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.NEVER), connect_timeout=0.5)
        world._watching = False
        with pytest.raises(PoolTimeout, match="connecting") as caught:
            await world.pool.acquire(timeout=2.0)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert world.connector.calls["connect"] > 1
        await world.pool.close()

    virtually(scenario)


def test_callers_beyond_max_waiting_fail_at_once(run: Run) -> None:
    async def scenario() -> None:
        world = World(max_size=1, max_waiting=1)
        async with world.pool.connection():
            waiter = asyncio.create_task(world.use("waiter"))
            await pass_turns(1)
            with pytest.raises(PoolSaturated):
                await world.pool.acquire()
        await waiter
        await world.end()

    run(scenario)


def test_strict_waiters_are_served_in_the_order_of_arrival(run: Run) -> None:
    """emcache: the newest waiter was served first, the oldest starved."""

    async def scenario() -> None:
        world, order = World(max_size=1, fairness="strict"), []

        async def use(name: str) -> None:
            await world.use(name)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(use(str(number)))
        assert order == [str(number) for number in range(8)]
        await world.end()

    run(scenario)


def test_no_waiter_starves_among_greedy_newcomers(virtually: Run) -> None:
    """8 tasks on 4 connections, each held 0.5 ms: none waits for long while others come and go."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=4)
        world._watching = False
        waits: list[float] = []

        async def work() -> None:
            for _ in range(200):
                began = virtual_clock().now
                async with world.pool.connection():
                    waits.append(virtual_clock().now - began)
                    await asyncio.sleep(0.0005)

        await asyncio.gather(*(work() for _ in range(8)))
        assert max(waits) < 0.010
        await world.end()

    virtually(scenario)


def test_a_failed_connect_is_retried_within_the_callers_deadline(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.ERROR))
        world._watching = False
        caller = asyncio.create_task(world.use("caller", timeout=30.0))
        await asyncio.sleep(1.0)
        world.connector.behaviour["connect"] = Behaviour.OK
        await caller
        assert world.connector.calls["connect"] > 2
        await world.end()

    virtually(scenario)


def test_thousands_of_failed_connects_leave_a_pool_that_connects_again(virtually: Run) -> None:
    """emcache: RecursionError after 987 failed connects, and it never connected again."""

    async def scenario() -> None:
        world = World(
            GatedConnector(connect=Behaviour.ERROR), backoff_base=0.001, backoff_cap=0.001
        )
        world._watching = False
        caller = asyncio.create_task(world.use("caller", timeout=None))
        await asyncio.sleep(4.0)
        assert world.connector.calls["connect"] > 2_000
        world.connector.behaviour["connect"] = Behaviour.OK
        await caller
        await world.end()

    virtually(scenario)


def test_a_pool_that_fails_when_down_lets_nobody_wait_and_recovers(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.ERROR), on_down="fail")
        world._watching = False
        with pytest.raises(ConnectFailed) as caught:
            await world.pool.acquire()
        assert isinstance(caught.value.__cause__, Trouble)
        with pytest.raises(ConnectFailed):
            await world.pool.acquire(timeout=None)
        assert world.pool.try_acquire() is None
        world.connector.behaviour["connect"] = Behaviour.OK
        await asyncio.sleep(20.0)
        await world.use("caller")
        await world.end()

    virtually(scenario)


def test_a_dead_connection_is_replaced_within_the_same_wait(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), check_after=0.0)
        dead = await world.use("first")
        dead.alive = False
        assert await world.use("second") is not dead
        assert dead.closes == 1
        await world.end()

    run(scenario)


def test_a_check_that_raises_in_the_callers_task_costs_the_connection_only(run: Run) -> None:
    async def scenario() -> None:
        def check(resource: Resource) -> bool:
            if resource.number == 1 and resource.done["leased"]:
                raise Trouble("checking failed")
            resource.done["leased"] += 1
            return True

        world = World(GatedConnector(clean=True), check=check, check_after=0.0)
        assert (await world.use("first")).number == 1
        assert (await world.use("second")).number == 2
        await world.end()

    run(scenario)


def test_an_interrupt_in_a_check_passes_through_and_costs_the_connection_only(run: Run) -> None:
    class Interrupt(BaseException):
        pass

    async def scenario() -> None:
        def check(resource: Resource) -> bool:
            if resource.number == 1:
                raise Interrupt
            return True

        world = World(GatedConnector(clean=True), check=check, check_after=0.0)
        with pytest.raises(Interrupt):
            await world.use("first")
        assert (await world.use("second")).number == 2
        await world.end()

    run(scenario)


# Returning.


def test_an_error_that_leaves_the_block_costs_the_connection(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        with pytest.raises(Trouble):
            async with world.pool.connection() as resource:
                raise Trouble("reset by peer")
        await world.use("next")
        assert resource.closes == 1
        await world.end()

    run(scenario)


def test_an_error_classified_ok_costs_nothing(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), classify=lambda error: "ok")
        with pytest.raises(Trouble):
            async with world.pool.connection() as resource:
                raise Trouble("no such key")
        assert await world.use("next") is resource
        await world.end()

    run(scenario)


def test_an_error_that_says_the_server_is_gone_spares_no_idle_connection(run: Run) -> None:
    """HikariCP #1802: connections inside the check-skip window hid a fail-over."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), classify=lambda error: "invalidate_all")
        async with world.pool.connection(), world.pool.connection():
            pass
        with pytest.raises(Trouble):
            async with world.pool.connection():
                raise Trouble("the server has moved")
        assert (await world.use("next")).number == 3
        assert [one.closes for one in world.connector.resources] == [1, 1, 0]
        await world.end()

    run(scenario)


def test_what_was_granted_just_before_invalidate_all_is_not_handed_out(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1, fairness="strict")
        held = await world.pool.acquire()
        waiter = asyncio.create_task(world.use("waiter"))
        await pass_turns(2)
        world.pool.release(held)
        world.pool.invalidate_all()
        held.tainted = True
        assert (await waiter).number == 2
        await world.end()

    run(scenario)


def test_a_cancelled_holder_never_leaves_its_connection_to_others(run: Run) -> None:
    """redis-py: the reply to a cancelled command went to the next user."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        victim = asyncio.create_task(world.use("victim", turns=100))
        await pass_turns(5)
        victim.cancel()
        await asyncio.wait([victim])
        assert victim.cancelled()
        assert (await world.use("next")).number == 2
        await world.end()

    run(scenario)


def test_no_cancel_is_ever_swallowed(run: Run) -> None:
    """psycopg_pool on 3.11: about 4 % of cancels were lost in ``wait_for``."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        for turns in range(60):
            holder = asyncio.create_task(world.use("holder", turns=turns % 7))
            await pass_turns(turns % 3)
            victim = asyncio.create_task(world.use("victim", turns=50))
            await pass_turns(turns % 11)
            assert victim.cancel()
            await asyncio.wait([victim, holder])
            assert victim.cancelled()
        await world.end()

    run(scenario)


def test_a_detached_connection_leaves_its_slot_free(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        async with world.pool.connection() as resource:
            assert world.pool.detach(resource) is resource
            assert (await world.use("other")).number == 2
        by_hand = await world.pool.acquire()
        world.pool.detach(by_hand)
        with pytest.raises(LeaseError):
            world.pool.detach(by_hand)
        world._watching = False
        await world.pool.close()
        assert_closed_once(world.connector.resources, {resource, by_hand})

    run(scenario)


def test_a_lease_that_is_garbage_collected_frees_its_slot(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        world.lost = 1
        lease: Any = world.pool.connection()
        await lease.__aenter__()
        del lease
        with pytest.warns(ResourceWarning, match="dropped without being returned"):
            assert (await world.use("next")).number == 2
        assert world.pool.stats().lost == 1
        await world.end()

    run(scenario)


def test_a_lease_collected_in_another_thread_frees_its_slot(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        world.lost = 1
        leases: list[Any] = [world.pool.connection()]
        await leases[0].__aenter__()
        thread = threading.Thread(target=leases.clear)
        thread.start()
        thread.join()
        with pytest.warns(ResourceWarning):
            await world.use("next")
        await world.end()

    run(scenario)


def test_warnings_turned_into_errors_hurt_nobody_else(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        world.lost = 1
        lease: Any = world.pool.connection()
        await lease.__aenter__()
        del lease
        await world.use("next")
        await world.end()

    run(scenario)
    assert "dropped without being returned" in caplog.text


def test_a_lease_held_too_long_is_reported_with_where_it_was_borrowed(
    virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), leak_after=1.0)
        world._watching = False
        task = asyncio.current_task()
        assert task is not None
        task.set_name("the holder")
        with pytest.warns(ResourceWarning):
            async with world.pool.connection():
                await asyncio.sleep(2.0)
        assert world.pool.holders() == []
        await world.end()

    with caplog.at_level(logging.WARNING, "cenote.pool"):
        virtually(scenario)
    assert "test_pool_aio.py" in caplog.records[0].getMessage()
    returned = caplog.records[1].getMessage()
    assert re.search(r"came back, held 2.0 s by 'the holder' \(test_pool_aio.py", returned)


def test_a_holder_that_sleeps_is_shown_with_all_who_await_it(run: Run) -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer(pool: AsyncPool[Resource]) -> None:
        async with pool.connection():
            await inner()

    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        task = asyncio.create_task(outer(world.pool))
        await pass_turns(4)
        (holder,) = world.pool.holders()
        lines = [outer.__code__.co_firstlineno + 2, inner.__code__.co_firstlineno + 1]
        assert re.fullmatch(
            rf"locks\.py:\d+ < test_pool_aio\.py:{lines[1]} < test_pool_aio\.py:{lines[0]}",
            holder.stack,
        )
        task.cancel()
        await asyncio.wait([task])
        await world.end()

    run(scenario)


def test_an_idle_connection_does_not_keep_its_last_task_alive(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        task = asyncio.create_task(world.use("task"))
        await task
        gone = weakref.ref(task)
        del task
        await pass_turns(2)
        gc.collect()
        assert gone() is None
        await world.end()

    run(scenario)


def test_a_lease_taken_outside_any_task_has_no_name(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        await world.use("first")
        taken: list[Resource | None] = []
        asyncio.get_running_loop().call_soon(lambda: taken.append(world.pool.try_acquire()))
        await pass_turns(2)
        (holder,) = world.pool.holders()
        assert (holder.who, holder.where) == ("?", "")
        assert taken[0] is not None
        world.pool.release(taken[0])
        await world.end()

    run(scenario)


def test_holders_say_which_task_holds_what_and_where_it_is(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        world._watching = False
        task = asyncio.create_task(world.use("somebody", turns=9), name="somebody")
        await pass_turns(6)
        (holder,) = world.pool.holders()
        assert holder.who == "somebody"
        assert holder.where.startswith(("tasks.py:", "async_world.py:"))
        await task
        await world.end()

    virtually(scenario)


# The pool's tasks.


def test_connecting_and_closing_are_never_done_by_the_caller(run: Run) -> None:
    tasks: set[asyncio.Task[Any] | None] = set()

    class Connector:
        async def connect(self, timeout: float) -> Resource:
            tasks.add(asyncio.current_task())
            return Resource(1)

        def close(self, resource: Resource) -> None:
            tasks.add(asyncio.current_task())

        def reset(self, resource: Resource) -> None:
            tasks.add(asyncio.current_task())

    async def scenario() -> None:
        async with AsyncPool(Connector(), max_size=1, name="proved") as pool:
            async with pool.connection():
                pass
            await pass_turns(3)
        assert asyncio.current_task() not in tasks

    run(scenario)
    names = sorted(task.get_name() for task in tasks if task is not None)
    assert names == ["cenote close of proved", "cenote connect of proved", "cenote reset of proved"]


def test_the_pools_tasks_do_not_inherit_a_callers_context(run: Run) -> None:
    request = contextvars.ContextVar("request", default="nobody's")
    seen: list[str] = []

    class Connector(GatedConnector):
        async def connect(self, timeout: float | None) -> Resource:
            seen.append(request.get())
            return await super().connect(timeout)

        async def close(self, resource: Resource) -> None:
            seen.append(request.get())
            await super().close(resource)

    async def scenario() -> None:
        request.set("mine")
        world = World(Connector(clean=True))
        await world.use("caller")
        await world.end()

    run(scenario)
    assert seen == ["nobody's", "nobody's"]


def test_a_connector_that_raises_a_base_exception_loses_no_slot(virtually: Run) -> None:
    class Odd(BaseException):
        pass

    class Connector(GatedConnector):
        async def connect(self, timeout: float | None) -> Resource:
            if not self.calls["odd"]:
                self.calls["odd"] += 1
                raise Odd
            return await super().connect(timeout)

    async def scenario() -> None:
        world = World(Connector(clean=True), max_size=1)
        world._watching = False
        await world.use("caller")
        await world.end()

    virtually(scenario)


def test_a_close_that_raises_frees_the_slot(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True, close=Behaviour.ERROR), max_size=1)
        with pytest.raises(Trouble):
            async with world.pool.connection():
                raise Trouble("broken")
        await world.use("next")
        await world.end()

    run(scenario)


def test_what_can_not_be_closed_in_time_is_aborted(virtually: Run) -> None:
    aborted: list[Resource] = []

    class Connector(GatedConnector):
        def abort(self, resource: Resource) -> None:
            aborted.append(resource)

    async def scenario() -> None:
        world = World(Connector(clean=True, close=Behaviour.NEVER), max_size=1, connect_timeout=1.0)
        world._watching = False
        first = await world.use("first")
        world.pool.invalidate_all()
        assert await world.use("second", timeout=2.0) is not first
        assert aborted == [first]
        await world.pool.close(timeout=0.1)
        assert len(aborted) == 2

    virtually(scenario)


def test_idle_connections_are_kept_alive_and_dead_ones_found(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), keepalive=10.0)
        world._watching = False
        resource = await world.use("first")
        await asyncio.sleep(35.0)
        assert resource.done["ping"] in {3, 4}
        world.connector.behaviour["ping"] = Behaviour.ERROR
        await asyncio.sleep(12.0)
        assert resource.closes == 1
        await world.end()

    virtually(scenario)


def test_upkeep_prunes_and_retires_without_being_asked(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_idle=10.0, min_size=1, max_lifetime=100.0)
        world._watching = False
        await asyncio.gather(*(world.use(str(number), turns=4) for number in range(3)))
        assert world.pool.stats().live > 1
        await asyncio.sleep(25.0)
        assert world.pool.stats().live == 1
        await asyncio.sleep(200.0)
        stats = world.pool.stats()
        assert stats.live == 1
        assert stats.closed["lifetime"] >= 1
        await world.end()

    virtually(scenario)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="since Python 3.12")
def test_an_eager_task_factory_changes_nothing() -> None:
    async def scenario() -> None:
        eager: Any = asyncio.eager_task_factory  # type: ignore[attr-defined]
        asyncio.get_running_loop().set_task_factory(eager)
        world = World(GatedConnector(clean=True), max_size=2)
        await asyncio.gather(*(world.use(str(number)) for number in range(6)))
        await world.end()

    run_in(asyncio.new_event_loop, scenario)  # uvloop does not know how to use one


def test_an_observer_is_told_and_its_mistakes_are_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    class Listener(Observer):
        heard: list[str] = []  # noqa: RUF012 - one listener, one test

        def acquired(self, pool: str, waited: float) -> None:
            self.heard.append("acquired")

        def closed(self, pool: str, reason: str) -> None:
            self.heard.append(reason)
            raise Trouble("a mistake of the listener")

    async def scenario() -> None:
        Listener.heard.clear()
        world = World(GatedConnector(clean=True), observer=Listener())
        await world.use("one")
        await world.use("two")
        await world.end()
        assert Listener.heard == ["acquired", "acquired", "shutdown"]

    run(scenario)
    assert "observer raised" in caplog.text


# Its life.


def test_open_warms_the_pool_up(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.SLOW), min_size=3, max_connecting=2)
        opening = asyncio.create_task(world.pool.open(wait=True))
        for _ in range(20):
            await pass_turns(1)
            world.connector.gates["connect"].open_all()
        await opening
        assert world.pool.stats().idle == 3
        await world.end()

    run(scenario)


def test_open_says_why_the_pool_stays_cold(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.ERROR), min_size=1)
        world._watching = False
        with pytest.raises(PoolTimeout, match="0 of min_size=1") as caught:
            await world.pool.open(wait=True, timeout=3.0)
        assert isinstance(caught.value.__cause__, Trouble)
        await world.pool.close()
        for wait in (False, True):
            with pytest.raises(PoolClosed):
                await world.pool.open(wait)

    virtually(scenario)


def test_drain_serves_those_who_wait_and_ends_when_all_is_back(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        world._watching = False
        held = await world.pool.acquire()
        waiter = asyncio.create_task(world.use("waiter"))
        await pass_turns(1)
        assert not await world.pool.drain(timeout=1.0)
        with pytest.raises(PoolClosed):
            await world.pool.acquire()
        world.pool.release(held)
        assert await world.pool.drain()
        await waiter
        await world.end()

    virtually(scenario)


def test_close_fails_all_who_wait_and_all_who_come(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        held = await world.pool.acquire()
        waiters = [asyncio.create_task(world.use(str(number))) for number in range(3)]
        await pass_turns(2)
        closing = asyncio.create_task(world.pool.close())
        outcomes = await asyncio.gather(*waiters, return_exceptions=True)
        assert all(isinstance(outcome, PoolClosed) for outcome in outcomes)
        with pytest.raises(PoolClosed):
            await world.pool.acquire()
        world.pool.release(held)
        report = await closing
        assert report.complete
        assert report.closed == 1
        again = await world.pool.close()
        assert again.complete
        assert again.closed == 0
        await world.end()

    run(scenario)


def test_close_ends_by_its_timeout_and_the_rest_is_closed_when_it_comes_back(
    virtually: Run,
) -> None:
    """asyncpg: ``close`` waited for ever for leased connections."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        world._watching = False
        held = await world.pool.acquire()
        report = await world.pool.close(timeout=2.0)
        assert report.abandoned == 1
        assert not report.complete
        assert report.seconds == pytest.approx(2.0)
        assert report.holders[0].who == asyncio.current_task().get_name()  # type: ignore[union-attr]
        world.pool.release(held)
        await pass_turns(3)
        assert held.closes == 1
        await world.end()

    virtually(scenario)


def test_connects_under_way_end_at_once_when_the_pool_is_closed(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(connect=Behaviour.NEVER), min_size=2)
        await world.pool.open()
        await pass_turns(2)
        assert (await world.pool.close()).complete
        await world.end()

    run(scenario)


def test_a_connector_that_ignores_cancels_does_not_hold_up_close(virtually: Run) -> None:
    class Stubborn(GatedConnector):
        async def connect(self, timeout: float | None) -> Resource:
            for _ in range(3):
                try:
                    await asyncio.sleep(60.0)
                except asyncio.CancelledError:
                    continue
            return await super().connect(timeout)

    async def scenario() -> None:
        world = World(Stubborn(), min_size=1, connect_timeout=500.0)
        world._watching = False
        await world.pool.open()
        await pass_turns(2)
        report = await world.pool.close(timeout=1.0)
        assert report.seconds < 1.2
        assert report.abandoned == 1
        await asyncio.sleep(200.0)
        assert_closed_once(world.connector.resources)

    virtually(scenario)


def test_closing_a_pool_that_was_never_used_needs_no_loop() -> None:
    pool = AsyncPool(GatedConnector())
    with pytest.raises(StopIteration) as stopped:
        pool.close().send(None)
    assert stopped.value.value.complete


def test_resize_and_invalidate_all_take_effect_at_once(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=3)
        async with world.pool.connection(), world.pool.connection(), world.pool.connection():
            world.ledger.resized(world.core.size, 1)
            world.pool.resize(0, 1)
        await pass_turns(3)
        assert world.pool.stats().size == 1
        with pytest.raises(ConfigurationError):
            world.pool.resize(2, 1)
        world.pool.invalidate_all()
        assert (await world.use("next")).number == 4
        await world.end()

    run(scenario)


def test_a_pool_can_be_made_from_options_and_shows_its_state(run: Run) -> None:
    async def scenario() -> None:
        connector = GatedConnector(clean=True)
        pool = AsyncPool.from_options(connector, PoolOptions(max_size=3), name="made")
        async with pool, pool.connection():
            assert repr(pool) == "<AsyncPool 'made' ready: 1/3, 0 idle>"
        assert pool.name == "made"
        assert repr(pool) == "<AsyncPool 'made' closed: 0/3, 0 idle>"

    run(scenario)


# Its loop.


def test_another_loop_is_refused_with_what_to_do(run: Run) -> None:
    connector = GatedConnector(clean=True)
    pool = AsyncPool(connector)

    async def use() -> None:
        async with pool.connection():
            await pass_turns(1)

    async def elsewhere() -> None:
        for refused in (use(), pool.acquire(), pool.open(), pool.drain()):
            with pytest.raises(WrongLoop, match="make one pool for each event loop"):
                await refused
        with pytest.raises(WrongLoop):
            pool.try_acquire()
        with pytest.raises(WrongLoop, match="call_soon_threadsafe"):
            pool.stats()

    async def scenario() -> None:
        await use()
        thread = threading.Thread(target=run_in, args=(asyncio.new_event_loop, elsewhere))
        thread.start()
        while thread.is_alive():
            await pass_turns(1)
        thread.join()
        await use()
        await pool.close()

    run(scenario)


def test_after_its_loop_is_closed_a_pool_says_so(run: Run) -> None:
    pool = AsyncPool(GatedConnector(clean=True))

    async def use() -> None:
        async with pool.connection():
            pass

    async def refused() -> None:
        with pytest.raises(WrongLoop, match="which is closed"):
            await pool.acquire()

    run(use)
    run(refused)


def test_a_release_from_another_thread_is_refused_and_changes_nothing(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        errors: list[BaseException] = []

        def misuse(call: Callable[[], object]) -> None:
            try:
                call()
            except WrongLoop as error:
                errors.append(error)

        async with world.pool.connection():
            for call in (world.pool.stats, lambda: world.pool.resize(0, 3)):
                await asyncio.to_thread(misuse, call)
        assert len(errors) == 2
        assert "call_soon_threadsafe" in str(errors[0])
        await asyncio.get_running_loop().shutdown_default_executor()
        await world.end()

    run(scenario)


def test_a_waiter_is_served_by_what_another_thread_gives_back(run: Run) -> None:
    """It should be handed over to the loop; but where it is not, nobody is left waiting."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1, fairness="strict")
        entry = await world.pool.checkout(world.pool.clock() + 5)
        waiter = asyncio.create_task(world.use("waiter"))
        await pass_turns(2)
        world._watching = False
        thread = threading.Thread(target=world.pool.checkin, args=(entry,))
        thread.start()
        thread.join()
        assert await waiter is entry.resource
        await world.end()

    run(scenario)


def test_a_lease_lost_after_its_loop_was_closed_is_counted_by_the_next_call(run: Run) -> None:
    pool = AsyncPool(GatedConnector(clean=True))
    leases: list[Any] = []

    async def scenario() -> None:
        leases.append(pool.connection())
        await leases[0].__aenter__()

    run(scenario)
    leases.clear()
    with pytest.warns(ResourceWarning):
        assert pool.stats().lost == 1


def test_a_connection_to_be_closed_as_the_loop_ends_is_closed() -> None:
    """Its task is cancelled before it has run a line."""
    connector = GatedConnector(clean=True)
    pool = AsyncPool(connector)

    async def scenario() -> None:
        async with pool.connection():
            pass
        pool.invalidate_all()

    with asyncio.Runner() as runner:
        runner.run(scenario())
    assert connector.resources[0].closes == 1
    assert pool.stats().size == 0


def test_a_close_under_way_as_the_loop_ends_is_aborted() -> None:
    aborted: list[Resource] = []

    class Connector(GatedConnector):
        def abort(self, resource: Resource) -> None:
            aborted.append(resource)
            raise Trouble("not even that works")

    pool = AsyncPool(Connector(clean=True, close=Behaviour.NEVER))

    async def scenario() -> None:
        async with pool.connection():
            pass
        pool.invalidate_all()
        await pass_turns(2)

    with asyncio.Runner() as runner:
        runner.run(scenario())
    assert len(aborted) == 1
    assert pool.stats().size == 0


def exit_code_of_a_fork(in_child: Callable[[], int]) -> int:
    child = os.fork()
    if not child:
        os._exit(in_child())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_in_a_forked_child_the_parents_leases_are_not_valid_and_the_parent_goes_on(
    run: Run,
) -> None:
    connector = GatedConnector(clean=True)
    pool = AsyncPool(connector, max_size=1)
    held: list[Resource] = []

    async def lease() -> None:
        held.append(await pool.acquire())

    def in_child() -> int:
        try:
            pool.release(held[0])
        except LeaseError:
            return len(connector.resources) - 1 + held[0].closes
        return 9

    async def give_back() -> None:
        pool.release(held[0])
        async with pool.connection() as resource:
            assert resource is held[0]
        await pool.close()

    async def scenario() -> None:
        await lease()
        assert exit_code_of_a_fork(in_child) == 0
        await give_back()

    run(scenario)


def test_leases_returned_after_their_loop_was_closed_are_let_go_of(run: Run) -> None:
    aborted: list[Resource] = []

    class Connector(GatedConnector):
        def abort(self, resource: Resource) -> None:
            aborted.append(resource)

    pool = AsyncPool(Connector(clean=True), max_size=2)
    held: list[Resource] = []

    async def scenario() -> None:
        held.extend([await pool.acquire(), await pool.acquire()])

    run(scenario)
    pool.invalidate_all()
    for resource in held:
        pool.release(resource)
    assert aborted == held
    assert pool.stats().size == 0


def test_resets_and_connects_asked_for_after_the_loop_was_closed_fail(run: Run) -> None:
    pool = AsyncPool(GatedConnector(clean=False), max_size=1, min_size=1)
    held: list[Resource] = []

    async def scenario() -> None:
        held.append(await pool.acquire())

    run(scenario)
    pool.release(held[0])  # to be reset: it can not be, and is closed, as far as that goes
    assert held[0].closes == 1
    assert pool.stats().idle == 0


def test_a_pool_left_open_when_its_loop_ends_begins_nothing_more() -> None:
    """asyncio.run cancels what is left, and lets the loop turn until that has ended."""
    connector = GatedConnector(connect=Behaviour.NEVER)
    pool = AsyncPool(connector, min_size=2, backoff_base=1e-9)

    async def scenario() -> None:
        await pool.open()
        await pass_turns(2)

    with asyncio.Runner() as runner:
        runner.run(scenario())
    assert connector.calls["connect"] == 2


def test_a_pool_whose_tasks_somebody_cancelled_works_on_for_who_comes(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True, connect=Behaviour.NEVER), min_size=1)
        world._watching = False
        await world.pool.open()
        await pass_turns(2)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(10.0)
        assert world.connector.calls["connect"] == 1
        world.connector.behaviour["connect"] = Behaviour.OK
        await world.use("who comes")
        await world.end()

    virtually(scenario)


def test_a_waiter_is_served_although_somebody_cancelled_the_connect(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True, connect=Behaviour.NEVER))
        world._watching = False
        waiter = asyncio.create_task(world.use("waiter", timeout=None))
        await pass_turns(3)
        (connect,) = asyncio.all_tasks() - {asyncio.current_task(), waiter}
        world.connector.behaviour["connect"] = Behaviour.OK
        connect.cancel()
        await waiter
        await world.end()

    virtually(scenario)


def test_a_wall_clock_that_jumps_changes_nothing(
    virtually: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy and pymemcache: timeouts on the wall clock."""
    jumps = iter(range(10**9, -(10**9), -(10**6)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))

    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1, max_lifetime=50.0, keepalive=5.0)
        world._watching = False
        began = virtual_clock().now
        async with world.pool.connection():
            with pytest.raises(PoolTimeout):
                await world.pool.acquire(timeout=3.0)
        assert virtual_clock().now == pytest.approx(began + 3.0)
        await asyncio.sleep(20.0)
        assert world.pool.stats().created == 1
        await world.end()

    virtually(scenario)


def test_a_timer_is_armed_only_while_there_is_something_to_wait_for(virtually: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        world._watching = False
        await world.use("one")
        await asyncio.sleep(10.0)
        assert world.pool._actor._timer is None
        await world.end()

    virtually(scenario)


def test_virtual_time_notices_a_wait_that_can_not_end() -> None:
    """The harness itself: a lost wake-up is an error at once, not a hang."""

    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(AssertionError, match="nothing is ready"):
        run_in(VirtualLoop, scenario)


# Free-running.


@pytest.mark.stress
def test_many_tasks_in_real_time_lose_nothing(run: Run) -> None:
    """64 tasks on 8 connections, with the checks, resets, errors and cancels of a busy service."""

    async def scenario() -> None:
        rng = Random(7)
        world = World(max_size=8, clock=time.monotonic, check_after=0.0, max_uses=50, timeout=30.0)

        async def work(name: str) -> None:
            for _ in range(30):
                await world.use(name, turns=rng.randrange(4))

        workers = [asyncio.create_task(work(f"worker {number}")) for number in range(64)]
        for worker in workers[::4]:
            await pass_turns(rng.randrange(20))
            worker.cancel()
        await asyncio.wait(workers)
        assert [worker.cancelled() for worker in workers] == [True, False, False, False] * 16
        assert all(worker.cancelled() or worker.exception() is None for worker in workers)
        await world.end()

    run(scenario)
