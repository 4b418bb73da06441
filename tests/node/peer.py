"""A server in the test's own event loop, which answers when it is told to.

Strategy: each connection shakes hands by itself; from then on it notes what was asked. ``answer``
replies to the oldest requests; an ``eager`` peer does so by itself. The value of a key is the key,
unless ``values`` says otherwise. As everything happens in one loop, nothing is raced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from cenote.connection import OPEN, UnixAddress
from cenote.node.aio import AsyncNode
from cenote.node.sharing import DEFAULTS, Sharing
from cenote.pool import PoolOptions
from tests.node.worlds import TRUSTING

GREETING = b"mn\r\nversion\r\n"


class Link(asyncio.Protocol):
    """One connection, seen from the server.

    Attributes:
        requests: What was asked, in order. A get of several keys stands there as several; all but
            the last lack their end of line.
        answered: How many of these have been replied to.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._heard = b""
        self._greeted = False
        self.requests: list[bytes] = []
        self.answered = 0
        self.open = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open = True
        self._peer.links.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if not self._greeted:
            self.greet()
        while self._greeted and (request := _first(self._heard)):
            self._heard = self._heard[len(request) :]
            self.requests += _parts(request)
        if self._peer.eager:
            self.answer()
        if self._peer.chokes_on and self._heard.startswith(self._peer.chokes_on):
            self.transport.pause_reading()

    def greet(self) -> None:
        """Answer the handshake, if the peer does so."""
        if self._peer.greets and self._heard.startswith(GREETING):
            self._heard = self._heard[len(GREETING) :]
            self._greeted = True
            self.say(b"MN\r\nVERSION 1.6.40\r\n")

    def answer(self, count: int | None = None) -> None:
        """Reply to the oldest requests that have not been."""
        end = len(self.requests) if count is None else self.answered + count
        replies = [self._peer.reply(each) for each in self.requests[self.answered : end]]
        self.answered += len(replies)
        self.say(b"".join(replies))
        if self._peer.hangs_up and replies:
            self.transport.close()

    @property
    def unanswered(self) -> int:
        return len(self.requests) - self.answered

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    @property
    def keys(self) -> list[bytes]:
        """The keys that were asked for, in order."""
        return [each.split()[1] for each in self.requests if b" " in each]


class Peer:
    """The server.

    Attributes:
        links: Every connection there was, in order.
        eager: Whether requests are answered at once.
        greets: Whether handshakes are.
        hangs_up: Whether a connection is closed after each answer.
        chokes_on: How a request begins that is not read further; empty: all are.
        values: What keys hold; None: nothing.
    """

    def __init__(self, path: str) -> None:
        self.address = UnixAddress(path)
        self.links: list[Link] = []
        self.eager = True
        self.greets = True
        self.hangs_up = False
        self.chokes_on = b""
        self.values: dict[bytes, bytes | None] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Link(self), self.address.path)

    async def stop(self) -> None:
        """Refuse connections and close those there are."""
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await until(lambda: not any(link.open for link in self.links))
        Path(self.address.path).unlink(missing_ok=True)  # noqa: ASYNC240 - takes no time

    def hang_up(self) -> None:
        for link in self.links:
            if link.open:
                link.transport.abort()

    def greet(self) -> None:
        """Answer the handshakes from now on."""
        self.greets = True
        for link in self.links:
            link.greet()

    def answer(self) -> None:
        """Read and answer everything, from now on at once."""
        self.eager, self.chokes_on = True, b""
        for link in self.links:
            if link.open:
                link.transport.resume_reading()
                link.answer()

    def reply(self, request: bytes) -> bytes:
        verb, key, *_ = [*request.split(None, 2), b""]
        if verb == b"set":
            return b"STORED\r\n"
        if verb in (b"ms", b"mn"):  # ``ms`` is quiet
            return b"MN\r\n" if verb == b"mn" else b""
        if verb == b"incr":
            return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        value = self.values.get(key, key)
        end = b"END\r\n" if request.endswith(b"\n") else b""
        if value is None:
            return end
        return b"VALUE %s 0 %d\r\n%s\r\n%s" % (key, len(value), value, end)

    def asked(self) -> int:
        """How many requests have come, over all connections."""
        return sum(len(link.requests) for link in self.links)


def _first(heard: bytes) -> bytes:
    """The first request, if it is there as a whole."""
    line, end, _ = heard.partition(b"\r\n")
    if not end:
        return b""
    size = len(line) + 2
    if line.startswith(b"set "):
        size += int(line.split()[4]) + 2
    elif line.startswith(b"ms "):
        size += int(line.split()[2]) + 2
    return heard[:size] if len(heard) >= size else b""


def _parts(request: bytes) -> list[bytes]:
    verb, *keys = request.split()
    if verb != b"get":
        return [request]
    return [b"get " + key for key in keys[:-1]] + [b"get %s\r\n" % keys[-1]]


@asynccontextmanager
async def world(
    folder: Path, options: PoolOptions = TRUSTING, sharing: Sharing = DEFAULTS, **changes: object
) -> AsyncIterator[tuple[Peer, AsyncNode]]:
    """A peer and a node that talks to it; at the end the node has no connection out on lease."""
    peer = Peer(str(folder / "peer"))
    await peer.start()
    options = replace(options, **changes)  # type: ignore[arg-type]
    node = AsyncNode(peer.address, name="n", access=OPEN, options=options, sharing=sharing)
    try:
        yield peer, node
        peer.greet()
        peer.answer()
        await until(lambda: not node.pool.stats().used)
    finally:
        await node.close(0.0)
        await peer.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what is tested tells nobody
            await asyncio.sleep(0)


async def turns(count: int) -> None:
    """Let the loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)
