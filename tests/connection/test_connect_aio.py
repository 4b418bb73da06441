"""Opening asyncio connections: as the blocking ones, and under a cancel at any moment."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import pytest

from cenote.connection import Access, TCPAddress, UnixAddress, aio, opening_aio, race
from cenote.connection.aio import AsyncConnection, connect
from cenote.connection.endpoint import Endpoint
from cenote.connection.opening_aio import Opening
from cenote.errors import CenoteError, ConnectionLost, OperationTimeout, ProtocolError
from cenote.protocol import STORED, get, store, version
from cenote.testing.memcached import MemcachedServer
from tests.connection.addresses import answering, descriptors
from tests.connection.peers import receive_exactly, soon

# What a loaded machine may add to a deadline, in seconds. Who misses it does not end by itself.
SLACK = 2.5


async def turn(times: int = 5) -> None:
    """Let the loop run what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


async def check(connection: AsyncConnection) -> None:
    """State that the connection works, and close it."""
    try:
        assert connection.clean
        assert connection.is_alive()
        assert await connection.exchange(store("set", b"k", b"v", 5, 0), soon()) is STORED
        assert await connection.exchange(get(b"k"), soon()) == (b"v", 5, 0)
    finally:
        connection.close()
    await asyncio.sleep(0)


# Real servers.


async def test_a_connection_over_tcp_works_and_knows_its_server(tcp: TCPAddress) -> None:
    connection = await connect(tcp, timeout=5)
    assert connection.traits.meta
    assert connection.traits.version == await connection.exchange(version(), soon())
    assert connection.address == tcp
    assert str(tcp) in repr(connection)
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await check(connection)


async def test_a_connection_over_a_unix_socket_works(unix: UnixAddress) -> None:
    await check(await connect(unix, timeout=5))


async def test_a_name_is_looked_up(tcp: TCPAddress) -> None:
    await check(await connect(TCPAddress("localhost", tcp.port), timeout=5))


async def test_ipv6_works() -> None:
    with MemcachedServer(host="::1") as server:
        await check(await connect(TCPAddress("::1", server.port), timeout=5))


async def test_classic_is_taken_at_its_word(tcp: TCPAddress) -> None:
    connection = await connect(tcp, Access(protocol="classic"), timeout=5)
    assert not connection.traits.meta
    await check(connection)


# Nobody there.


async def test_a_refused_connection_names_every_address_that_was_tried(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError, match="is the server running") as caught:
        await connect(TCPAddress("localhost", closed_port), timeout=5)
    assert f"127.0.0.1:{closed_port}: Connection refused" in str(caught.value)
    assert caught.value.errno == errno.ECONNREFUSED


async def test_a_unix_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.sock"):
        await connect(UnixAddress(str(tmp_path / "no.sock")), timeout=5)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
async def test_a_name_nobody_knows_is_named(host: str) -> None:
    with pytest.raises(socket.gaierror, match=f"can not look up {host}:1"):
        await connect(TCPAddress(host, 1), timeout=20)


async def test_a_connection_to_itself_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        monkeypatch.setattr(Endpoint, "open", lambda _: sock)
        with pytest.raises(ConnectionRefusedError, match="is the server running"):
            await connect(TCPAddress(*sock.getsockname()), timeout=5)
        assert sock.fileno() == -1


# Several addresses.


def resolving(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Give every name the address 127.0.0.1 with these ports (uvloop asks the C library)."""

    async def look_up(_: Opening, __: TCPAddress) -> list[Endpoint]:
        return [Endpoint(socket.AF_INET, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(Opening, "_look_up", look_up)


async def test_every_address_of_a_name_is_tried(
    tcp: TCPAddress, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, closed_port, tcp.port)
    await check(await connect(TCPAddress("several", 1), timeout=5))


async def test_a_silent_address_does_not_use_up_the_time_of_the_next(
    tcp: TCPAddress, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, silent_port, tcp.port)
    began = monotonic()
    await check(await connect(TCPAddress("several", 1), timeout=20))
    assert monotonic() - began < 10


async def test_the_loser_of_a_tie_is_closed(
    tcp: TCPAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both connect in the same turn of the loop: one is kept, of the other nothing is left."""
    opened: list[socket.socket] = []
    both = asyncio.Event()

    async def attempt(endpoint: Endpoint) -> socket.socket:
        sock = endpoint.open()
        await asyncio.get_running_loop().sock_connect(sock, endpoint.sockaddr)
        opened.append(sock)
        if len(opened) == 2:
            both.set()
        await both.wait()
        return sock

    monkeypatch.setattr(opening_aio, "_attempt", attempt)
    monkeypatch.setattr(race, "STAGGER", 0.0)
    resolving(monkeypatch, tcp.port, tcp.port)
    winner = await Opening(TCPAddress("several", 1)).run()
    await asyncio.sleep(0)
    assert sorted(sock.fileno() == -1 for sock in opened) == [False, True]
    assert winner.fileno() != -1
    winner.close()


async def test_an_attempt_that_fails_oddly_fails_the_connect(
    tcp: TCPAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def attempt(_: Endpoint) -> socket.socket:
        raise RuntimeError("odd")

    monkeypatch.setattr(opening_aio, "_attempt", attempt)
    with pytest.raises(RuntimeError, match="odd"):
        await connect(tcp, timeout=5)


async def test_a_silent_address_times_out_at_the_deadline(silent_port: int) -> None:
    began = monotonic()
    with pytest.raises(OperationTimeout, match=r"\(1 unanswered\)") as caught:
        await connect(TCPAddress("127.0.0.1", silent_port), timeout=0.1)
    assert caught.value.phase == "connect"
    assert -0.002 <= monotonic() - began - 0.1 < SLACK


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_resolver_that_does_not_answer_times_out_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    real = socket.getaddrinfo

    def stuck(host: str, *args: Any, **options: Any) -> Any:
        if host != "stuck" or options.get("flags"):
            return real(host, *args, **options)
        answer.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    began = monotonic()
    try:
        with pytest.raises(OperationTimeout, match="looking up its name"):
            await connect(TCPAddress("stuck", 1), timeout=0.05)
    finally:
        answer.set()
    assert monotonic() - began < 0.05 + SLACK


async def test_a_full_backlog_of_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
        listener.bind(path)
        listener.listen(0)
        filler.connect(path)
        with pytest.raises(OperationTimeout) as caught:
            await connect(UnixAddress(path), timeout=0.05)
        assert caught.value.phase == "connect"
        waiting = asyncio.create_task(connect(UnixAddress(path), timeout=5))
        await asyncio.sleep(0)
        listener.accept()[0].close()
        served, _ = await asyncio.to_thread(listener.accept)
        with served:
            await asyncio.to_thread(receive_exactly, served, len(b"mn\r\nversion\r\n"))
            served.sendall(b"MN\r\nVERSION 1.6.18\r\n")
            connection = await waiting
            connection.close()
        assert connection.traits.meta
        await asyncio.sleep(0)


# Whoever answers.


async def test_a_server_without_meta_commands_is_classic() -> None:
    with answering(b"ERROR\r\nVERSION 1.4.39\r\n") as address:
        connection = await connect(address, timeout=5)
        connection.close()
        assert not connection.traits.meta
    await asyncio.sleep(0)


async def test_a_server_that_is_no_memcached_is_told() -> None:
    with answering(b"HTTP/1.1 400\r\n\r\n") as address, pytest.raises(ProtocolError) as caught:
        await connect(address, timeout=5)
    assert str(address) in str(caught.value)
    await asyncio.sleep(0)


async def test_a_server_that_hangs_up_is_told_with_what_may_be_the_matter() -> None:
    with answering() as address, pytest.raises(ConnectionLost, match="protocol='classic'"):
        await connect(address, timeout=5)


async def test_a_server_that_refuses_is_told_in_its_own_words() -> None:
    said = b"ERROR Too many open connections\r\n"
    with answering(said) as address, pytest.raises(CenoteError, match="Too many open"):
        await connect(address, timeout=5)
    await asyncio.sleep(0)


async def test_a_server_that_accepts_and_never_answers_times_out_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = monotonic()
        with pytest.raises(OperationTimeout, match="0 received") as caught:
            await connect(TCPAddress(*listener.getsockname()), timeout=0.1)
        assert caught.value.phase == "connect"
        assert -0.002 <= monotonic() - began - 0.1 < SLACK
    await asyncio.sleep(0)


async def test_a_loop_that_can_not_take_the_socket_leaves_it_closed(
    tcp: TCPAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> AsyncConnection:
        raise RuntimeError("no protocol today")

    monkeypatch.setattr(aio, "AsyncConnection", refuse)
    before = descriptors()
    with pytest.raises(RuntimeError, match="no protocol today"):
        await connect(tcp, timeout=5)
    await asyncio.sleep(0)
    assert descriptors() == before


# Cancels: after every number of turns of the loop, until there is nothing left to cancel.

Outcome = TypeVar("Outcome")


async def cancelled_after(turns: int, work: Coroutine[Any, Any, Outcome]) -> Outcome | None:
    """What ``work`` returns if it takes no more turns of the loop; else None: it is cancelled."""
    task = asyncio.create_task(work)
    await turn(turns)
    task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()


async def test_a_cancel_at_any_moment_of_connecting_leaves_nothing_open(tcp: TCPAddress) -> None:
    await check(await connect(tcp, timeout=5))  # what a loop opens once is open from here on
    await turn()
    before = descriptors()
    for turns in range(1000):
        connection = await cancelled_after(turns, connect(tcp, timeout=5))
        if connection is not None:
            await check(connection)
        await turn()
        assert descriptors() == before
        if connection is not None:
            break
    else:
        raise AssertionError("it never connects")
    assert turns > 3


async def test_a_cancel_at_any_moment_of_an_exchange_shifts_no_reply(tcp: TCPAddress) -> None:
    connection = await connect(tcp, timeout=5)
    for key in (b"a", b"b"):
        await connection.exchange(store("set", key, b"value-of-" + key, 0, 0), soon())
    for turns in range(1000):
        got = await cancelled_after(turns, connection.exchange(get(b"a"), soon()))
        assert got in (None, (b"value-of-a", 0, 0))
        assert await connection.exchange(get(b"b"), soon()) == (b"value-of-b", 0, 0)
        assert connection.clean
        if got is not None:
            break
    else:
        raise AssertionError("it is never answered")
    assert turns > 1
    connection.close()
    await turn()
