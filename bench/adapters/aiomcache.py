"""aiomcache: asyncio streams, a pool of connections, bytes in and out."""

from __future__ import annotations

import aiomcache

from bench.adapters.verbs import AsyncVerbs, Place


async def client(place: Place) -> AsyncVerbs:
    mc = aiomcache.Client(
        place.host, place.port, pool_size=place.connections, pool_minsize=place.connections
    )
    return AsyncVerbs(mc.set, mc.get, bytes_keys=True)


CONTENDERS = {"tasks": {"aiomcache": client}, "waits": {"aiomcache": client}}
