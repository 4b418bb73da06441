"""Streams of bytes from asyncio: the promises of ``test_streams_sync.py``, and cancels."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cenote import (
    AsyncPool,
    ConnectionLost,
    LeaseError,
    OperationTimeout,
    ProtocolError,
    TLSError,
)
from cenote.connectors import aio as connectors
from cenote.connectors.aio import AsyncStream
from cenote.testing.faults import CloseAfter, Forward, Split, Stall
from cenote.testing.proxy import FaultProxy
from tests.connectors.conftest import Certified
from tests.connectors.services import LineServer
from tests.pool.conftest import Run


async def ask(stream: AsyncStream, line: bytes) -> bytes:
    await stream.send_all(line + b"\n")
    return await stream.readline()


@asynccontextmanager
async def pool_of(
    server: LineServer | FaultProxy, timeout: float = 20, **options
) -> AsyncIterator[AsyncPool[AsyncStream]]:
    port = int(server.address[1]) if isinstance(server, FaultProxy) else server.port
    connector = connectors.tcp("127.0.0.1", port, timeout=timeout)
    async with AsyncPool(connector, timeout=20, **options) as pool:
        yield pool


@asynccontextmanager
async def secret_pool(
    server: LineServer, context: ssl.SSLContext, **options
) -> AsyncIterator[AsyncPool[AsyncStream]]:
    connector = connectors.tcp(
        "127.0.0.1", server.port, context, server_hostname="localhost", timeout=20
    )
    async with AsyncPool(connector, timeout=20, **options) as pool:
        yield pool


def test_a_connection_is_used_again(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool:
            for word in (b"one", b"two", b"three"):
                async with pool.connection() as stream:
                    assert await ask(stream, b"say " + word) == word + b"\n"

    run(scenario)
    assert lines.accepted == 1


def test_a_unix_socket_is_an_address_too(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncPool(connectors.unix(str(server.where))) as pool:
            for _ in range(2):
                async with pool.connection() as stream:
                    assert await ask(stream, b"say hello") == b"hello\n"

    with LineServer(str(tmp_path / "lines.sock")) as server:
        run(scenario)
        assert server.accepted == 1


def test_each_way_of_receiving_takes_its_piece_and_leaves_the_rest(
    run: Run, lines: LineServer
) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool, pool.connection() as stream:
            await stream.send_all(b"say abc;defg\n")
            assert await stream.recv(1) == b"a"
            assert await stream.recv_until(b";") == b"bc;"
            assert await stream.recv_exactly(2) == b"de"
            assert await stream.readline() == b"fg\n"

    run(scenario)


def test_what_is_larger_than_any_buffer_arrives_whole(run: Run, lines: LineServer) -> None:
    size = 5_000_000

    async def scenario() -> None:
        async with pool_of(lines) as pool, pool.connection() as stream:
            await stream.send_all(b"fill %d\n" % size)
            assert len(await stream.recv_exactly(size)) == size
            await stream.send_all(b"say " + bytes(size) + b"\n")
            assert await stream.readline(limit=size + 1) == bytes(size) + b"\n"

    run(scenario)


def test_a_line_without_an_end_is_refused_at_its_limit(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool:
            with pytest.raises(ProtocolError, match="within 4 bytes"):
                async with pool.connection() as stream:
                    await stream.send_all(b"half 12345678\n")
                    await stream.readline(limit=4)

    run(scenario)


@pytest.mark.parametrize("line", [b"mute", b"half rest"])
def test_a_reply_that_was_not_waited_for_reaches_nobody_else(
    run: Run, lines: LineServer, line: bytes
) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool:
            async with pool.connection() as stream:
                await stream.send_all(line + b"\n")
            async with pool.connection() as stream:
                assert await ask(stream, b"say mine") == b"mine\n"
        assert pool.stats().closed["reset"] == 1

    run(scenario)


def test_a_reply_that_was_half_read_reaches_nobody_else(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool:
            async with pool.connection() as stream:
                assert await ask(stream, b"twice yours") == b"yours\n"
            async with pool.connection() as stream:
                assert await ask(stream, b"say mine") == b"mine\n"
        assert pool.stats().closed["reset"] == 1

    run(scenario)


def test_a_peer_that_hung_up_while_nobody_listened_is_noticed(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines, check_after=0) as pool:
            async with pool.connection() as stream:
                assert await ask(stream, b"say first") == b"first\n"
            lines.restart()  # in this thread: the loop has not turned when the next one asks
            async with pool.connection() as stream:
                assert await ask(stream, b"say second") == b"second\n"
        assert pool.stats().closed["check"] == 1

    run(scenario)


def test_a_cancelled_caller_costs_its_own_connection_only(run: Run, lines: LineServer) -> None:
    async def hang(pool: AsyncPool[AsyncStream], begun: asyncio.Event) -> None:
        async with pool.connection() as stream:
            await stream.send_all(b"mute\n")
            begun.set()
            await stream.readline()

    async def scenario() -> None:
        async with pool_of(lines) as pool:
            begun = asyncio.Event()
            task = asyncio.create_task(hang(pool, begun))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with pool.connection() as stream:
                assert await ask(stream, b"say mine") == b"mine\n"
        assert pool.stats().closed["error"] == 1

    run(scenario)


def test_a_second_task_is_refused_while_the_first_waits(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool, pool.connection() as stream:
            waiting = asyncio.create_task(stream.readline())
            await asyncio.sleep(0)
            with pytest.raises(LeaseError, match="another task"):
                await stream.recv()
            stream._transport.write(b"say for the first\n")
            assert await waiting == b"for the first\n"

    run(scenario)


def test_a_call_ends_by_its_deadline_however_slowly_bytes_drip(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(proxy, timeout=0.2) as pool:
            with pytest.raises(OperationTimeout, match="recv_until"):
                async with pool.connection() as stream:
                    await ask(stream, b"say " + b"x" * 10_000)

    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.replies = Split(1, 0.02)
        run(scenario)


def test_sending_to_who_does_not_read_ends_by_the_deadline(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(proxy) as pool:
            with pytest.raises(OperationTimeout, match="send_all"):
                async with pool.connection() as stream:
                    await stream.send_all(bytes(50_000_000), timeout=0.2)
            proxy.requests = Forward()  # so that closing need not be cut off

    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.requests = Stall()
        run(scenario)


def test_a_peer_that_hangs_up_half_way_is_told_as_lost(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(proxy) as pool:
            with pytest.raises(ConnectionLost, match="3 bytes received") as caught:
                async with pool.connection() as stream:
                    await ask(stream, b"say hello")
            assert caught.value.replied

    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.replies = CloseAfter(3)
        run(scenario)


def test_recv_returns_nothing_at_the_end_and_other_calls_fail(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines) as pool:
            with pytest.raises(ConnectionLost):
                async with pool.connection() as stream:
                    await stream.send_all(b"bye\n")
                    assert await stream.recv() == b""
                    assert await stream.recv() == b""
                    await stream.send_all(b"say nothing\n")

    run(scenario)


def test_the_pool_survives_a_restart_of_the_server(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        async with pool_of(lines, check_after=1000) as pool:
            streams = [await pool.acquire() for _ in range(5)]
            for stream in streams:
                assert await ask(stream, b"say x") == b"x\n"
                pool.release(stream)
            lines.restart()
            with pytest.raises(ConnectionLost):
                async with pool.connection() as stream:
                    await ask(stream, b"say lost")
            for _ in range(10):
                async with pool.connection() as stream:
                    assert await ask(stream, b"say again") == b"again\n"

    run(scenario)


def test_tls_carries_the_same_conversation(
    run: Run, secret_lines: LineServer, certified: Certified
) -> None:
    async def scenario() -> None:
        async with secret_pool(secret_lines, certified.client, check_after=0) as pool:
            for _ in range(3):
                async with pool.connection() as stream:
                    assert await ask(stream, b"say secret") == b"secret\n"
                    assert stream.getpeercert()
            async with pool.connection() as stream:
                await stream.send_all(b"fill 1000000\n")
                assert len(await stream.recv_exactly(1_000_000)) == 1_000_000

    run(scenario)
    assert secret_lines.accepted == 1


def test_who_can_not_prove_its_name_is_not_connected_to(
    run: Run, secret_lines: LineServer, certified: Certified
) -> None:
    async def scenario() -> None:
        connector = connectors.tcp("127.0.0.1", secret_lines.port, certified.client)
        with pytest.raises(TLSError, match="the certificate of"):
            await connector.connect(20)

    run(scenario)


def test_a_plain_server_does_not_pass_for_a_secret_one(
    run: Run, lines: LineServer, certified: Certified
) -> None:
    async def scenario() -> None:
        connector = connectors.tcp("localhost", lines.port, certified.client)
        with pytest.raises(OSError, match="TLS handshake"):
            await connector.connect(0.2)

    run(scenario)


def test_a_forked_child_can_not_use_its_parents_stream(run: Run, lines: LineServer) -> None:
    async def scenario() -> None:
        stream = await connectors.tcp("127.0.0.1", lines.port).connect(20)
        if (child := os.fork()) == 0:
            os._exit(0 if refused(stream) else 1)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
        assert await ask(stream, b"say parent") == b"parent\n"
        await stream.close()

    def refused(stream: AsyncStream) -> bool:
        try:
            stream.send_all(b"say child\n").send(None)
        except LeaseError:
            stream.abort()
            return True
        return False

    run(scenario)
    assert lines.lines == [b"say parent\n"]
