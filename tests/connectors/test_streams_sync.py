"""Streams of bytes from threads: what a call promises, and which connections are used again."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

from cenote import (
    TLS,
    ConnectFailed,
    ConfigurationError,
    ConnectionLost,
    LeaseError,
    OperationTimeout,
    Pool,
    ProtocolError,
    TLSError,
    connectors,
)
from cenote.connectors import Stream
from cenote.connectors import aio as connectors_aio
from cenote.testing.faults import CloseAfter, Split, Stall
from cenote.testing.proxy import FaultProxy
from tests.connection.addresses import resolving
from tests.connectors.conftest import Certified
from tests.connectors.services import LineServer


def ask(stream: Stream, line: bytes) -> bytes:
    stream.send_all(line + b"\n")
    return stream.readline()


def pool_of(server: LineServer, **options) -> Pool[Stream]:
    return Pool(connectors.tcp("127.0.0.1", server.port, timeout=20), timeout=20, **options)


def through(proxy: FaultProxy) -> tuple[str, int]:
    assert isinstance(proxy.address, tuple)
    return proxy.address


def await_bytes(stream: Stream) -> None:
    """Wait until something, be it the end, has arrived."""
    assert select.select([stream], [], [], 20)[0]


def test_a_connection_is_used_again(lines: LineServer) -> None:
    with pool_of(lines) as pool:
        for word in (b"one", b"two", b"three"):
            with pool.connection() as stream:
                assert ask(stream, b"say " + word) == word + b"\n"
    assert lines.accepted == 1


def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    with (
        LineServer(str(tmp_path / "lines.sock")) as server,
        Pool(connectors.unix(str(server.where))) as pool,
    ):
        for _ in range(2):
            with pool.connection() as stream:
                assert ask(stream, b"say hello") == b"hello\n"
        assert server.accepted == 1


def test_each_way_of_receiving_takes_its_piece_and_leaves_the_rest(lines: LineServer) -> None:
    with pool_of(lines) as pool, pool.connection() as stream:
        stream.send_all(b"say abc;defg\n")
        assert stream.recv(1) == b"a"
        assert stream.recv_until(b";") == b"bc;"
        assert stream.recv_exactly(2) == b"de"
        assert stream.readline() == b"fg\n"


def test_what_is_larger_than_any_buffer_arrives_whole(lines: LineServer) -> None:
    size = 5_000_000
    with pool_of(lines) as pool, pool.connection() as stream:
        stream.send_all(b"fill %d\n" % size)
        assert len(stream.recv_exactly(size)) == size


def test_a_line_without_an_end_is_refused_at_its_limit(lines: LineServer) -> None:
    refused = pytest.raises(ProtocolError, match="within 4 bytes")
    with pool_of(lines) as pool, refused, pool.connection() as stream:
        stream.send_all(b"half 12345678\n")
        stream.readline(limit=4)
    assert pool.stats().closed["error"] == 1


@pytest.mark.parametrize("line", [b"mute", b"half rest"])
def test_a_reply_that_was_not_waited_for_reaches_nobody_else(
    lines: LineServer, line: bytes
) -> None:
    with pool_of(lines) as pool:
        with pool.connection() as stream:
            stream.send_all(line + b"\n")
        with pool.connection() as stream:
            assert ask(stream, b"say mine") == b"mine\n"
    assert pool.stats().closed["reset"] == 1


def test_a_reply_that_was_half_read_reaches_nobody_else(lines: LineServer) -> None:
    with pool_of(lines) as pool:
        with pool.connection() as stream:
            assert ask(stream, b"twice yours") == b"yours\n"
        with pool.connection() as stream:
            assert ask(stream, b"say mine") == b"mine\n"
    assert pool.stats().closed["reset"] == 1


def test_what_arrives_while_nobody_listens_costs_the_connection(lines: LineServer) -> None:
    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        with Pool(connectors.tcp(*through(proxy)), check_after=0, timeout=20) as pool:
            with pool.connection() as stream:
                assert ask(stream, b"say first") == b"first\n"
                first = stream
            proxy.hang_up()
            await_bytes(first)
            with pool.connection() as stream:
                assert ask(stream, b"say second") == b"second\n"
        assert pool.stats().closed["check"] == 1


def test_a_one_way_stream_is_used_again_after_sending_alone(lines: LineServer) -> None:
    connector = connectors.tcp("127.0.0.1", lines.port, one_way=True)
    with Pool(connector, timeout=20) as pool:
        for _ in range(3):
            with pool.connection() as stream:
                stream.send_all(b"mute\n")
    assert pool.stats().created == 1


def test_a_call_ends_by_its_deadline_however_slowly_bytes_drip(lines: LineServer) -> None:
    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.replies = Split(1, 0.02)
        with (
            Pool(connectors.tcp(*through(proxy), timeout=0.2), timeout=20) as pool,
            pytest.raises(OperationTimeout, match="recv_until"),
            pool.connection() as stream,
        ):
            ask(stream, b"say " + b"x" * 10_000)


def test_the_deadline_of_a_call_overrides_the_connectors(lines: LineServer) -> None:
    with pool_of(lines) as pool, pytest.raises(OperationTimeout), pool.connection() as stream:
        stream.send_all(b"mute\n")
        stream.recv(timeout=0.05)
    assert pool.stats().closed["error"] == 1


def test_sending_to_who_does_not_read_ends_by_the_deadline(lines: LineServer) -> None:
    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.requests = Stall()
        with (
            Pool(connectors.tcp(*through(proxy)), timeout=20) as pool,
            pytest.raises(OperationTimeout, match="send_all"),
            pool.connection() as stream,
        ):
            stream.send_all(bytes(50_000_000), timeout=0.2)


def test_a_peer_that_hangs_up_half_way_is_told_as_lost(lines: LineServer) -> None:
    with FaultProxy(("127.0.0.1", lines.port)) as proxy:
        proxy.replies = CloseAfter(3)
        with (
            Pool(connectors.tcp(*through(proxy)), timeout=20) as pool,
            pytest.raises(ConnectionLost, match="3 bytes received") as caught,
            pool.connection() as stream,
        ):
            ask(stream, b"say hello")
        assert caught.value.replied


def test_recv_returns_nothing_at_the_end_as_a_socket_does(lines: LineServer) -> None:
    with pool_of(lines) as pool, pool.connection() as stream:
        stream.send_all(b"bye\n")
        assert stream.recv() == b""
    assert pool.stats().closed["reset"] == 1


def test_the_pool_survives_a_restart_of_the_server(lines: LineServer) -> None:
    """One lost connection is enough: its siblings, used a moment ago, are not handed out."""
    with pool_of(lines, check_after=1000) as pool:
        streams = [pool.acquire() for _ in range(5)]
        for stream in streams:
            assert ask(stream, b"say x") == b"x\n"
            pool.release(stream)
        lines.restart()
        with pytest.raises(ConnectionLost), pool.connection() as stream:
            ask(stream, b"say lost")
        for _ in range(10):
            with pool.connection() as stream:
                assert ask(stream, b"say again") == b"again\n"


def test_the_pool_follows_a_name_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        LineServer(name="old") as old,
        LineServer(("127.0.0.2", old.port), name="new") as new,
        Pool(connectors.tcp("several", old.port), timeout=20) as pool,
    ):
        with resolving(monkeypatch, ("127.0.0.1", old.port)), pool.connection() as stream:
            assert ask(stream, b"name") == b"old\n"
            first = stream
        with resolving(monkeypatch, ("127.0.0.2", new.port)):
            pool.invalidate_all()
            with pool.connection() as stream:
                assert stream is not first
                assert ask(stream, b"name") == b"new\n"


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with (
            Pool(connectors.tcp("127.0.0.1", port), on_down="fail", timeout=20) as pool,
            pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}"),
        ):
            pool.acquire()


def test_a_closed_stream_says_so(lines: LineServer) -> None:
    stream = connectors.tcp("127.0.0.1", lines.port).connect(20)
    stream.close()
    stream.close()
    with pytest.raises(ConnectionLost, match="it is closed"):
        stream.recv()
    assert not stream.is_alive()
    assert "closed" in repr(stream)


def test_a_forked_child_can_not_use_its_parents_stream(lines: LineServer) -> None:
    stream = connectors.tcp("127.0.0.1", lines.port).connect(20)
    if (child := os.fork()) == 0:
        try:
            stream.send_all(b"say child\n")
        except LeaseError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(stream, b"say parent") == b"parent\n"
    stream.close()
    assert lines.lines == [b"say parent\n"]


# TLS.


def secret_pool(server: LineServer, context: ssl.SSLContext, **options) -> Pool[Stream]:
    connector = connectors.tcp(
        "127.0.0.1", server.port, context, server_hostname="localhost", timeout=20
    )
    return Pool(connector, timeout=20, **options)


def test_tls_carries_the_same_conversation(secret_lines: LineServer, certified: Certified) -> None:
    with secret_pool(secret_lines, certified.client, check_after=0) as pool:
        for _ in range(3):
            with pool.connection() as stream:
                assert ask(stream, b"say secret") == b"secret\n"
                assert stream.getpeercert()
        with pool.connection() as stream:
            stream.send_all(b"fill 1000000\n")
            assert len(stream.recv_exactly(1_000_000)) == 1_000_000
    assert secret_lines.accepted == 1


def test_tls_tickets_that_lie_unread_do_not_cost_a_connection(
    secret_lines: LineServer, certified: Certified
) -> None:
    """TLS 1.3 sends session tickets by itself, after the handshake."""
    with secret_pool(secret_lines, certified.client, check_after=0, min_size=1) as pool:
        pool.open(wait=True)
        with pool.connection() as stream:
            assert stream.is_alive()
            assert ask(stream, b"say still here") == b"still here\n"
    assert pool.stats().created == 1


def test_a_tls_peer_that_hung_up_is_noticed(secret_lines: LineServer, certified: Certified) -> None:
    with secret_pool(secret_lines, certified.client, check_after=0) as pool:
        with pool.connection() as stream:
            assert ask(stream, b"say first") == b"first\n"
            first = stream
        secret_lines.restart()
        await_bytes(first)
        with pool.connection() as stream:
            assert ask(stream, b"say second") == b"second\n"
    assert pool.stats().closed["check"] == 1


def test_who_can_not_prove_its_name_is_not_connected_to(
    secret_lines: LineServer, certified: Certified
) -> None:
    connector = connectors.tcp("127.0.0.1", secret_lines.port, certified.client)
    with pytest.raises(TLSError, match="the certificate of"):
        connector.connect(20)


def test_who_is_not_trusted_is_not_connected_to(secret_lines: LineServer) -> None:
    connector = connectors.tcp("localhost", secret_lines.port, ssl.create_default_context())
    with pytest.raises(TLSError, match="the certificate of"):
        connector.connect(20)


def test_a_plain_server_does_not_pass_for_a_secret_one(
    lines: LineServer, certified: Certified
) -> None:
    """It never answers the handshake, or not with one: either ends by the deadline."""
    connector = connectors.tcp("localhost", lines.port, certified.client)
    with pytest.raises(OSError, match="TLS handshake"):
        connector.connect(0.2)


def test_tls_over_a_unix_socket_needs_a_name_and_leaves_no_socket_behind_without(
    tmp_path: Path, certified: Certified
) -> None:
    with LineServer(str(tmp_path / "lines.sock"), tls=certified.server) as server:
        path = str(server.where)
        with pytest.raises(ValueError, match="server_hostname"):
            connectors.unix(path, certified.client).connect(20)
        named = connectors.unix(path, certified.client, server_hostname="localhost")
        with Pool(named, timeout=20) as pool, pool.connection() as stream:
            assert ask(stream, b"say secret") == b"secret\n"


def test_a_renewed_authority_is_noticed_without_a_restart(
    secret_lines: LineServer, certified: Certified, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    secret = connectors.tcp("localhost", secret_lines.port, TLS(ca=authority))
    with pytest.raises(TLSError, match="not trusted"):
        secret.connect(20)
    certified.authority.cert_pem.write_to_path(authority)
    stream = secret.connect(20)
    assert ask(stream, b"say renewed") == b"renewed\n"
    stream.close()


def test_a_caller_in_another_thread_can_go_on_with_a_stream(lines: LineServer) -> None:
    """A stream is bound to no thread, as long as one at a time uses it."""
    with pool_of(lines) as pool:
        stream = pool.acquire()
        stream.send_all(b"say handed over\n")
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(stream.readline()))
        reader.start()
        reader.join()
        assert received == [b"handed over\n"]
        pool.release(stream)


@pytest.mark.parametrize("module", [connectors, connectors_aio], ids=["threads", "asyncio"])
def test_whom_a_certificate_must_name_is_refused_where_there_is_none(module: Any) -> None:
    for make in (module.tcp, module.unix):
        where = ("127.0.0.1", 1) if make is module.tcp else ("/nowhere.sock",)
        with pytest.raises(ConfigurationError, match="server_hostname='a' has no effect without"):
            make(*where, server_hostname="a")
        make(*where, tls=True, server_hostname="a")
