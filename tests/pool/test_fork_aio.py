"""What a child forked from a running coroutine does with the parent's asyncio pool.

It shares the loop's selector with the parent: whatever it does to that, the parent feels. So each
scenario ends with the parent's loop still hearing what comes in.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from cenote.errors import LeaseError, PoolClosed, WrongLoop
from cenote.pool.aio import AsyncPool
from tests.pool.conftest import Run
from tests.pool.links import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(check: Callable[[], object]) -> None:
    """Fork here, inside the running loop; run the check in the child, and fail as it failed."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def step(awaitable: Awaitable[Any]) -> Any:
    """Run a coroutine until it first suspends, as the parent's loop would if run in the child."""
    return next(awaitable.__await__())


class Line(asyncio.Protocol):
    """A socket registered with the loop, the peer's end, and a goodbye no child may say."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.there.setblocking(False)
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.here.setblocking(False)
        await loop.create_unix_connection(lambda: self, sock=self.here)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard.put_nowait(data)

    def close(self) -> None:
        self.transport.write(b"goodbye")
        self.transport.close()
        self.there.close()

    def abort(self) -> None:
        """As ``AsyncChannel`` does in a child."""
        os.close(self.here.detach())

    async def assert_undisturbed(self) -> None:
        """Nothing was written, and the loop hears the peer and is heard."""
        with pytest.raises(BlockingIOError):
            self.there.recv(1)
        self.there.send(b"still there?")
        async with asyncio.timeout(PATIENCE):
            assert await self.heard.get() == b"still there?"
            self.transport.write(b"yes")
            assert await asyncio.get_running_loop().sock_recv(self.there, 100) == b"yes"


class Lines:
    """Opens lines, closes them with a goodbye, and aborts them without."""

    def __init__(self) -> None:
        self.made: list[Line] = []

    async def connect(self, timeout: float) -> Line:
        line = Line()
        await line.open()
        self.made.append(line)
        return line

    def close(self, line: Line) -> None:
        line.close()

    def abort(self, line: Line) -> None:
        line.abort()

    def is_clean(self, line: Line) -> bool:
        return True


class Mute:
    """Opens lines, and has no way to let go of them but ``close``."""

    def __init__(self) -> None:
        lines = Lines()
        self.connect, self.close = lines.connect, lines.close


async def pool_with_one_idle(**options: Any) -> tuple[AsyncPool[Line], Line]:
    pool: AsyncPool[Line] = AsyncPool(Lines(), name="parent", **options)
    async with pool.connection() as line:
        pass
    assert len(pool.stack.idle) == 1
    return pool, line


def test_a_child_closes_what_was_idle_and_has_nothing_to_lease(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()
        inherited = pool.stack

        def check() -> None:
            assert line.here.fileno() == -1
            assert pool.checkout_nowait() is None
            assert pool.stats().size == 0
            assert not inherited.idle
            assert inherited.take(pool.clock()) is None

        in_child(check)
        await line.assert_undisturbed()
        async with pool.connection() as again:
            assert again is line
        await pool.close()

    run(scenario)


def test_in_the_parents_loop_a_child_is_refused(run: Run) -> None:
    """The loop is the parent's, even if the child's stack still lies in it."""

    async def scenario() -> None:
        pool, line = await pool_with_one_idle()

        async def use() -> None:
            async with pool.connection():
                pass

        def check() -> None:
            for refused in (use(), pool.acquire(), pool.checkout(pool.clock() + 1), pool.open()):
                with pytest.raises(WrongLoop, match="fork"):
                    step(refused)
            with pytest.raises(WrongLoop, match="fork"):
                pool.try_acquire()

        in_child(check)
        await line.assert_undisturbed()
        await pool.close()

    run(scenario)


def test_in_a_loop_of_its_own_a_child_begins_anew(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()

        async def use() -> None:
            async with pool.connection() as own:
                assert own is not line
                await own.assert_undisturbed()
            assert (await pool.close()).closed == 1

        in_child(lambda: asyncio.run(use()))
        await line.assert_undisturbed()
        async with pool.connection() as again:
            assert again is line
        await pool.close()

    run(scenario)


def test_a_child_closes_what_was_on_lease(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()
        held = await pool.acquire()
        assert held is line

        def check() -> None:
            assert line.here.fileno() == -1
            with pytest.raises(LeaseError):
                pool.release(held)

        in_child(check)
        await line.assert_undisturbed()
        pool.release(held)
        await pool.close()

    run(scenario)


def test_leaving_the_parents_block_in_the_child_is_a_lease_error(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()
        lease = pool.connection()
        await lease.__aenter__()

        def check() -> None:
            with pytest.raises(LeaseError, match="parent process"):
                lease.__aexit__(None, None, None)
            assert not pool.stack.idle

        in_child(check)
        await line.assert_undisturbed()
        lease.__aexit__(None, None, None)
        await pool.close()

    run(scenario)


def test_an_error_that_leaves_the_parents_block_in_the_child_is_not_hidden(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()
        lease = pool.connection()
        await lease.__aenter__()

        in_child(lambda: lease.__aexit__(KeyError, KeyError("mine"), None))
        await line.assert_undisturbed()
        lease.__aexit__(None, None, None)
        await pool.close()

    run(scenario)


def test_closing_the_parents_pool_in_the_child_says_nothing_to_the_peer(run: Run) -> None:
    async def scenario() -> None:
        pool, line = await pool_with_one_idle()

        async def close() -> None:
            assert (await pool.close()).closed == 0

        in_child(lambda: asyncio.run(close()))
        await line.assert_undisturbed()
        await pool.close()

    run(scenario)


def test_what_can_not_be_aborted_is_left_alone_in_the_child(run: Run) -> None:
    """To close it might take the loop, and that is the parent's too."""

    async def scenario() -> None:
        pool: AsyncPool[Line] = AsyncPool(Mute())
        async with pool.connection() as line:
            pass

        def check() -> None:
            assert pool.stats().size == 0
            assert line.here.fileno() >= 0

        in_child(check)
        await line.assert_undisturbed()
        await pool.close()

    run(scenario)


def test_what_waits_in_the_parents_loop_finds_a_closed_pool_in_the_child(run: Run) -> None:
    """Should the child run on into the parent's loop, nothing is opened there."""

    async def scenario() -> None:
        pool, line = await pool_with_one_idle(max_size=1)
        held = await pool.acquire()
        waiter: Coroutine[Any, Any, Line] = pool.acquire(timeout=None)
        future = step(waiter)

        def check() -> None:
            future.set_result(None)
            with pytest.raises(PoolClosed):
                waiter.send(None)

        in_child(check)
        await line.assert_undisturbed()
        waiter.close()
        pool.release(held)
        await pool.close()

    run(scenario)


def test_a_pool_closed_before_the_fork_is_closed_in_the_child(run: Run) -> None:
    async def scenario() -> None:
        pool, _ = await pool_with_one_idle()
        await pool.close()

        def check() -> None:
            assert pool.stats().state == "closed"

        in_child(check)

    run(scenario)


def test_a_pool_resized_before_the_fork_keeps_its_sizes_in_the_child(run: Run) -> None:
    async def scenario() -> None:
        pool, _ = await pool_with_one_idle()
        pool.resize(1, 7)

        def check() -> None:
            stats = pool.stats()
            assert (stats.min_size, stats.max_size) == (1, 7)

        in_child(check)
        await pool.close()

    run(scenario)


def test_a_pool_no_loop_has_used_yet_is_as_good_in_the_child(run: Run) -> None:
    """A server that forks its workers makes its pools before that."""

    async def scenario() -> None:
        pool: AsyncPool[Line] = AsyncPool(Lines())

        async def use() -> None:
            async with pool.connection() as own:
                await own.assert_undisturbed()
            await pool.close()

        in_child(lambda: asyncio.run(use()))
        await pool.close()

    run(scenario)
