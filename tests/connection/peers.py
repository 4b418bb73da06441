"""The other end of a connection, played by the test.

Strategy: most of the time a reply can lie in the socket before it is asked for, so that a test
needs no second thread. Where the order matters (a signal while waiting, a peer that answers while
it reads) a ``Peer`` plays a script in a thread of its own.
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Self

from cenote.connection._exchange_native import Channel
from cenote.protocol import RawItem, Reply, Request

KEY_A = b"VALUE a 0 1\r\nA\r\nEND\r\n"
KEY_B = b"VALUE b 0 1\r\nB\r\nEND\r\n"
A: RawItem = (b"A", 0, 0)
B: RawItem = (b"B", 0, 0)


def soon(seconds: float = 120.0) -> float:
    """A deadline that is not meant to pass."""
    return monotonic() + seconds


class Pair:
    """A channel over one end of a socket pair, and the other end.

    Attributes:
        channel: What is tested.
        peer: The other end, blocking.
    """

    def __init__(self, kind: type[Channel], timeout: float = 5.0) -> None:
        near, self.peer = socket.socketpair()
        self.peer.settimeout(5.0)
        self.channel = kind(near, timeout, "the peer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.channel.abort()
        self.peer.close()

    def say(self, data: bytes) -> None:
        """Send bytes to the channel."""
        self.peer.sendall(data)

    def hear(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes that the channel sent."""
        return receive_exactly(self.peer, size)

    def ask(self, request: Request, reply: bytes = b"", deadline: float = math.inf) -> Reply:
        """Exchange, with a reply that lies there already; by default in good time."""
        self.say(reply)
        return self.channel.exchange(request, min(deadline, soon()))


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Receive ``size`` bytes, or fail at the end of the stream."""
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        assert part, f"the stream ended {size} bytes early"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Peer:
    """Plays a script, step by step, in a thread; leaving the block waits for its end.

    What the script raises is raised at the end of the block.
    """

    def __init__(self, *script: Callable[[], object]) -> None:
        self._script = script
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._play)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _play(self) -> None:
        try:
            for step in self._script:
                step()
        except BaseException as error:
            self._error = error
