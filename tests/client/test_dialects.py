"""Dialects: what a peer has stored is read here, and what is stored here a peer reads."""

from __future__ import annotations

import enum
import pickle
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from cenote.client.compression import CodecName
from cenote.client.dialects import DIALECTS
from cenote.client.serdes import SERDE_NAMES, Compression, SerdeName, serde_for
from cenote.client.sync import Client
from cenote.errors import NotSerializable, UnknownFlagsWarning, UnreadableValue
from cenote.testing.memcached import MemcachedServer
from tests.client import value_peers

PATIENT = 30.0
MISSING = object()
PICKLE, PACKED = 1, 8 | 32
NOISE = random.Random(7).randbytes(20_000)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


VALUES: dict[str, Any] = {
    "bytes": b"\x00\r\nEND\r\n\xff",
    "no bytes": b"",
    "text": "value",
    "other text": "größe \U0001f600 \x00\r\n",
    "no text": "",
    "int": 42,
    "zero": 0,
    "negative": -7,
    "huge": 10**40,
    "true": True,
    "false": False,
    "float": 1.5,
    "none": None,
    "list": [1, "a", None, [2.5]],
    "dict": {"a": {1: (2, 3)}, "ä": b"\xff"},
    "datetime": datetime(2026, 2, 28, 12, 30, tzinfo=UTC),
    "text enum": Colour.RED,
    "int enum": Level.HIGH,
    "buffer": bytearray(b"\x00ab"),
    "long bytes": b"abc" * 30_000,
    "long text": "aö" * 30_000,
    "long list": ["abc"] * 30_000,
    "noise": NOISE,
    "list of noise": [NOISE],
}

# Every peer, with the serialisation and the compression that are the same here.
PEERS: dict[str, tuple[Callable[..., value_peers.Peer], SerdeName, CodecName | None]] = {
    "pymemcache": (value_peers.pymemcache, "pymemcache", None),
    "pymemcache, compressed": (value_peers.pymemcache_compressed, "pymemcache", "zlib"),
    "python-memcached": (value_peers.python_memcached, "python-memcached", None),
    "python-memcached, compressed": (
        value_peers.python_memcached_compressed,
        "python-memcached",
        "zlib",
    ),
    "pylibmc": (value_peers.pylibmc, "pylibmc", None),
    "pylibmc, compressed": (value_peers.pylibmc_compressed, "pylibmc", "zlib"),
    "bmemcached": (value_peers.bmemcached, "bmemcached", "zlib"),
    "meta-memcache": (value_peers.meta_memcache, "meta-memcache", "zlib"),
    "meta-memcache, zstd": (value_peers.meta_memcache_zstd, "meta-memcache", "zstd"),
    "Django on pymemcache": (value_peers.django_pymemcache, "django", None),
    "Django on pylibmc": (value_peers.django_pylibmc, "pylibmc", None),
}


def shown(values: dict[str, Any]) -> dict[str, str]:
    """Values by which a failure is read: with their types, and short."""
    return {
        name: f"{type(value).__name__} {hash(repr(value)) if len(repr(value)) > 80 else value!r}"
        for name, value in values.items()
    }


def as_read_by(peer: str) -> dict[str, Any]:
    """What a peer reads of its own: some store an instance of a subclass as its base class."""
    changed: dict[str, Any] = {}
    if "pylibmc" in peer:
        changed = {"true": 1, "false": 0}
    if "pylibmc" in peer or "meta" in peer or "bmem" in peer:
        changed |= {"text enum": "red", "int enum": 3}
    return VALUES | changed


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[MemcachedServer]:
    with MemcachedServer() as server:
        yield server


@pytest.fixture(params=list(PEERS))
def name(request) -> str:
    return str(request.param)


@pytest.fixture
def peer(name, tcp_server) -> Iterator[value_peers.Peer]:
    peer = PEERS[name][0](tcp_server)
    yield peer
    peer.close()


@pytest.fixture
def client(name, tcp_server) -> Iterator[Client]:
    _, serde, compress = PEERS[name]
    prefix = ":1:" if "Django" in name else ""
    with Client(
        tcp_server.url,
        serde=serde,
        compress=compress,
        compress_min=100 if compress else 1024,
        key_prefix=prefix,
        timeout=PATIENT,
    ) as client:
        client.flush_all()
        yield client


def test_what_a_peer_stores_is_read_here(name, peer, client):
    for key, value in VALUES.items():
        peer.set(key.replace(" ", "-"), value)
    read = {key: client.get(key.replace(" ", "-"), MISSING) for key in VALUES}
    assert shown(read) == shown(as_read_by(name))


def test_what_is_stored_here_a_peer_reads(name, peer, client):
    for key, value in VALUES.items():
        client.set(key.replace(" ", "-"), value)
    read = {key: peer.get(key.replace(" ", "-")) for key in VALUES}
    empty = {"no text": b""} if "meta" in name else {}  # of its own it reads the same
    assert shown(read) == shown(as_read_by(name) | empty)


def test_the_flags_are_those_of_the_peer(name, peer, client, tcp_server):
    """Old protocols of pickle take more bytes: some of theirs are compressed and not ours."""
    with Client(tcp_server.url, serde="raw", timeout=PATIENT) as raw:
        prefix = ":1:" if "Django" in name else ""
        for key, value in VALUES.items():
            wire = prefix + key.replace(" ", "-")
            peer.set(key.replace(" ", "-"), value)
            theirs = raw.gets(wire)
            client.set(key.replace(" ", "-"), value)
            ours = raw.gets(wire)
            assert theirs is not None
            assert ours is not None
            packed = PACKED if theirs.flags & PICKLE or grows(name, key) else 0
            assert (key, ours.flags & ~packed) == (key, theirs.flags & ~packed)
            if not theirs.flags & (PACKED | PICKLE):
                assert ours.value == theirs.value


def grows(peer: str, key: str) -> bool:
    """Tell what meta-memcache compresses though it is longer then."""
    return "meta" in peer and "noise" in key


@pytest.mark.parametrize(
    ("make", "hashing", "serde"),
    [
        (value_peers.django_pymemcache, "pymemcache", "django"),
        (value_peers.django_pylibmc, "modula", "pylibmc"),
    ],
    ids=["pymemcache", "pylibmc"],
)
def test_django_finds_its_keys_on_several_servers(make, hashing, serde):
    """Its key function puts ``:1:`` before keys; for its client that is a part of them."""
    keys = [f"käy:{number}" for number in range(40)]
    with ExitStack() as stack:
        servers = [stack.enter_context(MemcachedServer()) for _ in range(3)]
        cache = make(*servers)
        stack.callback(cache.close)
        client = stack.enter_context(
            Client(
                [server.url for server in servers],
                hashing=hashing,
                serde=serde,
                key_prefix=":1:",
                hash_prefix=True,
                timeout=PATIENT,
            )
        )
        for key in keys[:20]:
            cache.set(key, key.upper())
        for key in keys[20:]:
            client.set(key, key.upper())
        assert client.get_many(keys) == {key: key.upper() for key in keys}
        assert {key: cache.get(key) for key in keys} == {key: key.upper() for key in keys}


def test_the_names_of_dialects_are_those_of_the_option():
    assert set(SERDE_NAMES) == {*DIALECTS, "raw"} == set(get_args(SerdeName))


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("value", [b"", b"\xff", "", "ö", 0, -(10**30), True, None, [1.5], {}])
def test_every_dialect_reads_what_it_writes(name, value):
    serde = serde_for(name)
    read = serde.loads(*serde.dumps(value))
    assert read == value
    assert type(read) is (int if name == "pylibmc" and value is True else type(value))


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "json"])
@pytest.mark.parametrize("broken", [b"", b"\x80", b"cno_such_module\nX\n.", pickle.dumps(1)[:-2]])
def test_a_broken_pickle_is_unreadable_and_names_its_flags(name, broken):
    with pytest.raises(UnreadableValue, match=r"pickled value \(flags 1\)"):
        serde_for(name).loads(broken, 1)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "flags", [3, 5, 6, 7, 17, 18, 20, 40, 64, 256, 4096, 1 << 18, 1 << 21, 2**31, 2**32 - 1]
)
def test_flags_of_another_client_are_refused(name, flags):
    with pytest.raises(UnreadableValue, match=f"flags {flags} are not known to serde='{name}'"):
        serde_for(name).loads(b"1", flags)


@pytest.mark.parametrize("name", DIALECTS)
def test_nothing_that_is_stored_makes_a_dialect_fall_over(name):
    """Whatever bytes stand beside whatever flags: a value, or ``UnreadableValue``."""
    serde, rng = serde_for(name), random.Random(3)
    samples = [b"", b"1", b"x", b"\xff" * 9, zlib.compress(b"1"), zlib.compress(b"\xff")]
    bits = (1, 2, 4, 8, 16, 32, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20)
    for _ in range(2000):
        flags = sum(rng.sample(bits, rng.randint(0, 3)))
        data = rng.choice(samples) + rng.randbytes(rng.choice([0, 0, 1, 3]))
        with suppress(UnreadableValue):
            serde.loads(data, flags)


def test_a_type_that_a_peer_pickles_is_pickled():
    """pymemcache stores an instance of a subclass as what it is, pylibmc as its base class."""
    assert serde_for("pymemcache").dumps(Colour.RED)[1] == 1
    assert serde_for("pylibmc").dumps(Colour.RED) == (b"red", 16)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "json"])
def test_what_can_not_be_pickled_is_refused(name):
    with pytest.raises(NotSerializable, match="can not be pickled"):
        serde_for(name).dumps(lambda: None)


def test_the_warning_about_a_broken_value_names_the_key_and_the_flags(tcp_server):
    packing = serde_for("pymemcache", Compression("zlib", 0))
    data, flags = packing.dumps("a" * 100)

    class Broken:
        def dumps(self, value, /):
            return value, flags

        def loads(self, data, flags, /):
            raise AssertionError

    with (
        Client(tcp_server.url, serde=Broken(), timeout=PATIENT) as breaking,
        Client(tcp_server.url, serde="pymemcache", timeout=PATIENT) as client,
    ):
        breaking.set("user:1", data[:-1])
        with pytest.warns(UnknownFlagsWarning, match=r"'user:1': .*flags 24.*cut short"):
            assert client.get("user:1", "miss") == "miss"
        assert client.client_stats().unreadable == 1
