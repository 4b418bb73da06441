"""Clients of a real memcached, speaking meta, classic or binary commands, sync and async.

Fixtures come in pairs, ``..._aio`` and ``..._sync``: tests are written for the first, and generated
for the second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack

import pytest
import pytest_asyncio

from cenote import protocol as text
from cenote.client.aio import AsyncClient
from cenote.client.sync import Client
from cenote.protocol import binary
from cenote.protocol.encoders import Encoders
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE


@pytest.fixture(scope="session")
def server() -> Iterator[MemcachedServer]:
    """A memcached for the whole session; whoever stops it starts it again."""
    with MemcachedServer(unix=True) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose which commands the clients use, ``protocol``: everything holds with each.

    A module may name others as its ``PROTOCOLS``. The commands are tested in all three; what is
    about servers, pools and deadlines does not change with the words.
    """
    if "protocol" in metafunc.fixturenames:
        protocols = getattr(metafunc.module, "PROTOCOLS", ("meta", "classic"))
        metafunc.parametrize("protocol", protocols)


@pytest.fixture
def encoders(protocol: str) -> Encoders:
    """What makes the requests of such a client."""
    return binary if protocol == "binary" else text


@pytest.fixture
def small_server() -> Iterator[MemcachedServer]:
    """A memcached that soon has no memory left, and says so instead of forgetting."""
    with MemcachedServer(memory=2, options=["-M"]) as server:
        yield server


@pytest_asyncio.fixture
async def client_aio(server: MemcachedServer, protocol) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, protocol=protocol, **PATIENCE) as client:
        await client.flush_all()
        yield client


@pytest.fixture
def client_sync(server: MemcachedServer, protocol) -> Iterator[Client]:
    with Client(server.url, protocol=protocol, **PATIENCE) as client:
        client.flush_all()
        yield client


@pytest_asyncio.fixture
async def make_aio() -> AsyncIterator[Callable[..., AsyncClient]]:
    """Make clients that are closed when the test ends, however it ends."""
    async with AsyncExitStack() as closing:

        def make(*servers, **options) -> AsyncClient:
            client = AsyncClient(*servers, **{**PATIENCE, **options})
            closing.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def make_sync() -> Iterator[Callable[..., Client]]:
    with ExitStack() as closing:

        def make(*servers, **options) -> Client:
            client = Client(*servers, **{**PATIENCE, **options})
            closing.callback(client.close)
            return client

        yield make
