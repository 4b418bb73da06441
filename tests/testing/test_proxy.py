"""The fault-injecting proxy does what it says, at the moment it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from cenote.testing.faults import (
    CloseAfter,
    Corrupt,
    Delay,
    Drop,
    Fault,
    Forward,
    Split,
    Stall,
    Truncate,
)
from cenote.testing.proxy import Address, FaultProxy


def _serve(listener: socket.socket) -> None:
    """Send everything back, to one client after another."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except ConnectionError:
                continue


@contextmanager
def _echo(family: int, address: Address) -> Iterator[Address]:
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy in front of a server that sends everything back."""
    with _echo(socket.AF_INET, ("127.0.0.1", 0)) as server, FaultProxy(server) as standing:
        yield standing


@contextmanager
def connected(proxy: FaultProxy) -> Iterator[socket.socket]:
    address = proxy.address
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.settimeout(5)
        sock.connect(address)
        yield sock


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return data


def test_everything_is_passed_on_both_ways(proxy: FaultProxy) -> None:
    payload = bytes(range(256)) * 4000
    with connected(proxy) as sock:
        sender = threading.Thread(target=sock.sendall, args=(payload,))
        sender.start()
        assert receive(sock, len(payload)) == payload
        sender.join()
    proxy.wait_for(lambda seen: seen.delivered == len(payload))
    assert proxy.requested == proxy.replied == len(payload)
    assert proxy.accepted == 1


def test_connections_are_counted(proxy: FaultProxy) -> None:
    with connected(proxy) as one, connected(proxy):
        proxy.wait_for(lambda seen: seen.connections == 2)
        one.close()
        proxy.wait_for(lambda seen: seen.connections == 1)
    assert proxy.accepted == 2


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_what_is_stalled_flows_on_when_healed(proxy: FaultProxy, direction: str) -> None:
    setattr(proxy, direction, Stall())
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        proxy.wait_for(lambda seen: seen.requested == 5)
        if direction == "replies":
            proxy.wait_for(lambda seen: seen.replied == 5)
        assert proxy.delivered == 0
        proxy.heal()
        assert receive(sock, 5) == b"hello"
    assert isinstance(proxy.requests, Forward)
    assert isinstance(proxy.replies, Forward)


def test_a_stalled_connection_can_be_left_and_ended(proxy: FaultProxy) -> None:
    proxy.replies = Stall()
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        proxy.wait_for(lambda seen: seen.replied == 5)
    proxy.wait_for(lambda seen: seen.connections == 0)


def test_what_is_dropped_is_gone(proxy: FaultProxy) -> None:
    proxy.replies = Drop()
    with connected(proxy) as sock:
        sock.sendall(b"lost")
        proxy.wait_for(lambda seen: seen.replied == 4)
        proxy.heal()
        sock.sendall(b"found")
        assert receive(sock, 5) == b"found"


def test_what_is_delayed_comes_later(proxy: FaultProxy) -> None:
    proxy.replies = Delay(0.05)
    with connected(proxy) as sock:
        began = monotonic()
        sock.sendall(b"hello")
        assert receive(sock, 5) == b"hello"
        assert monotonic() - began >= 0.05


def test_what_is_split_comes_in_pieces(proxy: FaultProxy) -> None:
    proxy.replies = Split(size=2, seconds=0.01)
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        pieces = [sock.recv(10), sock.recv(10), sock.recv(10)]
    assert pieces == [b"he", b"ll", b"o"]


def test_a_truncated_reply_is_followed_by_silence(proxy: FaultProxy) -> None:
    proxy.replies = Truncate(after=3)
    with connected(proxy) as sock:
        sock.sendall(b"hel")
        sock.sendall(b"lo")
        proxy.wait_for(lambda seen: seen.replied == 5)
        assert receive(sock, 3) == b"hel"
        proxy.wait_for(lambda seen: seen.delivered == 3)
        assert proxy.connections == 1


def test_a_reply_may_end_in_good_order_in_its_middle(proxy: FaultProxy) -> None:
    proxy.replies = CloseAfter(3)
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        assert receive(sock, 5) == b"hel"


def test_a_reply_may_end_by_a_reset_in_its_middle(proxy: FaultProxy) -> None:
    proxy.replies = CloseAfter(0, reset=True)
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            receive(sock, 5)


def test_bytes_are_corrupted_where_told_also_across_chunks(proxy: FaultProxy) -> None:
    proxy.replies = Corrupt(at=2, by=b"XYZ")
    with connected(proxy) as sock:
        sock.sendall(b"abc")
        assert receive(sock, 3) == b"abX"
        sock.sendall(b"defg")
        assert receive(sock, 4) == b"YZfg"


def test_a_test_may_bring_a_fault_of_its_own(proxy: FaultProxy) -> None:
    from cenote.testing.faults import Chunk, Send, Step

    class Shout(Fault):
        def plan(self, chunk: Chunk) -> Iterator[Step]:
            yield Send(chunk.data.upper())

    proxy.requests = Shout()
    with connected(proxy) as sock:
        sock.sendall(b"hello")
        assert receive(sock, 5) == b"HELLO"


def test_a_reset_ends_every_connection_before_it_returns(proxy: FaultProxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        proxy.wait_for(lambda seen: seen.connections == 2)
        proxy.reset()
        assert proxy.connections == 0
        for sock in (one, other):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_hanging_up_ends_every_connection_in_good_order(proxy: FaultProxy) -> None:
    with connected(proxy) as sock:
        proxy.wait_for(lambda seen: seen.connections == 1)
        proxy.hang_up()
        assert sock.recv(1) == b""


def test_a_connection_that_nobody_reads_can_be_ended(proxy: FaultProxy) -> None:
    """The pump is in the middle of sending what the client does not take."""
    with connected(proxy) as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sock.send(bytes(1 << 20))
        proxy.reset()
        assert proxy.connections == 0


def test_refused_connections_leave_the_others_alone(proxy: FaultProxy) -> None:
    with connected(proxy) as sock:
        proxy.wait_for(lambda seen: seen.connections == 1)
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError), connected(proxy):
            pass
        sock.sendall(b"still here")
        assert receive(sock, 10) == b"still here"


def test_a_proxy_starts_again_at_the_same_address(proxy: FaultProxy) -> None:
    address = proxy.address
    proxy.stop()
    with pytest.raises(ConnectionRefusedError), connected(proxy):
        pass
    proxy.start()
    proxy.start()
    assert proxy.address == address
    with connected(proxy) as sock:
        sock.sendall(b"again")
        assert receive(sock, 5) == b"again"


def test_a_server_that_refuses_is_passed_on_as_a_reset() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        with (
            FaultProxy(holder.getsockname()) as proxy,
            pytest.raises(ConnectionResetError),
            connected(proxy) as sock,
        ):
            sock.recv(1)
        assert proxy.accepted == 0


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    upstream, front = str(tmp_path / "server.sock"), str(tmp_path / "proxy.sock")
    with _echo(socket.AF_UNIX, upstream), FaultProxy(upstream, listen=front) as proxy:
        assert proxy.address == front
        with connected(proxy) as sock:
            sock.sendall(b"hello")
            assert receive(sock, 5) == b"hello"
        proxy.refuse()
        with pytest.raises(FileNotFoundError), connected(proxy):
            pass
        proxy.start()
        with connected(proxy) as sock:
            sock.sendall(b"hello")
            assert receive(sock, 5) == b"hello"


def test_a_unix_server_that_is_not_there_is_a_closed_connection(tmp_path: Path) -> None:
    with (
        FaultProxy(str(tmp_path / "no.sock")) as proxy,
        pytest.raises(ConnectionResetError),
        connected(proxy) as sock,
    ):
        sock.recv(1)


def test_the_world_outside_is_not_listened_to() -> None:
    with pytest.raises(ValueError, match="loopback only"):
        FaultProxy(("127.0.0.1", 1), listen=("0.0.0.0", 0))


def test_a_wait_that_is_in_vain_tells_what_was_seen(proxy: FaultProxy) -> None:
    with pytest.raises(TimeoutError, match="0 accepted, 0 open, 0 bytes requested"):
        proxy.wait_for(lambda seen: seen.accepted == 7, timeout=0.01)
