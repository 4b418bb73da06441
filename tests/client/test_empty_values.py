"""Empty values among many, in asyncio: each is looked at again, all of them at the same time."""

from __future__ import annotations

from cenote import AsyncClient
from cenote.testing.faults import Delay
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.patience import PATIENCE

VALUES = {f"key:{number}": b"" if number % 2 else b"full" for number in range(800)}
ROUND_TRIP = 0.1
assert PATIENCE["timeout"] < ROUND_TRIP * len(VALUES) / 2  # one after another they take too long


async def test_empty_values_of_a_batch_are_looked_at_again_together() -> None:
    with MemcachedServer() as server, FaultProxy(server.endpoint) as proxy:
        url = "{}:{}".format(*proxy.address)
        async with AsyncClient(url, protocol="meta", **PATIENCE) as client:
            assert await client.set_many(VALUES) == []
            proxy.replies = Delay(ROUND_TRIP)
            assert await client.get_many(VALUES) == VALUES
            assert [*await client.get_many([*VALUES, "key:1", "missing"])] == [*VALUES]
