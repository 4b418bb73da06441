"""How a lease's block is entered and left, step by step: what ``with`` asks for, and coroutines."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from cenote.errors import LeaseError
from cenote.pool.aio import AsyncPool
from cenote.pool.fast_path_aio import AsyncLease
from cenote.pool.fast_path_sync import Lease
from cenote.pool.sync import Pool
from tests.pool.async_world import World, pass_turns
from tests.pool.conftest import Run
from tests.pool.doubles import GatedConnector


class Thing:
    """Something to pool."""

    def close(self) -> None: ...


@pytest.fixture
def pool():
    with Pool(Thing, max_size=20) as pool:
        yield pool


def leased(pool: Pool[Any] | AsyncPool[Any]) -> int:
    return len(pool.holders())


def test_the_methods_of_a_lease_are_bound_to_it(pool: Pool[Thing]) -> None:
    lease = pool.connection()
    other: Any = pool.connection()  # type checkers take its arguments to be positional only
    enter, leave, enter_other = lease.__enter__, lease.__exit__, other.__enter__
    assert enter() is not enter_other()
    assert leased(pool) == 2
    leave(None, None, None)
    other.__exit__(kind=None, error=None, trace=None)
    assert leased(pool) == 0
    with pytest.raises(LeaseError):
        leave(None, None, None)


def test_what_is_bound_keeps_the_lease(pool: Pool[Thing]) -> None:
    leave = (lease := pool.connection()).__exit__
    lease.__enter__()
    del lease
    assert leased(pool) == 1
    leave(None, None, None)
    assert leased(pool) == 0


def test_what_is_bound_knows_the_method_and_the_lease(pool: Pool[Thing]) -> None:
    lease: Any = pool.connection()
    assert lease.__enter__.__self__ is lease
    assert lease.__enter__.__name__ == "__enter__"
    assert Lease.__enter__.__name__ == "__enter__"
    assert AsyncLease.__aexit__.__name__ == "__aexit__"


def test_wrong_arguments_are_refused(pool: Pool[Thing]) -> None:
    lease: Any = pool.connection()
    with pytest.raises(TypeError):
        lease.__enter__(1)
    with pytest.raises(TypeError):
        lease.__exit__()
    with pytest.raises(TypeError):
        lease.__exit__(None, None, traces=None)
    with pytest.raises(TypeError):
        lease.__exit__(None, None, None, None)
    assert leased(pool) == 0


def test_an_exit_stack_enters_and_leaves_by_the_class(pool: Pool[Thing]) -> None:
    with ExitStack() as stack:
        assert isinstance(stack.enter_context(pool.connection()), Thing)
        assert leased(pool) == 1
    assert leased(pool) == 0


def test_many_leases_at_once_are_told_apart(pool: Pool[Thing]) -> None:
    """More of them than are kept for reuse, twice over."""
    for _ in range(2):
        with ExitStack() as stack:
            held = [stack.enter_context(pool.connection()) for _ in range(20)]
            assert len(set(map(id, held))) == 20


def test_leases_of_many_threads_are_told_apart(pool: Pool[Thing]) -> None:
    owners: dict[int, int] = {}
    wrong: list[Thing] = []

    def work() -> None:
        for _ in range(2000):
            with pool.connection() as thing:
                owners[id(thing)] = me = threading.get_ident()
                if owners[id(thing)] != me:
                    wrong.append(thing)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert leased(pool) == 0


# In asyncio.


def test_an_aenter_that_is_not_awaited_takes_nothing(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        await world.use("first")
        entering = world.pool.connection().__aenter__()
        assert leased(world.pool) == 0
        entering.close()
        with pytest.raises(RuntimeError):
            await entering
        await world.end()

    run(scenario)


def test_an_aenter_is_awaited_once(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        for _ in range(2):  # waits for a connection to be opened, then for none
            lease = world.pool.connection()
            entering = lease.__aenter__()
            await entering
            with pytest.raises(RuntimeError, match="already awaited"):
                await entering
            with pytest.raises(RuntimeError, match="already awaited"):
                entering.throw(KeyError())
            with pytest.raises(LeaseError):
                await lease.__aenter__()
            assert leased(world.pool) == 1
            await lease.__aexit__(None, None, None)
        await world.end()

    run(scenario)


def test_each_call_of_a_bound_aenter_begins_anew(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        lease = world.pool.connection()
        bound: Any = lease.__aenter__
        for _ in range(2):
            await bound()
            await lease.__aexit__(None, None, None)
        with pytest.raises(TypeError):
            await bound(1)
        await world.end()

    run(scenario)


def test_an_aenter_may_be_a_task_and_cancelled(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        async with world.pool.connection():
            task = asyncio.create_task(world.pool.connection().__aenter__())
            await pass_turns(2)
            assert "__aenter__" in repr(task)
            assert world.pool.stats().waiting == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert world.pool.stats().waiting == 0
        lease = world.pool.connection()
        await asyncio.create_task(lease.__aenter__())
        await lease.__aexit__(None, None, None)
        await world.end()

    run(scenario)


def test_what_is_thrown_into_an_aenter_before_it_began_takes_nothing(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        await world.use("first")
        entering: Coroutine[Any, Any, Any] = world.pool.connection().__aenter__()
        with pytest.raises(KeyError):
            entering.throw(KeyError("thrown"))
        assert leased(world.pool) == 0
        await world.end()

    run(scenario)


def test_what_leaving_returns_may_be_a_task_and_is_over(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        lease = world.pool.connection()
        await lease.__aenter__()
        left: Any = lease.__aexit__(None, None, None)
        assert leased(world.pool) == 0
        assert await asyncio.create_task(left) is None
        with pytest.raises(StopIteration):
            left.send(None)
        with pytest.raises(KeyError):
            left.throw(KeyError("thrown"))
        left.close()
        assert await left is None
        await world.end()

    run(scenario)


def test_closing_an_aenter_that_waits_gives_its_place_up(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True), max_size=1)
        async with world.pool.connection():
            entering = world.pool.connection().__aenter__()
            entering.send(None)
            assert world.pool.stats().waiting == 1
            entering.close()
            assert world.pool.stats().waiting == 0
        await world.end()

    run(scenario)


def test_a_block_that_is_traced_is_entered_and_left_as_any_other(run: Run) -> None:
    """Traced code awaits in another way."""

    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        resource = await world.use("first")
        before = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            async with world.pool.connection() as again:
                pass
        finally:
            sys.settrace(before)
        assert again is resource
        await world.end()

    run(scenario)


def test_an_exit_stack_enters_and_leaves_an_async_lease(run: Run) -> None:
    async def scenario() -> None:
        world = World(GatedConnector(clean=True))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(world.pool.connection())
            assert leased(world.pool) == 1
        assert leased(world.pool) == 0
        await world.end()

    run(scenario)
