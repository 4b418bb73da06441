"""A byte stream for asyncio whose every call ends by a deadline: TCP, TLS or a unix socket.

Strategy: the verbs, errors and notion of *clean* of ``stream_sync.py``. What arrives goes to the
``Inbox``; the one caller that waits for it, or for the transport to take more, sleeps on a future.
When much lies unread the transport is told to stop reading.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from cenote.connection import inherited_aio
from cenote.connection.reading_aio import Reads
from cenote.connectors import endings
from cenote.connectors.endings import MOST, Timeout
from cenote.connectors.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from cenote.connection.address import Address
    from cenote.errors import ConnectionLost

_FULL = 4 * MOST  # unread bytes from which the transport is told to pause
_GOODBYE = 1.0  # seconds that a close in good order may take
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class AsyncStream(asyncio.Protocol):
    """One connection: bytes out, bytes in. It serves one task at a time, in its own loop.

    The verbs of ``Stream``, awaited; every call takes a ``timeout`` in seconds (None: no limit; by
    default what the connector was given). A call that fails or is cancelled leaves the stream of no
    use, and a pool closes it.

    Attributes:
        address: The peer.
        timeout: Seconds a call may take unless it says otherwise; None: no limit.
    """

    def __init__(
        self, sock: socket.socket, address: Address, timeout: float | None, *, one_way: bool = False
    ) -> None:
        self._sock = sock
        self._transport: asyncio.Transport
        self._reads: Reads
        self._inbox = Inbox()
        self._one_way = one_way
        self._settled = True  # False from the first byte sent until something was received
        self._ended: object = None  # why, once the peer has ended it or it was closed
        self._held_back = False  # the transport takes no more for now
        self._paused = False  # it was told to read no more for now
        self._sleeper: asyncio.Future[None] | None = None
        self._gone = asyncio.get_running_loop().create_future()
        self._forks = inherited_aio.forks
        self.address = address
        self.timeout = timeout

    async def send_all(self, data: bytes | bytearray | memoryview, timeout: Timeout = ...) -> None:
        """Send ``data``; wait until the transport would take more.

        Raises:
            OperationTimeout, ConnectionLost: Some of it may have been sent.
        """
        self._begin()
        if self._ended is not None:
            raise self._lost("send_all")
        self._transport.write(data)
        if self._held_back:
            async with self._limit("send_all", timeout):
                while self._held_back:
                    await self._sleep("send_all")
        self._settled = self._one_way

    async def recv(self, most: int = MOST, timeout: Timeout = ...) -> bytes:
        """Receive what is there, ``most`` bytes at most; wait if nothing is.

        Returns:
            The bytes; none when the peer has closed the connection.
        """
        return await self._take(partial(self._inbox.take, most), "recv", timeout, at_end=b"")

    async def recv_exactly(self, size: int, timeout: Timeout = ...) -> bytes:
        """Receive ``size`` bytes."""
        take = partial(self._inbox.take_exactly, size)
        return await self._take(take, "recv_exactly", timeout)

    async def recv_until(
        self, separator: bytes, limit: int = MOST, timeout: Timeout = ...
    ) -> bytes:
        """Receive everything up to and with the next ``separator``.

        Raises:
            ProtocolError: It is not among the next ``limit`` bytes.
        """
        take = partial(self._inbox.take_until, separator, limit)
        return await self._take(take, "recv_until", timeout)

    async def readline(self, limit: int = MOST, timeout: Timeout = ...) -> bytes:
        """Receive a line, with the newline that ends it; see ``recv_until``."""
        return await self.recv_until(b"\n", limit, timeout)

    @property
    def clean(self) -> bool:
        """Whether the next caller may have it: what was sent was answered, nothing is unread."""
        return self._settled and self.is_alive()

    def is_alive(self) -> bool:
        """Look, without a round trip, whether an idle connection can still be used."""
        if self._ended is not None or self._inbox or self._forks != inherited_aio.forks:
            return False
        over_tls = self._transport.get_extra_info("sslcontext") is not None
        try:
            return bool(self._sock.recv(1, _PEEK)) and over_tls  # what TLS reads may be its own
        except BlockingIOError:
            return True
        except OSError:
            return False

    def getpeercert(self) -> Mapping[str, object] | None:
        """The peer's certificate as ``ssl`` tells it; None without TLS."""
        return cast("Mapping[str, object] | None", self._transport.get_extra_info("peercert"))

    async def close(self) -> None:
        """Close in good order what was sent, or cut it off after a second. Again: nothing."""
        self._end(endings.CLOSED)
        self._transport.close()
        try:
            async with asyncio.timeout(_GOODBYE):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._transport.abort()

    def abort(self) -> None:
        """Let go of the connection without a word; the way to close it in a forked child."""
        self._end(endings.CLOSED)
        if self._forks != inherited_aio.forks:
            inherited_aio.close_inherited(self._sock, self._transport)
        else:
            self._transport.abort()

    def __repr__(self) -> str:
        state = "in use" if self._ended is None else str(self._ended)
        return f"<{type(self).__name__} to {self.address}, {'clean' if self.clean else state}>"

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, by the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._reads = Reads(transport)

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived."""
        self._reads.came(len(data))
        self._inbox.feed(data)
        if len(self._inbox) > _FULL and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that the peer says no more; the transport closes."""
        self._end(endings.END_OF_FILE)

    def pause_writing(self) -> None:
        """Note that the transport takes no more for now."""
        self._held_back = True

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._held_back = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""
        self._end(exc or endings.END_OF_FILE)
        if not self._gone.done():
            self._gone.set_result(None)

    # Steps of the calls above.

    def _begin(self) -> None:
        if self._forks != inherited_aio.forks:
            raise endings.foreign(self.address)
        if self._sleeper is not None:
            raise endings.in_use(self.address)
        self._settled = False

    async def _take(
        self,
        take: Callable[[], bytes | None],
        verb: str,
        timeout: Timeout,
        at_end: bytes | None = None,
    ) -> bytes:
        self._begin()
        piece = take()
        if piece is None:
            async with self._limit(verb, timeout):
                while (piece := take()) is None:
                    if at_end is not None and self._ended is endings.END_OF_FILE:
                        return at_end  # and stays unclean
                    self._read_on()
                    await self._sleep(verb)
        self._read_on()
        self._settled = True
        return piece

    @asynccontextmanager
    async def _limit(self, verb: str, timeout: Timeout) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeout if timeout is ... else timeout):
                yield
        except TimeoutError as error:
            raise endings.timed_out(self.address, verb, len(self._inbox)) from error

    async def _sleep(self, verb: str) -> None:
        """Wait until something happens.

        Raises:
            ConnectionLost: It already has: the end.
        """
        if self._ended is not None:
            raise self._lost(verb)
        self._sleeper = asyncio.get_running_loop().create_future()
        try:
            await self._sleeper
        finally:
            self._sleeper = None

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            if self._ended is None:
                self._transport.resume_reading()

    def _end(self, why: object) -> None:
        if self._ended is None:
            self._ended = why
        self._wake()

    def _lost(self, verb: str) -> ConnectionLost:
        return endings.lost(self.address, verb, len(self._inbox), self._ended)
