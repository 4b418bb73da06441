"""Both blocking exchanges, and the real servers they talk to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest

from cenote._implementation import use_compiled
from cenote.connection import TCPAddress, UnixAddress, _exchange_native
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.connection.peers import Pair

ChannelType: TypeAlias = type[_exchange_native.Channel]


def _channel_types() -> list[ChannelType]:
    if not use_compiled("cenote.connection._exchange"):
        return [_exchange_native.Channel]
    from cenote.connection import _exchange

    return [_exchange_native.Channel, _exchange.Channel]


@pytest.fixture(params=_channel_types(), ids=lambda kind: kind.__module__.rpartition(".")[2])
def channel_type(request: pytest.FixtureRequest) -> ChannelType:
    """The Channel of either implementation."""
    kind: ChannelType = request.param
    return kind


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
    host, port = proxy.address
    return TCPAddress(str(host), int(port))
