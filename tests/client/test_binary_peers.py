"""The binary protocol beside other clients that speak it: what they write is read, and the reverse.

bmemcached logs in by SASL; the libsasl that pylibmc's wheels bring finds no mechanisms, so that it
talks to a server that lets everybody in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cenote.client.sync import Client
from cenote.testing.memcached import MemcachedServer

USER, PASSWORD = "ann", "s3cret"
VALUES = {
    "bytes": b"\x00\r\nEND\r\n\xff",
    "nothing": b"",
    "text": "größe",
    "int": 42,
    "true": True,
    "long": b"abc" * 100_000,
    "pickled": {"a": [1, None]},
}


@pytest.fixture(params=["pylibmc", "bmemcached"], scope="module")
def dialect(request) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def binary_server(dialect) -> Iterator[MemcachedServer]:
    pytest.importorskip(dialect)
    users = {USER: PASSWORD} if dialect == "bmemcached" else None
    with MemcachedServer(sasl_users=users, options=["-B", "binary"]) as server:
        yield server


@pytest.fixture
def peer(dialect, binary_server) -> Iterator[Any]:
    library = pytest.importorskip(dialect)
    if dialect == "pylibmc":
        peer = library.Client([binary_server.url], binary=True, behaviors={"cas": True})
    else:
        peer = library.Client([binary_server.url], USER, PASSWORD)
    yield peer
    peer.disconnect_all()


@pytest.fixture
def client(dialect, peer, binary_server) -> Iterator[Client]:
    login: dict[str, Any] = {"username": USER, "password": PASSWORD}
    with Client(
        binary_server.url,
        protocol="binary",
        serde=dialect,
        timeout=30,
        connect_timeout=30,
        **(login if dialect == "bmemcached" else {}),
    ) as client:
        client.flush_all()
        yield client


@pytest.mark.parametrize("name", sorted(VALUES))
def test_what_the_peer_writes_is_read_here(client, peer, name):
    assert peer.set("k", VALUES[name])
    assert client.get("k") == VALUES[name]
    assert client.get_many(["k", "none"]) == {"k": VALUES[name]}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_what_is_written_here_the_peer_reads(client, peer, name):
    assert client.set("k", VALUES[name], ttl=60)
    assert peer.get("k") == VALUES[name]
    assert client.set_many({"l": VALUES[name]}) == []
    assert peer.get_multi(["k", "l"]) == {"k": VALUES[name], "l": VALUES[name]}


def test_counters_are_common(client, peer):
    assert client.incr("n", initial=40) == 40
    assert peer.incr("n", 2) == 42
    assert client.decr("n", 2) == 40
    assert peer.decr("n", 1) == 39
    assert client.get("n") == 39


def test_tokens_are_common(client, peer):
    client.set("k", "old")
    value, token = peer.gets("k")
    assert value == "old"
    item = client.gets("k")
    assert item is not None
    assert item.cas == token
    assert client.cas("k", "new", token)
    assert not peer.cas("k", "other", token)
    assert peer.get("k") == "new"


def test_what_one_deletes_is_gone_for_the_other(client, peer):
    client.set_many({"a": 1, "b": 2})
    assert peer.delete("a")
    assert client.get("a") is None
    assert client.delete("b")
    assert peer.get("b") is None
    assert client.set("c", 1, ttl=-1)
    assert peer.get("c") is None
