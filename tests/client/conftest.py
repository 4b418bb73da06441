"""Clients of a real memcached, speaking meta and classic commands, from threads and from asyncio.

Fixtures come in pairs, ``..._aio`` and ``..._sync``: tests are written for the first, and generated
for the second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest
import pytest_asyncio

from cenote.client.aio import AsyncClient
from cenote.client.sync import Client
from cenote.testing.memcached import MemcachedServer


@pytest.fixture(scope="session")
def server() -> Iterator[MemcachedServer]:
    """A memcached for the whole session; whoever stops it starts it again."""
    with MemcachedServer(unix=True) as server:
        yield server


@pytest.fixture(params=["meta", "classic"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Which commands the clients use: everything holds on both."""
    return str(request.param)


@pytest.fixture
def small_server() -> Iterator[MemcachedServer]:
    """A memcached that soon has no memory left, and says so instead of forgetting."""
    with MemcachedServer(memory=2, options=["-M"]) as server:
        yield server


@pytest_asyncio.fixture
async def client_aio(server: MemcachedServer, protocol) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, protocol=protocol) as client:
        await client.flush_all()
        yield client


@pytest.fixture
def client_sync(server: MemcachedServer, protocol) -> Iterator[Client]:
    with Client(server.url, protocol=protocol) as client:
        client.flush_all()
        yield client


@pytest_asyncio.fixture
async def make_aio() -> AsyncIterator[Callable[..., AsyncClient]]:
    """Make clients that are closed when the test ends, however it ends."""
    async with AsyncExitStack() as closing:

        def make(*servers, **options) -> AsyncClient:
            client = AsyncClient(*servers, **options)
            closing.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def make_sync() -> Iterator[Callable[..., Client]]:
    with ExitStack() as closing:

        def make(*servers, **options) -> Client:
            client = Client(*servers, **options)
            closing.callback(client.close)
            return client

        yield make
