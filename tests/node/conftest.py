"""A real memcached behind a proxy that can end its connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy


@pytest.fixture(scope="session")
def server() -> Iterator[MemcachedServer]:
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def proxy(server: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy
