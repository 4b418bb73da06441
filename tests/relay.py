"""A real memcached that is reached in the same number of turns of the loop every time.

Strategy: what arrives in the test's event loop is carried to the server and back by a blocking
socket, within one callback; a fence (a ``ms`` with a number of its own) tells where the reply ends.
So a test that counts turns is deterministic, and yet nothing of the server is made up. For requests
that leave in one piece.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

_numbers = itertools.count()


class _Relay(asyncio.Protocol):
    """One connection; replies are passed on some turns after they came."""

    def __init__(self, upstream: str, turns: int) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.settimeout(20)
        self._server.connect(upstream)
        self._turns = turns
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.close()

    def data_received(self, data: bytes) -> None:
        number = next(_numbers)
        self._server.sendall(data + b"ms fence 1 k O%d\r\nx\r\n" % number)
        end, reply = b"HD kfence O%d\r\n" % number, b""
        while not reply.endswith(end):
            part = self._server.recv(1 << 20)
            assert part, "the server hung up"
            reply += part
        self._pass_on(reply[: -len(end)], self._turns)

    def _pass_on(self, reply: bytes, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._pass_on, reply, turns - 1)
        elif not self._transport.is_closing():
            self._transport.write(reply)


@asynccontextmanager
async def relaying(upstream: str, path: Path, *, turns: int = 2) -> AsyncIterator[str]:
    """Listen at ``path`` for connections to the unix socket ``upstream``."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: _Relay(upstream, turns), str(path))
    try:
        yield str(path)
    finally:
        server.close()
        await asyncio.sleep(0)
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - takes no time
