"""Clients of others, each as its users make it, with one face: what they store and what they read.

Peers are imported when they are asked for: one that is not installed skips the tests about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from cenote.testing.memcached import MemcachedServer

PATIENT = 30.0


class Peer(NamedTuple):
    """Another client: how it stores a value, how it reads one, and how it says goodbye."""

    set: Callable[[str, Any], object]
    get: Callable[[str], Any]
    close: Callable[[], object]


def pymemcache(server: MemcachedServer, serde: str = "pickle_serde") -> Peer:
    library = pytest.importorskip("pymemcache")
    client = library.Client(
        server.endpoint,
        timeout=PATIENT,
        default_noreply=False,
        serde=getattr(library.serde, serde),
    )
    return Peer(client.set, client.get, client.close)


def pymemcache_compressed(server: MemcachedServer) -> Peer:
    return pymemcache(server, "compressed_serde")


def python_memcached(server: MemcachedServer, **options: int) -> Peer:
    client = pytest.importorskip("memcache").Client([server.url])
    return Peer(
        lambda key, value: client.set(key, value, **options), client.get, client.disconnect_all
    )


def python_memcached_compressed(server: MemcachedServer) -> Peer:
    return python_memcached(server, min_compress_len=100)


def pylibmc(server: MemcachedServer, **options: int) -> Peer:
    client = pytest.importorskip("pylibmc").Client([server.url])
    return Peer(
        lambda key, value: client.set(key, value, **options), client.get, client.disconnect_all
    )


def pylibmc_compressed(server: MemcachedServer) -> Peer:
    return pylibmc(server, min_compress_len=100, compress_level=9)


def bmemcached(server: MemcachedServer) -> Peer:
    client = pytest.importorskip("bmemcached").Client([server.url])
    return Peer(client.set, client.get, client.disconnect_all)


def meta_memcache(server: MemcachedServer, serializer: Any = None) -> Peer:
    library = pytest.importorskip("meta_memcache")
    make = library.connection_pool_factory_builder(
        initial_pool_size=0, connection_timeout=PATIENT, recv_timeout=PATIENT
    )
    pools = []

    def make_pool(address: Any) -> Any:
        pools.append(make(address))
        return pools[-1]

    client = library.CacheClient.cache_client_from_servers(
        [library.ServerAddress("127.0.0.1", server.port)],
        make_pool,
        serializer=serializer or library.MixedSerializer(),
    )
    return Peer(
        lambda key, value: client.set(key, value, ttl=1000),
        client.get,
        lambda: [connection.close() for pool in pools for connection in pool._pool],
    )


def meta_memcache_zstd(server: MemcachedServer) -> Peer:
    serializer = pytest.importorskip("meta_memcache.serializer")
    zstd_manager = pytest.importorskip("meta_memcache.compression.zstd_manager")
    return meta_memcache(server, serializer.ZstdSerializer(zstd_manager.PooledZstdManager()))


def django_pymemcache(*servers: MemcachedServer) -> Peer:
    backends = pytest.importorskip("django.core.cache.backends.memcached")
    cache = backends.PyMemcacheCache([server.url for server in servers], {})
    return Peer(cache.set, cache.get, cache.close)


def django_pylibmc(*servers: MemcachedServer) -> Peer:
    pytest.importorskip("pylibmc")
    backends = pytest.importorskip("django.core.cache.backends.memcached")
    cache = backends.PyLibMCCache([server.url for server in servers], {})
    return Peer(cache.set, cache.get, cache._cache.disconnect_all)
