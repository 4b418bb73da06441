"""A client that compresses: every command, as if it did not."""

from __future__ import annotations

import pytest

from cenote.errors import InvalidArgument
from cenote.testing.memcached import MemcachedServer

LONG = "word " * 1000
VALUES = {"text": LONG, "bytes": LONG.encode(), "json": [LONG], "short": "a", "number": 7}


@pytest.fixture(params=["zlib", "zstd"])
async def packing_aio(request, server: MemcachedServer, protocol, make_aio):
    client = make_aio(
        server.url, protocol=protocol, compress=request.param, compress_min=20, timeout=30.0
    )
    await client.flush_all()
    return client


async def test_values_come_back(packing_aio):
    for key, value in VALUES.items():
        assert await packing_aio.set(key, value)
        assert await packing_aio.get(key) == value
        assert await packing_aio.gat(key, 60) == value
        assert await packing_aio.replace(key, value, noreply=True)
    assert await packing_aio.get_many(VALUES) == VALUES


async def test_values_come_back_from_a_batch(packing_aio):
    assert await packing_aio.set_many(VALUES) == []
    assert await packing_aio.get_many(VALUES) == VALUES
    assert await packing_aio.set_many({"b": LONG.encode()}) == []
    item = await packing_aio.gets("b")
    assert item.value == LONG.encode()
    assert item.flags != 0
    assert await packing_aio.cas("b", LONG, item.cas)
    assert await packing_aio.get("b") == LONG


async def test_others_read_what_is_compressed(packing_aio, client_aio):
    await packing_aio.set_many(VALUES)
    assert await client_aio.get_many(VALUES) == VALUES
    await client_aio.set_many(VALUES)
    assert await packing_aio.get_many(VALUES) == VALUES


async def test_what_is_put_after_or_before_a_value_is_not_compressed(packing_aio):
    tail = "tail " * 100
    await packing_aio.set("k", "head ")
    assert await packing_aio.append("k", tail)
    assert await packing_aio.prepend("k", tail)
    assert await packing_aio.get("k") == f"{tail}head {tail}"


async def test_nothing_is_put_after_a_compressed_value(packing_aio):
    await packing_aio.set("k", LONG)
    with pytest.raises(InvalidArgument, match="would be corrupted"):
        await packing_aio.append("k", "tail")
    assert await packing_aio.get("k") == LONG


async def test_the_server_counts(packing_aio):
    assert await packing_aio.incr("n", initial=11111111111111111111) == 11111111111111111111
    assert await packing_aio.get("n") == 11111111111111111111
    await packing_aio.set("m", 11111111111111111111)
    assert await packing_aio.incr("m") == 11111111111111111112


async def test_computed_values_are_compressed_too(packing_aio, client_aio):
    assert await packing_aio.get_or_compute("k", lambda: LONG, 60) == LONG
    assert await packing_aio.get_or_compute("k", lambda: "another", 60) == LONG
    assert (await client_aio.gets("k")).flags & ~16
