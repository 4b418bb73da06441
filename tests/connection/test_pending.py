"""What a caller awaits: a future of the reply, as tasks and asyncio's functions take one."""

from __future__ import annotations

import asyncio
import contextvars
import math
import socket
from asyncio import futures
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cenote.connection import UnixAddress
from cenote.connection._exchange_aio import AsyncChannel
from cenote.connection.pending_path_aio import Pending
from cenote.errors import ConnectionLost
from cenote.protocol import get
from tests.connection.peers import KEY_A, KEY_B, A, B, soon


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[AsyncChannel, socket.socket]]:
    """A channel, and the other end of its socket."""
    near, far = socket.socketpair()
    near.setblocking(False)
    _, channel = await asyncio.get_running_loop().create_unix_connection(
        lambda: AsyncChannel(near, 5.0, UnixAddress("the peer")), sock=near
    )
    try:
        yield channel, far
    finally:
        channel.abort()
        far.close()
        await asyncio.sleep(0)


def pending_now() -> Pending:
    return Pending(asyncio.get_running_loop(), get(b"a"), 0.0, math.inf)


async def test_it_can_be_awaited_again_and_by_several() -> None:
    async with talking() as (channel, peer):
        pending = channel.submit(get(b"a"), soon())

        async def wait() -> object:
            return await pending

        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        peer.sendall(KEY_A)
        assert await pending == A
        assert await pending == A
        assert await asyncio.gather(*waiting) == [A, A, A]


async def test_it_works_with_gather() -> None:
    async with talking() as (channel, peer):
        asked = [channel.submit(get(key), soon()) for key in (b"a", b"b")]
        await asyncio.sleep(0)
        peer.sendall(KEY_A + KEY_B)
        assert await asyncio.gather(*asked) == [A, B]


async def test_it_works_with_wait() -> None:
    async with talking() as (channel, peer):
        first, second = (channel.submit(get(key), soon()) for key in (b"a", b"b"))
        await asyncio.sleep(0)
        peer.sendall(KEY_A)
        done, waiting = await asyncio.wait(
            [first, second],  # type: ignore[type-var]
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert (done, waiting) == ({first}, {second})
        peer.sendall(KEY_B)
        assert [await each for each in asyncio.as_completed([second])] == [B]


async def test_wait_for_cancels_it_and_the_next_reply_is_the_next_requests() -> None:
    async with talking() as (channel, peer):
        pending = channel.submit(get(b"a"), soon())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pending, 0.01)
        assert pending.cancelled()
        pending = channel.submit(get(b"b"), soon())
        await asyncio.sleep(0)
        peer.sendall(KEY_A + KEY_B)
        assert await asyncio.wait_for(pending, 5) == B


async def test_shielded_it_survives_the_cancel_of_its_caller() -> None:
    async with talking() as (channel, peer):
        pending = channel.submit(get(b"a"), soon())

        async def wait() -> object:
            return await asyncio.shield(pending)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not pending.done()
        peer.sendall(KEY_A)
        assert await pending == A


async def test_a_task_that_is_cancelled_cancels_it_with_its_message() -> None:
    pending = pending_now()

    async def wait() -> object:
        return await pending

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel("because")
    with pytest.raises(asyncio.CancelledError, match="because"):
        await task
    assert pending.cancelled()
    with pytest.raises(asyncio.CancelledError, match="because"):
        pending.result()
    with pytest.raises(asyncio.CancelledError, match="because"):
        pending.exception()
    assert not pending.cancel()


async def test_before_its_reply_it_has_neither_result_nor_error() -> None:
    pending = pending_now()
    assert not pending.done()
    with pytest.raises(asyncio.InvalidStateError):
        pending.result()
    with pytest.raises(asyncio.InvalidStateError):
        pending.exception()
    assert futures._get_loop(pending) is asyncio.get_running_loop()  # type: ignore[attr-defined]


async def test_a_reply_that_comes_too_late_is_not_noted() -> None:
    pending = pending_now()
    assert pending.cancel()
    assert not pending.settle(A)
    pending.fail(ConnectionLost("too late"))
    assert pending.cancelled()


async def test_an_error_is_raised_each_time_it_is_asked_for() -> None:
    pending = pending_now()
    error = ConnectionLost("gone")
    pending.fail(error)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone"):
            await pending
    assert pending.exception() is error
    assert pending.done()
    assert not pending.cancelled()


async def test_an_error_that_nobody_asks_for_is_not_complained_of() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    pending = pending_now()
    pending.fail(ConnectionLost("gone"))
    await asyncio.sleep(0)
    del pending
    assert complaints == []


async def test_its_callbacks_are_called_once_and_soon() -> None:
    called: list[tuple[str, object]] = []
    pending = pending_now()
    for name in ("first", "second", "third"):
        pending.add_done_callback(lambda done, name=name: called.append((name, done)))  # type: ignore[misc]
    pending.fail(ConnectionLost("gone"))
    assert called == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(called, key=str) == [(name, pending) for name in ("first", "second", "third")]
    pending.add_done_callback(lambda done: called.append(("late", done)))
    assert len(called) == 3
    await asyncio.sleep(0)
    assert called[3:] == [("late", pending)]


async def test_a_callback_can_be_taken_back() -> None:
    called: list[str] = []

    def wanted(done: Pending) -> None:
        called.append("wanted")

    def unwanted(done: Pending) -> None:
        called.append("unwanted")

    pending = pending_now()
    for callback in (unwanted, wanted, unwanted, wanted):
        pending.add_done_callback(callback)
    assert pending.remove_done_callback(unwanted) == 2
    assert pending.remove_done_callback(unwanted) == 0
    pending.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert called == ["wanted", "wanted"]
    lonely = pending_now()
    lonely.add_done_callback(unwanted)
    assert lonely.remove_done_callback(unwanted) == 1
    lonely.cancel()
    await asyncio.sleep(0)
    assert called == ["wanted", "wanted"]


async def test_a_callback_runs_in_the_context_it_was_added_in() -> None:
    name = contextvars.ContextVar("name", default="none")
    seen: list[str] = []

    def look(done: Pending) -> None:
        seen.append(name.get())

    pending = pending_now()
    for value in ("a", "b"):
        name.set(value)
        pending.add_done_callback(look)
    other = contextvars.Context()
    other.run(name.set, "c")
    pending.add_done_callback(look, context=other)
    name.set("d")
    pending.fail(ConnectionLost("gone"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(seen) == ["a", "b", "c"]


async def test_a_callers_context_is_his_own() -> None:
    """Replies that come together do not mix up the contexts of those who wait."""
    name = contextvars.ContextVar("name", default="none")

    async def ask(channel: AsyncChannel, key: bytes) -> tuple[object, str]:
        name.set(key.decode())
        return await channel.submit(get(key), soon()), name.get()

    async with talking() as (channel, peer):
        tasks = [asyncio.create_task(ask(channel, key)) for key in (b"a", b"b")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        peer.sendall(KEY_A + KEY_B)
        assert await asyncio.gather(*tasks) == [(A, "a"), (B, "b")]


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
def test_a_callback_that_raises_is_reported_and_the_others_are_called(
    loop_factory, error: type[BaseException]
) -> None:
    """Its reply came in one packet with others; the connection goes on."""
    complaints: list[dict[str, object]] = []

    def fail(done: Pending) -> None:
        raise error

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with talking() as (channel, peer):
            asked = [channel.submit(get(key), soon()) for key in (b"a", b"b")]
            called = loop.create_future()
            asked[0].add_done_callback(fail)
            asked[1].add_done_callback(called.set_result)
            await asyncio.sleep(0)
            peer.sendall(KEY_A + KEY_B)
            assert await called is asked[1]
            assert channel.clean

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())
    (complaint,) = complaints
    assert isinstance(complaint["exception"], error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_stops_the_loop_leaves_the_other_callers_their_replies(
    error: type[BaseException],
) -> None:
    """Ctrl-C in a callback, or a handler of errors that exits: run again, the loop goes on."""
    replies: list[object] = []
    loop = asyncio.new_event_loop()

    def interrupt(done: Pending) -> None:
        raise error

    def exit_on_error(_: object, context: object) -> None:
        raise SystemExit

    loop.set_exception_handler(exit_on_error)

    async def ask() -> tuple[AsyncChannel, socket.socket]:
        near, far = socket.socketpair()
        near.setblocking(False)
        _, channel = await loop.create_unix_connection(
            lambda: AsyncChannel(near, 5.0, UnixAddress("the peer")), sock=near
        )
        first, second = (channel.submit(get(key), soon()) for key in (b"a", b"b"))
        first.add_done_callback(interrupt)
        second.add_done_callback(lambda done: replies.append(done.result()))
        await asyncio.sleep(0)
        return channel, far

    async def go_on(channel: AsyncChannel) -> None:
        async with asyncio.timeout(5):
            while not replies:  # noqa: ASYNC110 - what is tested tells nobody
                await asyncio.sleep(0)
        channel.abort()
        await asyncio.sleep(0)

    try:
        channel, far = loop.run_until_complete(ask())
        far.sendall(KEY_A + KEY_B)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            loop.run_forever()
        assert replies == []
        loop.run_until_complete(go_on(channel))
        assert replies == [B]
        far.close()
    finally:
        loop.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest):
    import uvloop

    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]
