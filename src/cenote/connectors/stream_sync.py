"""A blocking byte stream whose every call ends by a deadline: TCP, TLS or a unix socket.

Strategy: the socket itself never blocks. A call tries first, and polls for what the kernel (or TLS,
which may want to write in order to read) asks for, until its deadline; so a peer that drips a byte
at a time stretches nothing. What arrived and was not asked for stays in the ``Inbox``.

A stream is *clean* when nothing speaks against giving it to somebody else: something was received
after the last byte sent, and nothing is left unread. Whatever interrupts a call leaves it unclean.
That is all that can be known without the protocol: who sends two requests, reads one reply and
leaves in good order must close the stream.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import ssl
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from cenote.connection.patience import poll_milliseconds
from cenote.connectors import endings
from cenote.connectors.endings import MOST, Timeout
from cenote.connectors.inbox import Inbox
from cenote.connectors.peeking import is_idle, is_quiet

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from cenote.connection.address import Address
    from cenote.errors import ConnectionLost, OperationTimeout

A = TypeVar("A")
R = TypeVar("R")


class Stream:
    """One connection: bytes out, bytes in. It serves one thread at a time.

    Every call takes a ``timeout`` in seconds (None: no limit; by default what the connector was
    given) and raises ``OperationTimeout`` when it has passed, ``ConnectionLost`` when the peer is
    gone. After either the stream is of no use any more, and a pool closes it.

    Attributes:
        address: The peer.
        timeout: Seconds a call may take unless it says otherwise; None: no limit.
    """

    __slots__ = (
        "__weakref__", "_closed", "_inbox", "_one_way", "_pid", "_settled", "_sock",
        "address", "timeout",
    )  # fmt: skip

    def __init__(
        self, sock: socket.socket, address: Address, timeout: float | None, *, one_way: bool = False
    ) -> None:
        self._sock = sock
        self._inbox = Inbox()
        self._one_way = one_way
        self._settled = True  # False from the first byte sent until something was received
        self._closed = False
        self._pid = os.getpid()
        self.address = address
        self.timeout = timeout

    def send_all(self, data: bytes | bytearray | memoryview, timeout: Timeout = ...) -> None:
        """Send all of ``data``; what arrives meanwhile is left where it is.

        Raises:
            OperationTimeout, ConnectionLost: Some of it may have been sent.
        """
        deadline = self._begin("send_all", timeout)
        left = memoryview(data).cast("B")
        while left:
            sent = self._attempt(self._sock.send, left, select.POLLOUT, "send_all", deadline)
            left = left[sent:]
        self._settled = self._one_way

    def recv(self, most: int = MOST, timeout: Timeout = ...) -> bytes:
        """Receive what is there, ``most`` bytes at most; wait if nothing is.

        Returns:
            The bytes; none when the peer has closed the connection.
        """
        return self._take(partial(self._inbox.take, most), "recv", timeout, at_end=b"")

    def recv_exactly(self, size: int, timeout: Timeout = ...) -> bytes:
        """Receive ``size`` bytes."""
        return self._take(partial(self._inbox.take_exactly, size), "recv_exactly", timeout)

    def recv_until(self, separator: bytes, limit: int = MOST, timeout: Timeout = ...) -> bytes:
        """Receive everything up to and with the next ``separator``.

        Raises:
            ProtocolError: It is not among the next ``limit`` bytes.
        """
        take = partial(self._inbox.take_until, separator, limit)
        return self._take(take, "recv_until", timeout)

    def readline(self, limit: int = MOST, timeout: Timeout = ...) -> bytes:
        """Receive a line, with the newline that ends it; see ``recv_until``."""
        return self.recv_until(b"\n", limit, timeout)

    @property
    def clean(self) -> bool:
        """Whether the next caller may have it: what was sent was answered, nothing is unread."""
        return self._settled and not self._inbox and is_quiet(self._sock)

    def is_alive(self) -> bool:
        """Look, without a round trip, whether an idle connection can still be used."""
        return not self._closed and not self._inbox and is_idle(self._sock)

    def fileno(self) -> int:
        """The socket's descriptor (-1 when closed)."""
        return self._sock.fileno()

    def getpeercert(self) -> Mapping[str, object] | None:
        """The peer's certificate as ``ssl`` tells it; None without TLS."""
        return self._sock.getpeercert() if isinstance(self._sock, ssl.SSLSocket) else None

    def close(self) -> None:
        """Close the connection; with TLS, say goodbye if that takes no wait. Again: nothing."""
        if not self._closed and self._pid == os.getpid() and isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.unwrap()
        self.abort()

    def abort(self) -> None:
        """Let go of the connection without a word; the way to close it in a forked child."""
        self._closed = True
        self._sock.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "clean" if self.clean else "in use"
        return f"<{type(self).__name__} to {self.address}, {state}>"

    # Steps of the calls above.

    def _begin(self, verb: str, timeout: Timeout) -> float:
        if self._pid != os.getpid():
            raise endings.foreign(self.address)
        if self._closed:
            raise self._lost(verb, endings.CLOSED)
        self._settled = False
        limit = self.timeout if timeout is ... else timeout
        return math.inf if limit is None else monotonic() + limit

    def _take(
        self,
        take: Callable[[], bytes | None],
        verb: str,
        timeout: Timeout,
        at_end: bytes | None = None,
    ) -> bytes:
        deadline = self._begin(verb, timeout)
        piece = take()
        while piece is None:
            data = self._attempt(self._sock.recv, MOST, select.POLLIN, verb, deadline)
            if not data and at_end is not None:
                return at_end  # and stays unclean
            if not data:
                raise self._lost(verb, endings.END_OF_FILE)
            self._inbox.feed(data)
            piece = take()
            if piece is None and monotonic() >= deadline:
                raise self._timed_out(verb)
        self._settled = True
        return piece

    def _attempt(
        self, call: Callable[[A], R], argument: A, events: int, verb: str, deadline: float
    ) -> R:
        """Call the socket, waiting for ``events``, or for what TLS asks for, until it answers."""
        while True:
            try:
                return call(argument)
            except BlockingIOError:
                awaited = events
            except ssl.SSLWantReadError:
                awaited = select.POLLIN
            except ssl.SSLWantWriteError:
                awaited = select.POLLOUT
            except OSError as error:
                raise self._lost(verb, error) from error
            if not wait_for(self._sock, awaited, deadline):
                raise self._timed_out(verb)

    def _lost(self, verb: str, cause: object) -> ConnectionLost:
        return endings.lost(self.address, verb, len(self._inbox), cause)

    def _timed_out(self, verb: str) -> OperationTimeout:
        return endings.timed_out(self.address, verb, len(self._inbox))


def wait_for(sock: socket.socket, events: int, deadline: float) -> bool:
    """Wait until a socket is ready for ``events``; False: the deadline came first."""
    poller = select.poll()
    poller.register(sock, events)
    while not poller.poll(poll_milliseconds(deadline - monotonic())):
        if monotonic() >= deadline:
            return False
    return True
