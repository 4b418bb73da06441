"""Streams under a cancel, and two, at every point where a caller can be cancelled.

Strategy: see ``tests/cancellation.py``; the server is in the same loop, so that turns can be
counted. In every schedule the next caller gets its own answer, and nothing stays open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from cenote import AsyncPool
from cenote.connectors import aio
from cenote.connectors.aio import AsyncStream
from tests.cancellation import Victim
from tests.conftest import Proof

pytestmark = [pytest.mark.proof, pytest.mark.stress]


class Echo(asyncio.Protocol):
    """Sends back what it received, and knows which of its kind are open."""

    open: set[Echo]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open.add(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)


@asynccontextmanager
async def echoing(tmp_path: Path) -> AsyncIterator[str]:
    path = str(tmp_path / "echo.sock")
    Echo.open = set()
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    try:
        yield path
        for _ in range(10):  # whoever was accepted last is being told to the protocol
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while Echo.open:  # noqa: ASYNC110 - the ends are on their way through the kernel
                await asyncio.sleep(0)
    finally:
        server.close()
        await server.wait_closed()
        Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - takes no time


async def ask(stream: AsyncStream, question: bytes) -> None:
    await stream.send_all(question)
    assert await stream.readline() == question


async def lease_and_ask(pool: AsyncPool[AsyncStream], question: bytes) -> None:
    async with pool.connection() as stream:
        await ask(stream, question)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_no_cancel_leaves_an_answer_for_somebody_else(
    proof: Proof, tmp_path: Path, warm: bool
) -> None:
    async def scenario(victim: Victim) -> None:
        async with (
            echoing(tmp_path) as path,
            AsyncPool(aio.unix(path), max_size=1, timeout=30) as pool,
        ):
            if warm:
                await lease_and_ask(pool, b"before\n")
            victim.start(lease_and_ask(pool, b"the victim's\n"))
            other = asyncio.create_task(lease_and_ask(pool, b"the other's\n"))
            await victim.ended()
            await other
            await lease_and_ask(pool, b"after\n")
            assert pool.stats().used == 0

    proof(scenario)


def test_no_cancel_while_connecting_leaves_a_socket_open(proof: Proof, tmp_path: Path) -> None:
    async def connect(path: str) -> None:
        stream = await aio.unix(path).connect(30)
        await stream.close()

    async def scenario(victim: Victim) -> None:
        async with echoing(tmp_path) as path:
            victim.start(connect(path))
            await victim.ended()

    proof(scenario)
