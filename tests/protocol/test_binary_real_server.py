"""The binary protocol spoken with a real memcached."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, UnknownCommand, ValueTooLarge
from cenote.protocol.replies import (
    DELETED,
    EXISTS,
    NOT_FOUND,
    NOT_STORED,
    OK,
    STORED,
    TOUCHED,
)
from cenote.testing.memcached import MemcachedServer
from tests.protocol.binary_conversations import encoders_of
from tests.protocol.conftest import Wire


@pytest.fixture(scope="module")
def server():
    with MemcachedServer(unix=True, options=["-B", "binary"]) as server:
        yield server.url


@pytest.fixture
def mc(codec):
    return encoders_of(codec)


@pytest.fixture
def wire(codec, mc, server):
    wire = Wire(codec, server)
    wire.ask(mc.flush_all())
    yield wire
    wire.close()


def test_the_life_of_an_item(mc, wire):
    assert wire.ask(
        mc.store("set", b"k", b"v", 2**32 - 1, 60),
        mc.get(b"k"),
        mc.store("append", b"k", b">", 0, 0),
        mc.store("prepend", b"k", b"<", 0, 0),
        mc.gat(b"k", 60),
        mc.touch(b"k", 0),
        mc.delete(b"k"),
        mc.get(b"k"),
        mc.gat(b"k", 60),
    ) == [
        STORED,
        (b"v", 2**32 - 1, 0),
        STORED,
        STORED,
        (b"<v>", 2**32 - 1, 0),
        TOUCHED,
        DELETED,
        None,
        None,
    ]


def test_what_is_not_there_or_is(mc, wire):
    assert wire.ask(
        mc.store("replace", b"k", b"", 0, 0),
        mc.store("append", b"k", b"", 0, 0),
        mc.touch(b"k", 1),
        mc.delete(b"k"),
        mc.incr(b"k", 1),
        mc.store("add", b"k", b"", 0, 0),
        mc.store("add", b"k", b"", 0, 0),
    ) == [NOT_STORED, NOT_STORED, NOT_FOUND, NOT_FOUND, None, STORED, NOT_STORED]


def test_an_expiry_that_has_passed_has_passed(mc, wire):
    assert wire.ask(
        mc.store("set", b"k", b"v", 0, -1),
        mc.get(b"k"),
        mc.store("set", b"k", b"v", 0, 0),
        mc.touch(b"k", -1),
        mc.get(b"k"),
    ) == [STORED, None, STORED, TOUCHED, None]


def test_cas_stores_what_nobody_has_written_since(mc, wire):
    wire.ask(mc.store("set", b"k", b"v", 0, 0))
    [(_, _, token)] = wire.ask(mc.gets(b"k"))
    assert wire.ask(
        mc.cas(b"k", b"w", 0, 0, token),
        mc.cas(b"k", b"x", 0, 0, token),
        mc.cas(b"k", b"x", 0, 0, 0),
        mc.cas(b"none", b"x", 0, 0, token),
        mc.cas(b"none", b"x", 0, 0, 0),
        mc.get(b"k"),
    ) == [STORED, EXISTS, EXISTS, NOT_FOUND, NOT_FOUND, (b"w", 0, 0)]


def test_counters(mc, wire):
    assert wire.ask(
        mc.incr(b"n", 5),
        mc.incr(b"n", 5, 10),
        mc.incr(b"n", 5, 10),
        mc.decr(b"n", 100),
        mc.store("set", b"n", b"%d" % (2**64 - 1), 0, 0),
        mc.incr(b"n", 1),
        mc.incr(b"past", 1, 1, -1),
        mc.get(b"past"),
    ) == [None, 10, 15, 0, STORED, 0, 1, None]
    wire.ask(mc.store("set", b"k", b"text", 0, 0))
    [error] = wire.ask(mc.incr(b"k", 1))
    assert type(error) is ClientError
    assert wire.parser.clean


def test_batches(mc, wire):
    items = [(b"%d" % n, b"x" * n, n) for n in range(200)]
    [stored] = wire.ask(mc.set_many(items, 60))
    assert stored.failures == {}
    asked = [key for key, _, _ in items]
    [found] = wire.ask(mc.get_many([*asked, b"none", b"7"]))
    assert found == {key: (value, flags, 0) for key, value, flags in items}
    [found] = wire.ask(mc.gats_many(asked[:3], 60))
    assert all(cas for _, _, cas in found.values())
    [deleted] = wire.ask(mc.delete_many([*asked[:3], b"none"]))
    assert deleted.failures == {3: NOT_FOUND}
    assert wire.ask(mc.get_many(asked[:3])) == [{}]


def test_a_value_that_is_too_large_is_refused_alone(mc, wire):
    large = bytes(2 << 20)
    [error] = wire.ask(mc.store("set", b"k", large, 0, 0))
    assert type(error) is ValueTooLarge
    assert "2097152 bytes were sent for 'k'" in str(error)
    [batch] = wire.ask(mc.set_many([(b"a", b"1", 0), (b"k", large, 0), (b"b", b"2", 0)], 0))
    assert [type(error) for error in batch.failures.values()] == [ValueTooLarge]
    assert list(batch.failures) == [1]
    assert wire.ask(mc.get_many([b"a", b"k", b"b"])) == [{b"a": (b"1", 0, 0), b"b": (b"2", 0, 0)}]
    [batch] = wire.ask(mc.quiet(mc.store("set", b"k", large, 0, 0)))
    assert type(batch.failures[0]) is ValueTooLarge


def test_quiet_writes_are_done(mc, wire):
    wire.ask(mc.store("set", b"n", b"5", 0, 0))
    writes = (
        mc.store("add", b"k", b"1", 0, 0),
        mc.store("append", b"k", b"2", 0, 0),
        mc.store("prepend", b"k", b"0", 0, 0),
        mc.incr(b"n", 2),
        mc.decr(b"n", 1),
    )
    batches = wire.ask(*(mc.quiet(write) for write in writes))
    assert [batch.failures for batch in batches] == [{}] * 5
    assert wire.ask(mc.get(b"k"), mc.get(b"n")) == [(b"012", 0, 0), (b"6", 0, 0)]
    refused = wire.ask(
        mc.quiet(mc.store("add", b"k", b"", 0, 0)),
        mc.quiet(mc.store("replace", b"none", b"", 0, 0)),
        mc.quiet(mc.delete(b"k")),
        mc.quiet(mc.delete(b"k")),
        mc.quiet(mc.incr(b"none", 1)),
    )
    assert [batch.failures.get(0) for batch in refused] == [
        NOT_STORED,
        NOT_STORED,
        None,
        NOT_FOUND,
        NOT_FOUND,
    ]


def test_the_server_tells_about_itself(mc, wire):
    version, stats, settings, done, noop = wire.ask(
        mc.version(), mc.stats(), mc.stats("settings"), mc.stats("reset"), mc.noop()
    )
    assert version == stats["version"]
    assert settings["binding_protocol"] == "binary"
    assert done == {}
    assert noop is OK
    [error] = wire.ask(mc.stats("nonsense"))
    assert type(error) is UnknownCommand
    assert wire.parser.clean
    assert wire.ask(mc.flush_all(100), mc.flush_all()) == [OK, OK]


def test_a_key_that_is_too_long_ends_the_conversation(mc, wire):
    [error] = wire.ask(mc.get(b"k" * 251))
    assert type(error) is ClientError
    assert not wire.parser.usable
