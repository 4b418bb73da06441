"""The pytest plugin: fixtures that give a test a real memcached and a client of it.

Installed with cenote as an entry point, so that a test only has to ask::

    def test_the_cache_remembers(memcached_client):
        memcached_client.set("a", 1)
        assert memcached_client.get("a") == 1

Strategy: one private server a test session (with pytest-xdist, one a worker), on a unix socket in a
folder only its owner may enter, emptied before every test that asks for a client. Nothing is
imported or started until a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

try:
    import pytest_asyncio
except ImportError:  # another plugin (anyio's) runs coroutine fixtures
    async_fixture = pytest.fixture
else:
    async_fixture = pytest_asyncio.fixture  # type: ignore[assignment] # overloads of its own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cenote import AsyncClient, Client
    from cenote.testing.memcached import MemcachedServer


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    """Give a real memcached, private to this test session; ``memcached_server.url`` is its address.

    A test may stop, pause, kill or restart it; it must leave it running.
    """
    from cenote.testing.memcached import MemcachedServer

    with MemcachedServer(unix=True) as server:
        yield server


@pytest.fixture
def memcached_client(memcached_server: MemcachedServer) -> Iterator[Client]:
    """Give a ``cenote.Client`` of an empty ``memcached_server``, closed after the test."""
    from cenote import Client

    with Client(memcached_server.url) as client:
        client.flush_all()
        yield client


@async_fixture
async def async_memcached_client(memcached_server: MemcachedServer) -> AsyncIterator[AsyncClient]:
    """Give a ``cenote.AsyncClient`` of an empty ``memcached_server``, closed after the test.

    It lives in the event loop of the test, as pytest-asyncio or anyio runs it.
    """
    from cenote import AsyncClient

    async with AsyncClient(memcached_server.url) as client:
        await client.flush_all()
        yield client
