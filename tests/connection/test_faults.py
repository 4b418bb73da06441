"""Bad days on a real server, through a proxy: every call ends by its deadline, in a typed error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from cenote.connection import TCPAddress, aio
from cenote.connection.sync import Connection, connect
from cenote.errors import CenoteError, ConnectionLost, OperationTimeout, ProtocolError
from cenote.protocol import STORED, get, get_many, set_many, store
from cenote.testing.faults import (
    CloseAfter,
    Corrupt,
    Delay,
    Drop,
    Fault,
    Split,
    Stall,
    Truncate,
)
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.connection.peers import soon

VALUE = bytes(range(256)) * 40
HEADER = len(b"VALUE key 7 10240\r\n")
# Of what can only end by its deadline; whatever else goes wrong has all the time it needs to show.
TIMEOUT = 0.15
# What a loaded machine may add to a deadline, in seconds. Who misses it waits for many more.
SLACK = 2.5


def time_for(error: type[CenoteError]) -> float:
    """The seconds to give to what ends in this error."""
    return TIMEOUT if error is OperationTimeout else 5.0


@pytest.fixture(autouse=True)
def item(tcp: TCPAddress) -> None:
    """An item to ask for, stored on the side."""
    connection = connect(tcp, timeout=5)
    assert connection.exchange(store("set", b"key", VALUE, 7, 0), soon()) is STORED
    connection.close()


@pytest.fixture
def version_length(tcp: TCPAddress) -> int:
    connection = connect(tcp, timeout=5)
    connection.close()
    return len(f"MN\r\nVERSION {connection.traits.version}\r\n")


@contextmanager
def connected(address: TCPAddress) -> Iterator[Connection]:
    connection = connect(address, timeout=30)
    try:
        yield connection
    finally:
        connection.abort()


# What the reply to a get may meet, and what the caller is told. `at` counts from the reply's start.

FAULTS = [
    pytest.param(lambda at: Stall(), OperationTimeout, id="a stall"),
    pytest.param(lambda at: Drop(), OperationTimeout, id="a loss"),
    pytest.param(lambda at: Truncate(at + 5), OperationTimeout, id="a truncation in the header"),
    pytest.param(lambda at: Truncate(at + 5000), OperationTimeout, id="a truncation in the value"),
    pytest.param(lambda at: Delay(10), OperationTimeout, id="a delay"),
    pytest.param(lambda at: Split(1, 0.005), OperationTimeout, id="a drip feed"),
    pytest.param(CloseAfter, ConnectionLost, id="a close before the reply"),
    pytest.param(lambda at: CloseAfter(at + 5), ConnectionLost, id="a close in the header"),
    pytest.param(lambda at: CloseAfter(at + 5000), ConnectionLost, id="a close in the value"),
    pytest.param(
        lambda at: CloseAfter(at + HEADER + 10240), ConnectionLost, id="a close at its end"
    ),
    pytest.param(lambda at: CloseAfter(at + 5, reset=True), ConnectionLost, id="a reset"),
    pytest.param(lambda at: Corrupt(at, b"X"), ProtocolError, id="garbage for a header"),
    pytest.param(lambda at: Corrupt(at + 6, b"yek"), ProtocolError, id="another key"),
    pytest.param(lambda at: Corrupt(at + 12, b"10239"), ProtocolError, id="a shorter length"),
    pytest.param(lambda at: Corrupt(at + 12, b"10241"), ProtocolError, id="a longer length"),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_a_blocking_get_meets(
    fault: Callable[[int], Fault],
    error: type[CenoteError],
    proxy: FaultProxy,
    proxied: TCPAddress,
    version_length: int,
) -> None:
    with connected(proxied) as connection:
        proxy.replies = fault(version_length)
        deadline = monotonic() + time_for(error)
        with pytest.raises(error) as caught:
            connection.exchange(get(b"key"), deadline)
        assert monotonic() < deadline + SLACK
        assert str(proxied) in str(caught.value)
        assert not connection.clean
        assert not connection.is_alive()


@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_an_asyncio_get_meets(
    fault: Callable[[int], Fault],
    error: type[CenoteError],
    proxy: FaultProxy,
    proxied: TCPAddress,
    version_length: int,
) -> None:
    connection = await aio.connect(proxied, timeout=30)
    proxy.replies = fault(version_length)
    deadline = monotonic() + time_for(error)
    with pytest.raises(error) as caught:
        await connection.exchange(get(b"key"), deadline)
    assert monotonic() < deadline + SLACK
    assert str(proxied) in str(caught.value)
    assert not connection.clean
    assert not connection.is_alive()
    connection.abort()
    await asyncio.sleep(0)


# What only slows down.


def test_a_reply_byte_by_byte_is_a_reply(proxy: FaultProxy, proxied: TCPAddress) -> None:
    with connected(proxied) as connection:
        proxy.replies = proxy.requests = Split(1)
        assert connection.exchange(get(b"key"), soon()) == (VALUE, 7, 0)
        assert connection.clean


async def test_an_asyncio_reply_byte_by_byte_is_a_reply(
    proxy: FaultProxy, proxied: TCPAddress
) -> None:
    connection = await aio.connect(proxied, timeout=30)
    proxy.replies = proxy.requests = Split(1)
    assert await connection.exchange(get(b"key"), soon()) == (VALUE, 7, 0)
    assert connection.clean
    connection.close()
    await asyncio.sleep(0)


def test_a_stall_that_ends_in_time_is_only_a_wait(proxy: FaultProxy, proxied: TCPAddress) -> None:
    with connected(proxied) as connection:
        proxy.replies = Delay(0.03)
        assert connection.exchange(get(b"key"), soon()) == (VALUE, 7, 0)
        assert connection.clean


# While connecting.


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Stall(), OperationTimeout),
        (Drop(), OperationTimeout),
        (Split(1, 0.02), OperationTimeout),
        (Truncate(3), OperationTimeout),
        (CloseAfter(3), ConnectionLost),
        (CloseAfter(0, reset=True), ConnectionLost),
        (Corrupt(0, b"X"), ProtocolError),
    ],
    ids=repr,
)
async def test_a_handshake_meets(
    fault: Fault, error: type[CenoteError], proxy: FaultProxy, proxied: TCPAddress
) -> None:
    """Blocking and asyncio alike; of what failed nothing stays open."""
    proxy.replies = fault
    began = monotonic()
    timeout = time_for(error)
    with pytest.raises(error) as caught:
        await asyncio.to_thread(connect, proxied, timeout=timeout)
    with pytest.raises(error) as caught_in_asyncio:
        await aio.connect(proxied, timeout=timeout)
    assert monotonic() - began < 2 * (timeout + SLACK)
    for failure in (caught.value, caught_in_asyncio.value):
        assert str(proxied) in str(failure)
        assert getattr(failure, "phase", "connect") == "connect"
    await asyncio.sleep(0)
    proxy.wait_for(lambda seen: seen.connections == 0)


# The server's own end.


def test_an_idle_connection_whose_server_went_is_found_dead(
    proxy: FaultProxy, proxied: TCPAddress
) -> None:
    for end in (proxy.reset, proxy.hang_up):
        with connected(proxied) as connection:
            assert connection.is_alive()
            end()
            assert not connection.is_alive()


async def test_an_idle_asyncio_connection_whose_server_went_is_found_dead(
    proxy: FaultProxy, proxied: TCPAddress
) -> None:
    for end in (proxy.reset, proxy.hang_up):
        connection = await aio.connect(proxied, timeout=30)
        assert connection.is_alive()
        end()
        assert not connection.is_alive()
        connection.abort()
        await asyncio.sleep(0)


def test_a_dead_connection_that_is_used_says_that_nothing_was_replied(
    proxy: FaultProxy, proxied: TCPAddress
) -> None:
    """The first use of it fails after the write: a caller may try again what is idempotent."""
    with connected(proxied) as connection:
        proxy.hang_up()
        with pytest.raises(ConnectionLost) as caught:
            connection.exchange(get(b"key"), soon())
        assert not caught.value.replied


def test_a_killed_server_is_lost_then_refused_then_found_again() -> None:
    with MemcachedServer() as server:
        address = TCPAddress("127.0.0.1", server.port)
        with connected(address) as connection:
            server.kill()
            with pytest.raises(ConnectionLost):
                connection.exchange(get(b"key"), soon())
        with pytest.raises(ConnectionRefusedError):
            connect(address, timeout=30)
        server.start()
        with connected(address) as connection:
            assert connection.exchange(get(b"key"), soon()) is None


def test_a_frozen_server_times_out_and_its_late_replies_are_nobodys() -> None:
    with (
        MemcachedServer() as server,
        connected(TCPAddress("127.0.0.1", server.port)) as connection,
    ):
        server.pause()
        _await_frozen(server.pid)
        with pytest.raises(OperationTimeout):
            connection.exchange(get(b"key"), monotonic() + 0.05)
        server.resume()
        assert not connection.is_alive()
        with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
            connection.exchange(get(b"other"), soon())


def _await_frozen(pid: int) -> None:
    """A signal is on its way for a while."""
    threads = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    while not all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads):
        os.sched_yield()


def test_a_batch_cut_in_the_middle_is_lost(proxy: FaultProxy, proxied: TCPAddress) -> None:
    items = [(b"key%d" % index, VALUE, 0) for index in range(300)]
    with connected(proxied) as connection:
        proxy.requests = CloseAfter(1_000_000)
        with pytest.raises(ConnectionLost):
            connection.exchange(set_many(items, 0, meta=True), soon())
        assert not connection.clean


def test_a_multi_get_cut_in_the_middle_gives_no_half_of_it(
    proxy: FaultProxy, proxied: TCPAddress, version_length: int
) -> None:
    with connected(proxied) as connection:
        proxy.replies = CloseAfter(version_length + HEADER + len(VALUE) + 2)
        with pytest.raises(ConnectionLost) as caught:
            connection.exchange(get_many([b"key", b"other"]), soon())
        assert caught.value.replied
