# Generated from tests/client/test_compressing_aio.py by tools/unasync.py; do not edit.
"""A client that compresses: every command, as if it did not."""

from __future__ import annotations

import pytest

from cenote.errors import InvalidArgument
from cenote.testing.memcached import MemcachedServer

LONG = "word " * 1000
VALUES = {"text": LONG, "bytes": LONG.encode(), "json": [LONG], "short": "a", "number": 7}


@pytest.fixture(params=["zlib", "zstd"])
def packing_sync(request, server: MemcachedServer, protocol, make_sync):
    client = make_sync(
        server.url, protocol=protocol, compress=request.param, compress_min=20, timeout=30.0
    )
    client.flush_all()
    return client


def test_values_come_back(packing_sync):
    for key, value in VALUES.items():
        assert packing_sync.set(key, value)
        assert packing_sync.get(key) == value
        assert packing_sync.gat(key, 60) == value
        assert packing_sync.replace(key, value, noreply=True)
    assert packing_sync.get_many(VALUES) == VALUES


def test_values_come_back_from_a_batch(packing_sync):
    assert packing_sync.set_many(VALUES) == []
    assert packing_sync.get_many(VALUES) == VALUES
    assert packing_sync.set_many({"b": LONG.encode()}) == []
    item = packing_sync.gets("b")
    assert item.value == LONG.encode()
    assert item.flags != 0
    assert packing_sync.cas("b", LONG, item.cas)
    assert packing_sync.get("b") == LONG


def test_others_read_what_is_compressed(packing_sync, client_sync):
    packing_sync.set_many(VALUES)
    assert client_sync.get_many(VALUES) == VALUES
    client_sync.set_many(VALUES)
    assert packing_sync.get_many(VALUES) == VALUES


def test_what_is_put_after_or_before_a_value_is_not_compressed(packing_sync):
    tail = "tail " * 100
    packing_sync.set("k", "head ")
    assert packing_sync.append("k", tail)
    assert packing_sync.prepend("k", tail)
    assert packing_sync.get("k") == f"{tail}head {tail}"


def test_nothing_is_put_after_a_compressed_value(packing_sync):
    packing_sync.set("k", LONG)
    with pytest.raises(InvalidArgument, match="would be corrupted"):
        packing_sync.append("k", "tail")
    assert packing_sync.get("k") == LONG


def test_the_server_counts(packing_sync):
    assert packing_sync.incr("n", initial=11111111111111111111) == 11111111111111111111
    assert packing_sync.get("n") == 11111111111111111111
    packing_sync.set("m", 11111111111111111111)
    assert packing_sync.incr("m") == 11111111111111111112


def test_computed_values_are_compressed_too(packing_sync, client_sync):
    assert packing_sync.get_or_compute("k", lambda: LONG, 60) == LONG
    assert packing_sync.get_or_compute("k", lambda: "another", 60) == LONG
    assert (client_sync.gets("k")).flags & ~16
