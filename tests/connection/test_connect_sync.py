"""Opening blocking connections: real servers, dead addresses, silent peers, one deadline."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from cenote.connection import Access, TCPAddress, UnixAddress, opening_sync
from cenote.connection.endpoint import Endpoint, is_connected_to_itself
from cenote.connection.sync import Connection, connect
from cenote.errors import CenoteError, ConnectionLost, OperationTimeout, ProtocolError
from cenote.protocol import STORED, get, store, version
from cenote.testing.memcached import MemcachedServer
from tests.connection.addresses import answering, descriptors, resolving
from tests.connection.peers import soon

# What a loaded machine may add to a deadline, in seconds. Who misses it does not end by itself.
SLACK = 2.5


def prove(connection: Connection) -> None:
    """State that the connection works, and close it."""
    try:
        assert connection.clean
        assert connection.is_alive()
        assert connection.exchange(store("set", b"k", b"v", 5, 0), soon()) is STORED
        assert connection.exchange(get(b"k"), soon()) == (b"v", 5, 0)
    finally:
        connection.close()


# Real servers.


def test_a_connection_over_tcp_works_and_knows_its_server(tcp: TCPAddress) -> None:
    connection = connect(tcp, timeout=5)
    assert connection.traits.meta
    assert connection.traits.version == connection.exchange(version(), soon())
    assert connection.address == tcp
    assert connection.timeout == 5
    assert str(tcp) in repr(connection)
    prove(connection)


def test_a_connection_over_a_unix_socket_works(unix: UnixAddress) -> None:
    prove(connect(unix, timeout=5))


def test_a_name_is_looked_up(tcp: TCPAddress) -> None:
    """`localhost` often is ::1 first, where this server does not listen."""
    prove(connect(TCPAddress("localhost", tcp.port), timeout=5))


def test_ipv6_works() -> None:
    with MemcachedServer(host="::1") as server:
        prove(connect(TCPAddress("::1", server.port), timeout=5))


def test_no_deadline_is_a_deadline_too(tcp: TCPAddress, unix: UnixAddress) -> None:
    prove(connect(TCPAddress("localhost", tcp.port), timeout=math.inf))
    prove(connect(unix, timeout=math.inf))


def test_classic_is_taken_at_its_word(tcp: TCPAddress) -> None:
    connection = connect(tcp, Access(protocol="classic"), timeout=5)
    assert not connection.traits.meta
    prove(connection)


def test_sockets_are_set_up_for_requests(tcp: TCPAddress) -> None:
    connection = connect(tcp, timeout=5)
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert fcntl.fcntl(connection.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert not fcntl.fcntl(connection.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
    connection.close()


# Nobody there.


def test_a_refused_connection_names_every_address_that_was_tried(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError, match="is the server running") as caught:
        connect(TCPAddress("localhost", closed_port), timeout=5)
    assert f"can not connect to localhost:{closed_port}" in str(caught.value)
    assert f"127.0.0.1:{closed_port}: Connection refused" in str(caught.value)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_unix_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "no.sock")
    with pytest.raises(FileNotFoundError, match=r"no\.sock"):
        connect(UnixAddress(path), timeout=5)


def test_a_path_too_long_for_a_socket_is_an_error() -> None:
    with pytest.raises(OSError, match="path too long"):
        connect(UnixAddress("/" + "x" * 200), timeout=5)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_name_nobody_knows_is_named(host: str) -> None:
    with pytest.raises(socket.gaierror, match=f"can not look up {host}:1"):
        connect(TCPAddress(host, 1), timeout=20)


def test_a_family_this_machine_does_not_have_is_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        opening_sync, "literal_endpoints", lambda _: [Endpoint(9999, ("nowhere", 1))]
    )
    with pytest.raises(OSError, match="nowhere:1: Address family not supported"):
        connect(TCPAddress("127.0.0.1", 1), timeout=5)


def test_a_connection_to_itself_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may give a socket the very port that it connects to."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        monkeypatch.setattr(Endpoint, "open", lambda _: sock)
        with pytest.raises(ConnectionRefusedError, match="is the server running"):
            connect(TCPAddress(*sock.getsockname()), timeout=5)
        assert sock.fileno() == -1


def test_a_socket_that_was_reset_is_not_connected_to_itself() -> None:
    with socket.socket() as sock:
        assert not is_connected_to_itself(sock)


# Several addresses.


def test_every_address_of_a_name_is_tried(
    tcp: TCPAddress, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with resolving(monkeypatch, ("127.0.0.1", closed_port), ("127.0.0.1", tcp.port)):
        prove(connect(TCPAddress("several", 1), timeout=5))


def test_a_silent_address_does_not_use_up_the_time_of_the_next(
    tcp: TCPAddress, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with resolving(monkeypatch, ("127.0.0.1", silent_port), ("127.0.0.1", tcp.port)):
        began = monotonic()
        prove(connect(TCPAddress("several", 1), timeout=20))
        assert monotonic() - began < 10


def test_a_silent_address_times_out_at_the_deadline(silent_port: int) -> None:
    began = monotonic()
    with pytest.raises(OperationTimeout, match=r"within 0\.\d+ s \(1 unanswered\)") as caught:
        connect(TCPAddress("127.0.0.1", silent_port), timeout=0.1)
    assert caught.value.phase == "connect"
    assert 0.1 <= monotonic() - began < 0.1 + SLACK


def test_a_resolver_that_does_not_answer_times_out_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    real = socket.getaddrinfo

    def stuck(host: str, *args: Any, **options: Any) -> Any:
        if options.get("flags"):
            return real(host, *args, **options)
        answer.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    began = monotonic()
    try:
        with pytest.raises(OperationTimeout, match="looking up its name") as caught:
            connect(TCPAddress("stuck", 1), timeout=0.05)
    finally:
        answer.set()
    assert caught.value.phase == "connect"
    assert monotonic() - began < 0.05 + SLACK


def test_a_timeout_of_nothing_is_over_at_once(tcp: TCPAddress) -> None:
    for timeout in (0.0, -1.0):
        with pytest.raises(OperationTimeout):
            connect(tcp, timeout=timeout)


def test_a_full_backlog_of_a_unix_socket_times_out_at_the_deadline(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(path)
        listener.listen(0)
        filler.connect(path)
        began = monotonic()
        with pytest.raises(OperationTimeout, match="backlog full") as caught:
            connect(UnixAddress(path), timeout=0.05)
        assert caught.value.phase == "connect"
        assert monotonic() - began < 0.05 + SLACK


# Whoever answers.


def test_a_server_without_meta_commands_is_classic() -> None:
    with answering(b"ERROR\r\nVERSION 1.4.39\r\n") as address:
        connection = connect(address, timeout=5)
    assert not connection.traits.meta
    assert connection.traits.version == "1.4.39"
    connection.close()


def test_insisting_on_meta_fails_where_there_is_none() -> None:
    with (
        answering(b"ERROR\r\nVERSION 1.4.39\r\n") as address,
        pytest.raises(ProtocolError, match="does not know the meta commands"),
    ):
        connect(address, Access(protocol="meta"), timeout=5)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\r\n"]
)
def test_a_server_that_is_no_memcached_is_told(said: bytes) -> None:
    with answering(said) as address, pytest.raises(ProtocolError) as caught:
        connect(address, timeout=5)
    assert str(address) in str(caught.value)


def test_a_server_that_hangs_up_is_told_with_what_may_be_the_matter() -> None:
    with answering() as address, pytest.raises(ConnectionLost, match="protocol='classic'"):
        connect(address, timeout=5)


def test_a_server_that_refuses_is_told_in_its_own_words() -> None:
    said = b"ERROR Too many open connections\r\n"
    with answering(said) as address, pytest.raises(CenoteError, match="Too many open"):
        connect(address, timeout=5)


def test_a_server_that_accepts_and_never_answers_times_out_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = monotonic()
        with pytest.raises(OperationTimeout, match="13 of 13 bytes sent") as caught:
            connect(TCPAddress(*listener.getsockname()), timeout=0.3)
        assert caught.value.phase == "connect"
        assert 0.3 <= monotonic() - began < 0.3 + SLACK


def test_nothing_is_left_open_when_connecting_fails(
    closed_port: int, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: list[Callable[[], Connection]] = [
        lambda: connect(TCPAddress("several", 1), timeout=0.3),
        lambda: connect(TCPAddress("127.0.0.1", closed_port), timeout=5),
    ]
    before = descriptors()
    with resolving(monkeypatch, ("127.0.0.1", silent_port), ("127.0.0.1", silent_port)):
        for fail in failing:
            with pytest.raises(OSError):
                fail()
    assert descriptors() == before
