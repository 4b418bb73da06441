"""The asyncio exchange against scripted bytes, on both event loops."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import socket
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from cenote.connection import UnixAddress
from cenote.connection._exchange_aio import AsyncChannel
from cenote.errors import (
    ClientError,
    ConnectionLost,
    OperationTimeout,
    OutOfMemory,
    ProtocolError,
    ServerError,
    UnknownCommand,
)
from cenote.protocol import (
    STORED,
    BatchReply,
    Reply,
    Request,
    get,
    incr,
    meta_noop,
    meta_set,
    quiet,
    set_many,
    store,
    version,
)
from tests.connection.peers import KEY_A, KEY_B, A, B, soon

SET = store("set", b"k", b"v", 0, 0)
POST = quiet(meta_set(b"k", b"v", b""))
MN = b"MN\r\n"


class AsyncPair:
    """An asyncio channel over one end of a socket pair, and the other end.

    Attributes:
        channel: What is tested.
        peer: The other end, not blocking.
    """

    def __init__(self, channel: AsyncChannel, peer: socket.socket) -> None:
        self.channel = channel
        self.peer = peer

    async def say(self, data: bytes) -> None:
        await turn()  # what has been asked leaves first
        await asyncio.get_running_loop().sock_sendall(self.peer, data)

    async def hear(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        parts: list[bytes] = []
        while size:
            part = await loop.sock_recv(self.peer, min(size, 1 << 20))
            assert part, f"the stream ended {size} bytes early"
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    async def ask(self, request: Request, reply: bytes) -> Reply:
        """Exchange, and reply once the request has come: the loop reads whatever comes earlier."""
        waiting = asyncio.create_task(self.channel.exchange(request, soon()))
        await self.hear(len(request.payload))
        await self.say(reply)
        return await waiting

    async def ended(self) -> bool:
        """Whether the channel closed its end, and sent nothing more before."""
        return not await asyncio.get_running_loop().sock_recv(self.peer, 1)

    def heard_nothing(self) -> bool:
        try:
            return not self.peer.recv(1)
        except BlockingIOError:
            return True


@asynccontextmanager
async def pairing(timeout: float = 5.0) -> AsyncIterator[AsyncPair]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    _, channel = await asyncio.get_running_loop().create_unix_connection(
        lambda: AsyncChannel(near, timeout, UnixAddress("the peer")), sock=near
    )
    try:
        yield AsyncPair(channel, far)
    finally:
        channel.abort()
        far.close()
        await turn()


async def turn(times: int = 3) -> None:
    """Let the loop run what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


async def answered(pair: AsyncPair, count: int) -> None:
    """Let the loop run until ``count`` requests are still unanswered."""
    async with asyncio.timeout(5):
        while pair.channel.pending != count:  # noqa: ASYNC110 - what is tested tells nobody
            await asyncio.sleep(0)


# Pairing requests with replies.


async def test_a_request_leaves_as_it_is_and_its_reply_is_returned() -> None:
    async with pairing() as pair:
        waiting = asyncio.create_task(pair.channel.exchange(get(b"a"), soon()))
        assert await pair.hear(7) == b"get a\r\n"
        await pair.say(KEY_A)
        assert await waiting == A
        assert pair.channel.clean


async def test_a_connection_is_not_clean_while_a_reply_is_due() -> None:
    async with pairing() as pair:
        waiting = asyncio.create_task(pair.channel.exchange(get(b"a"), soon()))
        await pair.hear(7)
        assert not pair.channel.clean
        await pair.say(KEY_A[:5])
        await turn()
        assert not pair.channel.clean
        await pair.say(KEY_A[5:])
        assert await waiting == A
        assert pair.channel.clean


async def test_replies_go_to_their_requests_in_order() -> None:
    async with pairing() as pair:
        first = pair.channel.submit(get(b"a"), soon())
        second = pair.channel.submit(get(b"b"), soon())
        third = asyncio.create_task(pair.channel.exchange(SET, soon()))
        assert await pair.hear(14) == b"get a\r\nget b\r\n"
        await pair.hear(len(SET.payload))
        assert pair.channel.pending == 3
        await pair.say(KEY_A + KEY_B + b"STORED\r\n")
        assert [await first, await second, await third] == [A, B, STORED]


async def test_requests_of_one_turn_leave_in_one_write() -> None:
    """Seen by the peer as one segment, which a socket pair does not put together."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.setblocking(False)
    writes: list[bytes] = []
    _, channel = await asyncio.get_running_loop().create_unix_connection(
        lambda: AsyncChannel(near, 5.0, UnixAddress("the peer")), sock=near
    )
    transport = channel._transport
    assert transport is not None
    channel._transport = _Recording(transport, writes)  # type: ignore[assignment]
    futures = [channel.submit(get(b"%d" % index), soon()) for index in range(5)]
    await turn()
    assert writes == [b"".join(b"get %d\r\n" % index for index in range(5))]
    channel.abort()
    far.close()
    failures = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(failure, ConnectionLost) for failure in failures)


class _Recording:
    """A transport that notes every write."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
async def test_a_value_of_any_size_arrives_whole(size: int) -> None:
    value = os.urandom(size)
    async with pairing() as pair:
        reply = b"VALUE a 7 %d\r\n%b\r\nEND\r\n" % (size, value)
        assert await pair.ask(get(b"a"), reply) == (value, 7, 0)
        assert pair.channel.clean


async def test_a_reply_byte_by_byte_is_put_together() -> None:
    async with pairing() as pair:
        waiting = asyncio.create_task(pair.channel.exchange(get(b"a"), soon()))
        await pair.hear(7)
        for position in range(len(KEY_A)):
            await pair.say(KEY_A[position : position + 1])
            await turn()
        assert await waiting == A


async def test_the_end_of_a_reply_is_not_found_by_its_look() -> None:
    value = b"x\r\nEND\r\n"
    async with pairing() as pair:
        waiting = pair.channel.submit(get(b"a"), soon())
        await pair.say(b"VALUE a 0 %d\r\n%b" % (len(value), value))
        await turn()
        assert not waiting.done()
        await pair.say(b"\r\nEND\r\n")
        assert await waiting == (value, 0, 0)


# Cancels.


async def test_after_a_cancel_the_next_reply_is_the_next_requests() -> None:
    """`incr(b)` returns the answer to `incr(a)`, and every later get misses (aiomcache)."""
    async with pairing() as pair:
        cancelled = asyncio.create_task(pair.channel.exchange(incr(b"a", 1), soon()))
        await pair.hear(10)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not pair.channel.clean
        following = asyncio.create_task(pair.channel.exchange(incr(b"b", 1), soon()))
        await pair.hear(10)
        await pair.say(b"1\r\n")
        await answered(pair, 1)
        assert not following.done()
        await pair.say(b"2\r\n")
        assert await following == 2
        assert pair.channel.clean


async def test_a_cancelled_connection_is_clean_again_once_its_reply_was_swallowed() -> None:
    async with pairing() as pair:
        cancelled = asyncio.create_task(pair.channel.exchange(get(b"a"), soon()))
        await pair.hear(7)
        cancelled.cancel()
        await turn()
        assert not pair.channel.clean
        assert not pair.channel.is_alive()
        await pair.say(KEY_A)
        await answered(pair, 0)
        assert pair.channel.clean
        assert pair.channel.is_alive()


async def test_an_error_reply_to_a_cancelled_request_disturbs_nobody() -> None:
    async with pairing() as pair:
        dropped = pair.channel.submit(SET, soon())
        kept = pair.channel.submit(get(b"a"), soon())
        dropped.cancel()
        await pair.say(b"SERVER_ERROR out of memory storing object\r\n" + KEY_A)
        assert await kept == A


async def test_a_request_cancelled_before_it_left_is_answered_all_the_same() -> None:
    async with pairing() as pair:
        pair.channel.submit(get(b"a"), soon()).cancel()
        assert await pair.ask(get(b"b"), KEY_A + KEY_B) == B


# Deadlines.


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.2])
async def test_a_silent_peer_is_given_up_at_the_deadline(seconds: float) -> None:
    async with pairing() as pair:
        began = monotonic()
        with pytest.raises(OperationTimeout) as caught:
            await pair.channel.exchange(get(b"a"), began + seconds)
        assert -0.002 < monotonic() - began - seconds < 2.5  # what a loaded machine may add
        assert caught.value.phase == "exchange"
        assert "get on the peer" in str(caught.value)
        assert "7 of 7 bytes sent and 0 received" in str(caught.value)
        assert not pair.channel.clean


async def test_a_reply_after_its_deadline_is_swallowed() -> None:
    async with pairing() as pair:
        with pytest.raises(OperationTimeout):
            await pair.channel.exchange(get(b"a"), soon(0.1))
        assert await pair.ask(get(b"b"), KEY_A + KEY_B) == B
        assert pair.channel.clean


@pytest.mark.parametrize("deadline", [0.0, -math.inf, math.nan])
async def test_a_deadline_that_has_passed_sends_nothing(deadline: float) -> None:
    async with pairing() as pair:
        for use in (pair.channel.exchange, pair.channel.submit):
            with pytest.raises(OperationTimeout, match="nothing was sent"):
                await use(get(b"a"), deadline)
        with pytest.raises(OperationTimeout, match="nothing was sent"):
            pair.channel.post(POST, deadline)
        await turn()
        assert pair.heard_nothing()
        assert pair.channel.clean


async def test_every_request_has_a_deadline_of_its_own() -> None:
    """One timer serves them all, whichever comes first."""
    async with pairing() as pair:
        began = monotonic()
        deadlines = [began + 0.3, began + 0.1, began + 60, began + 0.2, math.inf]
        futures = [pair.channel.submit(get(b"a"), deadline) for deadline in deadlines]
        ended: list[int] = []
        for index, future in enumerate(futures):
            future.add_done_callback(lambda _, index=index: ended.append(index))  # type: ignore[misc]
        with pytest.raises(OperationTimeout):
            await futures[0]
        await turn()
        assert ended == [1, 3, 0]
        for index in (1, 3):
            assert isinstance(futures[index].exception(), OperationTimeout)
        await pair.say(KEY_A * 5)
        assert await futures[2] == A
        assert await futures[4] == A
        assert pair.channel.clean


async def test_a_timer_left_standing_does_not_end_a_later_request_early() -> None:
    async with pairing() as pair:
        first = pair.channel.submit(get(b"a"), soon(0.2))
        await pair.say(KEY_A)
        assert await first == A
        later = pair.channel.submit(get(b"b"), soon())
        with pytest.raises(OperationTimeout):  # struck for the first, and found the second in time
            await pair.channel.exchange(get(b"c"), soon(0.3))
        assert not later.done()
        await pair.say(KEY_B)
        assert await later == B


async def test_a_drip_feeding_peer_does_not_extend_the_deadline() -> None:
    async with pairing() as pair:
        waiting = pair.channel.submit(get(b"a"), soon(0.1))
        await pair.say(b"VALUE a 0 100000\r\n")
        while not waiting.done():
            await pair.say(b"x")
            await asyncio.sleep(0.004)
        with pytest.raises(OperationTimeout, match=r"s after it began.*received"):
            await waiting


# What the server refuses, and what is no reply.


async def test_an_error_reply_is_raised_and_the_connection_stays_clean() -> None:
    async with pairing() as pair:
        with pytest.raises(OutOfMemory):
            await pair.ask(SET, b"SERVER_ERROR out of memory storing object\r\n")
        assert pair.channel.clean


async def test_an_error_that_may_be_half_an_answer_ends_the_connection() -> None:
    async with pairing() as pair:
        refused = pair.channel.submit(SET, soon())
        behind = pair.channel.submit(get(b"a"), soon())
        await pair.say(b"CLIENT_ERROR bad data chunk\r\n")
        with pytest.raises(ClientError, match="bad data chunk"):
            await refused
        with pytest.raises(ProtocolError, match="an earlier request was answered"):
            await behind
        assert not pair.channel.clean
        assert pair.channel.closed


@pytest.mark.parametrize("reply", [KEY_B, b"STORED\r\n", b"HTTP/1.1 400\r\n\r\n", KEY_A + KEY_B])
async def test_anything_else_is_a_protocol_error_for_all_that_wait(reply: bytes) -> None:
    async with pairing() as pair:
        first = pair.channel.submit(get(b"a"), soon())
        second = pair.channel.submit(get(b"a"), soon())
        await pair.say(reply)
        for future in (first, second):
            with pytest.raises(ProtocolError, match="get on the peer"):
                await future
        with pytest.raises(ConnectionLost, match="is closed"):
            await pair.channel.exchange(get(b"a"), soon())


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with pairing() as pair:
        await pair.say(b"E")
        assert not pair.channel.is_alive()
        await turn()
        assert pair.channel.closed
        with pytest.raises(ConnectionLost, match=r"is closed .*nobody asked for"):
            await pair.channel.exchange(get(b"a"), soon())


# The end of the stream.


@pytest.mark.parametrize("said", [b"", b"V", b"VALUE a 0 10\r\nabc"])
async def test_everything_that_waits_fails_when_the_stream_ends(said: bytes) -> None:
    """Waiters hang when a connection breaks, and an end inside a line spins (aiomcache)."""
    async with pairing() as pair:
        first = pair.channel.submit(get(b"a"), soon())
        second = pair.channel.submit(get(b"b"), soon())
        await pair.say(said)
        await turn()
        pair.peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionLost, match="the peer closed it") as caught:
            await first
        assert caught.value.replied is bool(said)
        with pytest.raises(ConnectionLost) as caught_behind:
            await second
        assert not caught_behind.value.replied
        assert caught_behind.value is not caught.value
        assert pair.channel.closed


async def test_a_peer_that_is_gone_is_lost_on_sending() -> None:
    async with pairing() as pair:
        pair.peer.close()
        with pytest.raises(ConnectionLost):
            await pair.channel.exchange(get(b"a"), soon())


async def test_closing_fails_whatever_waits_at_once() -> None:
    async with pairing() as pair:
        waiting = pair.channel.submit(get(b"a"), soon())
        pair.channel.close()
        with pytest.raises(ConnectionLost, match="closed from this side"):
            await waiting
        assert pair.channel.closed
        with pytest.raises(ConnectionLost, match="is closed: nothing was sent"):
            await pair.channel.submit(get(b"a"), soon())


async def test_closing_twice_is_closing_once() -> None:
    async with pairing() as pair:
        pair.channel.close()
        pair.channel.close()
        pair.channel.abort()
        await turn()
        assert await pair.ended()


async def test_an_aborted_copy_in_a_forked_child_does_not_disturb_the_parent() -> None:
    """The child shares the selector: it must close its copy without telling the loop."""
    async with pairing() as pair:
        child = os.fork()
        if not child:
            status = 1
            try:
                pair.channel.close()
                status = 0 if pair.channel.fileno() == -1 else 2
            finally:
                os._exit(status)
        ended = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(ended[1]) == 0
        assert await pair.ask(get(b"a"), KEY_A) == A


def in_child(work: Callable[[], object]) -> None:
    """Fork here, inside the running loop, and run ``work`` in the child."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def assert_undisturbed(pair: AsyncPair) -> None:
    """Nothing has been written, and exchanges go on."""
    assert pair.heard_nothing()
    assert await pair.ask(get(b"a"), KEY_A) == A
    assert pair.channel.clean


async def test_a_forked_child_can_not_use_what_it_inherited() -> None:
    async with pairing() as pair:
        channel = pair.channel

        def child() -> None:
            assert not channel.clean
            assert not channel.is_alive()
            with pytest.raises(ConnectionLost, match="fork"):
                channel.exchange(get(b"b"), soon()).send(None)
            with pytest.raises(ConnectionLost, match="fork"):
                channel.submit(get(b"b"), soon())
            with pytest.raises(ConnectionLost, match="fork"):
                channel.post(POST)

        in_child(child)
        await assert_undisturbed(pair)


async def test_a_forked_child_does_not_send_what_the_parent_had_in_hand() -> None:
    """A flight is sent by a callback of the loop, which the child might run."""
    async with pairing() as pair:
        waiting = pair.channel.submit(get(b"b"), soon())
        in_child(pair.channel._flush)
        assert pair.heard_nothing()
        await pair.hear(7)
        await pair.say(KEY_B)
        assert await waiting == B


async def test_an_inherited_transport_is_not_finalized_in_the_child() -> None:
    """That would tell the loop, or close a descriptor that is another's by now."""
    async with pairing() as pair:

        def child() -> None:
            transport = weakref.ref(pair.channel._transport)
            number = pair.channel.fileno()
            pair.channel.abort()
            pair.channel._transport = None
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            gc.collect()
            assert transport() is not None
            os.fstat(number)

        in_child(child)
        await assert_undisturbed(pair)


async def test_a_connection_tells_its_state() -> None:
    async with pairing() as pair:
        assert repr(pair.channel) == "<AsyncChannel to the peer, clean>"
        assert pair.channel.fileno() >= 0
        waiting = pair.channel.submit(get(b"a"), soon())
        assert repr(pair.channel) == "<AsyncChannel to the peer, 1 in flight>"
        pair.channel.abort()
        assert repr(pair.channel) == "<AsyncChannel to the peer, closed>"
        with pytest.raises(ConnectionLost):
            await waiting


async def test_an_idle_connection_is_alive_until_the_peer_closes() -> None:
    async with pairing() as pair:
        assert pair.channel.is_alive()
        pair.peer.close()
        assert not pair.channel.is_alive()
        await turn()
        assert not pair.channel.is_alive()


# Several requests in one write.


async def test_error_replies_of_a_flight_are_values() -> None:
    async with pairing() as pair:
        flight = asyncio.create_task(pair.channel.converse((meta_noop(), version()), soon()))
        await pair.hear(13)
        await pair.say(b"ERROR\r\nVERSION 1.4.39\r\n")
        probe, release = await flight
        assert isinstance(probe, UnknownCommand)
        assert release == "1.4.39"


async def test_an_error_that_ends_the_conversation_is_raised_for_the_whole_flight() -> None:
    async with pairing() as pair:
        flight = asyncio.create_task(pair.channel.converse((meta_noop(), version()), soon()))
        await pair.hear(13)
        await pair.say(b"ERROR Too many open connections\r\n")
        with pytest.raises(ServerError, match="Too many open connections"):
            await flight


async def test_a_flight_fails_with_its_connection() -> None:
    async with pairing() as pair:
        pair.peer.close()
        with pytest.raises(ConnectionLost):
            await pair.channel.converse((meta_noop(), version()), soon())


# Quiet requests.


async def test_a_posted_request_is_sent_and_not_waited_for() -> None:
    async with pairing() as pair:
        pair.channel.post(POST)
        assert pair.channel.clean
        assert pair.channel.is_alive()
        assert await pair.hear(len(POST.payload)) == POST.payload
        reply = b"SERVER_ERROR out of memory\r\n" + MN + KEY_A
        assert await pair.ask(get(b"a"), reply) == A
        assert pair.channel.pending == 0


async def test_a_fence_that_is_none_is_a_protocol_error_for_the_next() -> None:
    async with pairing() as pair:
        pair.channel.post(POST)
        await pair.hear(len(POST.payload))
        with pytest.raises(ProtocolError):
            await pair.ask(get(b"a"), KEY_A)
        assert not pair.channel.clean


async def test_a_post_leaves_with_the_requests_of_its_turn() -> None:
    async with pairing() as pair:
        waiting = pair.channel.submit(get(b"a"), soon())
        pair.channel.post(POST)
        assert await pair.hear(7 + len(POST.payload)) == b"get a\r\n" + POST.payload
        await pair.say(KEY_A + MN)
        assert await waiting == A


async def test_closing_waits_for_the_fences_of_what_was_posted() -> None:
    async with pairing() as pair:
        pair.channel.post(POST)
        pair.channel.close()
        assert pair.channel.closed
        await pair.hear(len(POST.payload))
        await pair.say(MN)
        assert await pair.ended()


async def test_closing_does_not_wait_long_for_fences() -> None:
    async with pairing() as pair:
        pair.channel.post(POST)
        pair.channel.close()
        await pair.hear(len(POST.payload))
        assert await pair.ended()


# A peer that does not keep up.


async def test_what_is_asked_while_the_peer_does_not_read_is_held_back_and_sent_later() -> None:
    large = store("set", b"k", bytes(4 << 20), 0, 0)
    async with pairing() as pair:
        stored = pair.channel.submit(large, soon())
        await turn()
        assert not pair.channel.writable
        got = pair.channel.submit(get(b"a"), soon())
        await turn()
        received = await pair.hear(len(large.payload) + 7)
        assert received.endswith(b"\r\nget a\r\n")
        assert pair.channel.writable
        await pair.say(b"STORED\r\n" + KEY_A)
        assert [await stored, await got] == [STORED, A]


async def test_a_timeout_tells_how_much_the_peer_did_not_take() -> None:
    large = store("set", b"k", bytes(4 << 20), 0, 0)
    async with pairing() as pair:
        with pytest.raises(OperationTimeout, match=rf"of {len(large.payload)} bytes") as caught:
            await pair.channel.exchange(large, soon(0.05))
        assert f"{len(large.payload)} of" not in str(caught.value)


async def test_a_batch_is_answered_while_it_is_sent() -> None:
    count = 100_000
    request = set_many([(b"k", b"v", 0)] * count, 0, meta=False)
    size = len(request.payload) // count
    async with pairing() as pair:
        waiting = asyncio.create_task(pair.channel.exchange(request, soon(120)))
        left = 0
        for _ in range(0, len(request.payload), 1 << 16):
            chunk = min(1 << 16, len(request.payload) - left)
            await pair.hear(chunk)
            await pair.say(b"STORED\r\n" * ((left + chunk) // size - left // size))
            left += chunk
        assert await waiting == BatchReply()


# Memory.


async def test_a_refusal_leaves_no_reference_cycle() -> None:
    """What an exchange raised is freed when its caller lets go, without the collector."""
    async with pairing() as pair:
        gc.collect()
        gc.disable()
        try:
            watched = await _refusal(pair)
            await turn()
            assert watched() is None
        finally:
            gc.enable()


async def _refusal(pair: AsyncPair) -> weakref.ref[OutOfMemory]:
    waiting = asyncio.create_task(pair.channel.exchange(SET, soon()))
    await pair.hear(len(SET.payload))
    await pair.say(b"SERVER_ERROR out of memory storing object\r\n")
    try:
        await waiting
    except OutOfMemory as error:
        return weakref.ref(error)
    finally:
        del waiting
    raise AssertionError("it was not refused")


async def test_idle_connections_hold_little_memory() -> None:
    """The channel's own state, after a large value; what the loop's transport holds is not ours."""
    async with pairing() as warm, pairing() as pair:
        reply = b"VALUE a 0 300000\r\n%b\r\nEND\r\n" % bytes(300_000)
        await warm.ask(get(b"a"), reply)
        gc.collect()
        tracemalloc.start()
        try:
            await pair.ask(get(b"a"), reply)
            await turn()  # the loop holds what it ran last
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 4096


async def test_a_reply_that_only_the_loop_is_late_to_read_is_not_said_to_be_overdue() -> None:
    told: list[str] = []

    class Listening:
        """A sharer of the connection."""

        def __getattr__(self, event: str) -> Callable[..., None]:
            return lambda *_: told.append(event)

    async with pairing() as pair:
        late, behind = (pair.channel.submit(get(key), soon(0.02)) for key in (b"a", b"b"))
        await turn()
        pair.channel.sharer = Listening()  # type: ignore[assignment]
        pair.peer.sendall(KEY_A + KEY_B)
        while not late.done():  # nothing is read meanwhile
            pair.channel._strike()
        assert isinstance(late.exception(), OperationTimeout)
        await answered(pair, 0)
        assert behind.done()
        assert "overdue" not in told
        pair.channel.sharer = None
