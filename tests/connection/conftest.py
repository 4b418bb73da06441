"""The blocking exchange in use, both event loops, and the real servers they talk to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TypeAlias

import pytest
import uvloop

from cenote._implementation import use_compiled
from cenote.connection import TCPAddress, UnixAddress, _exchange_native
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.connection.peers import Pair

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
ChannelType: TypeAlias = type[_exchange_native.Channel]


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    """Every coroutine test of this folder runs on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def channel_type() -> ChannelType:
    """The Channel of the implementation in use."""
    if not use_compiled("cenote.connection._exchange"):
        return _exchange_native.Channel
    compiled: ChannelType = import_module("cenote.connection._exchange").Channel
    return compiled


@pytest.fixture
def pair(channel_type: ChannelType) -> Iterator[Pair]:
    """A channel and the other end of its socket, for a test to play the server."""
    with Pair(channel_type) as ends:
        yield ends


@pytest.fixture(scope="module")
def server() -> Iterator[MemcachedServer]:
    """A memcached on TCP; whoever stops it starts it again."""
    with MemcachedServer() as running:
        yield running


@pytest.fixture(scope="module")
def unix_server() -> Iterator[MemcachedServer]:
    """A memcached on a unix socket."""
    with MemcachedServer(unix=True) as running:
        yield running


@pytest.fixture
def tcp(server: MemcachedServer) -> TCPAddress:
    """The address of the server itself."""
    return TCPAddress("127.0.0.1", server.port)


@pytest.fixture
def unix(unix_server: MemcachedServer) -> UnixAddress:
    """The address of the server on a unix socket."""
    return UnixAddress(str(unix_server.endpoint))


@pytest.fixture
def proxy(server: MemcachedServer) -> Iterator[FaultProxy]:
    """A proxy in front of the server; `proxied` is its address."""
    with FaultProxy(server.endpoint) as standing:
        yield standing


@pytest.fixture
def proxied(proxy: FaultProxy) -> TCPAddress:
    """The address of the proxy."""
    assert isinstance(proxy.address, tuple)
    return TCPAddress(*proxy.address)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and does not listen."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose backlog is full: connecting to it is neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()
