"""The servers tests run against: they keep their address through whatever is done to them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cenote import LocalServerError
from cenote.testing.memcached import MemcachedServer


def connect(server: MemcachedServer) -> socket.socket:
    if isinstance(server.endpoint, str):
        connection = socket.socket(socket.AF_UNIX)
    else:
        connection = socket.socket(socket.AF_INET6 if ":" in server.endpoint[0] else socket.AF_INET)
    connection.settimeout(5)
    try:
        connection.connect(server.endpoint)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(server: MemcachedServer, line: bytes, end: bytes = b"\r\n") -> bytes:
    with connect(server) as connection:
        connection.sendall(line + b"\r\n")
        reply = b""
        while not reply.endswith(end):
            chunk = connection.recv(65536)
            assert chunk, reply
            reply += chunk
        return reply


def settings(server: MemcachedServer) -> dict[str, str]:
    lines = ask(server, b"stats settings", b"END\r\n").decode().splitlines()
    return dict(line.split(" ", 2)[1:3] for line in lines if line.startswith("STAT"))


KINDS: dict[str, dict[str, Any]] = {"tcp": {}, "unix": {"unix": True}, "tcp6": {"host": "::1"}}


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[MemcachedServer]:
    with MemcachedServer(**KINDS[request.param]) as server:
        yield server


def test_it_accepts_connections_when_the_constructor_returns(server: MemcachedServer) -> None:
    assert ask(server, b"version").startswith(b"VERSION ")
    assert server.alive


def test_a_restart_empties_it_and_keeps_its_address(server: MemcachedServer) -> None:
    endpoint, pid = server.endpoint, server.pid
    assert ask(server, b"set k 0 0 1\r\nv") == b"STORED\r\n"
    server.restart()
    assert server.endpoint == endpoint
    assert server.pid != pid
    assert ask(server, b"get k") == b"END\r\n"


@pytest.mark.parametrize("end", [MemcachedServer.stop, MemcachedServer.kill])
def test_while_it_is_down_connections_are_refused(
    server: MemcachedServer, end: Callable[[MemcachedServer], None]
) -> None:
    with connect(server) as connection:
        connection.sendall(b"version\r\n")
        assert connection.recv(100).startswith(b"VERSION ")
        end(server)
        assert not server.alive
        assert connection.recv(1) == b""
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            connect(server)
    server.start()
    assert ask(server, b"version").startswith(b"VERSION ")


def test_a_frozen_server_accepts_and_does_not_answer(server: MemcachedServer) -> None:
    server.pause()
    with connect(server) as connection:
        connection.sendall(b"version\r\n")
        connection.settimeout(0.02)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        server.resume()
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"VERSION ")


def test_a_frozen_server_has_no_thread_that_runs() -> None:
    """The signal alone leaves some of them at work for a while, if the machine is busy."""
    with MemcachedServer(threads=4) as server:
        for _ in range(50):
            server.pause()
            threads = Path(f"/proc/{server.pid}/task").glob("*/stat")
            assert {thread.read_text().rpartition(")")[2].split()[0] for thread in threads} == {"T"}
            server.resume()


def test_starting_a_running_server_changes_nothing(server: MemcachedServer) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_its_repr_says_where_it_is_and_whether_it_runs(server: MemcachedServer) -> None:
    assert server.url in repr(server)
    assert f"pid {server.pid}" in repr(server)
    server.stop()
    assert "not running" in repr(server)
    with pytest.raises(RuntimeError, match="start"):
        server.pause()


def test_a_closed_server_gives_its_port_up() -> None:
    with MemcachedServer() as server:
        assert isinstance(server.endpoint, tuple)
        endpoint = server.endpoint
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(endpoint)


def test_a_unix_server_has_no_port() -> None:
    with MemcachedServer(unix=True) as server, pytest.raises(ValueError, match="no port"):
        server.port  # noqa: B018


def test_options_reach_the_server() -> None:
    with MemcachedServer(
        threads=3,
        memory=32,
        max_item_size=4096,
        max_connections=77,
        idle_timeout=9,
        options=["-o", "hash_algorithm=murmur3"],
    ) as server:
        found = settings(server)
    expected = {
        "num_threads": "3",
        "maxbytes": str(32 * 2**20),
        "item_size_max": "4096",
        "maxconns": "77",
        "idle_timeout": "9",
        "hash_algorithm": "murmur3",
    }
    assert {name: found[name] for name in expected} == expected


def test_a_server_that_can_not_start_says_what_memcached_said() -> None:
    with pytest.raises(LocalServerError, match="--nonsense"):
        MemcachedServer(options=["--nonsense"])
