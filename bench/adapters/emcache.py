"""emcache: asyncio and Cython, with and without autobatching (gets of a loop turn sent as one)."""

from __future__ import annotations

import emcache

from bench.adapters.verbs import AsyncVerbs, Place


async def _client(place: Place, *, autobatching: bool) -> AsyncVerbs:
    mc = await emcache.create_client(
        [emcache.MemcachedHostAddress(place.host, place.port)],
        timeout=5.0,
        max_connections=place.connections,
        min_connections=place.connections,
        purge_unused_connections_after=None,
        autobatching=autobatching,
    )
    return AsyncVerbs(
        mc.set, mc.get, lambda item: None if item is None else item.value, bytes_keys=True
    )


async def plain(place: Place) -> AsyncVerbs:
    return await _client(place, autobatching=False)


async def batching(place: Place) -> AsyncVerbs:
    return await _client(place, autobatching=True)


CONTENDERS = {
    "tasks": {"emcache": plain, "emcache autobatching": batching},
    "waits": {"emcache autobatching": batching},
}
