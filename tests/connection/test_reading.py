"""How much a transport reads at once."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cenote.connection.reading_aio import LONG, SHORT, Reads


class Sizes(asyncio.Protocol):
    """Notes how long each read was."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.sum = 0
        self.wanted = 0
        self.there = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.reads = Reads(transport)

    def data_received(self, data: bytes) -> None:
        self.reads.came(len(data))
        self.sizes.append(len(data))
        self.sum += len(data)
        if self.sum >= self.wanted:
            self.there.set()

    async def until(self, count: int) -> list[int]:
        """Wait for so many bytes; the sizes of the reads that brought them."""
        self.sizes, self.wanted = [], self.sum + count
        self.there.clear()
        await self.there.wait()
        return self.sizes


def test_reads_are_short_until_one_is_full_and_again_after_one_that_is_not() -> None:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(read_much_and_little())


async def read_much_and_little() -> None:
    mine, peer = socket.socketpair()
    mine.setblocking(False)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, sizes = await loop.create_connection(Sizes, sock=mine)
    try:
        with peer:
            much = 4 * LONG
            sending = asyncio.create_task(loop.sock_sendall(peer, bytes(much)))
            seen = await sizes.until(much)
            await sending
            mosts = [SHORT, *(LONG if size >= SHORT else SHORT for size in seen[:-1])]
            assert all(size <= most for size, most in zip(seen, mosts, strict=True))
            await loop.sock_sendall(peer, b"x")
            assert await sizes.until(1) == [1]
            assert transport.max_size == SHORT  # type: ignore[attr-defined]
    finally:
        transport.close()


@pytest.mark.parametrize("sizes", [(0,), (SHORT, 1), (LONG, SHORT - 1)])
def test_a_transport_without_sizes_is_left_alone(sizes: tuple[int, ...]) -> None:
    transport = asyncio.Transport()
    reads = Reads(transport)
    for size in sizes:
        reads.came(size)
    assert not hasattr(transport, "max_size")
