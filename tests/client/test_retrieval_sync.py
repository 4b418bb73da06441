# Generated from tests/client/test_retrieval_aio.py by tools/unasync.py; do not edit.
"""Reading: what was stored, and nothing else."""

from __future__ import annotations

import sys
import warnings
from datetime import timedelta

import pytest

from cenote.client import unreadable
from cenote.client.sync import Client
from cenote.client.outcome import Item
from cenote.errors import InvalidArgument, InvalidKey, UnknownFlagsWarning
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")

VALUES = [
    b"",
    b"bytes",
    b"END\r\n",
    "",
    "größe",
    0,
    -7,
    2**63,
    True,
    False,
    None,
    1.5,
    [1],
    {"a": []},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was_stored(client_sync, value):
    assert client_sync.set("k", value) is True
    read = client_sync.get("k", "nothing")
    assert read == value
    assert type(read) is type(value)
    assert client_sync.get_many(["k"]) == {"k": value}
    assert client_sync.gat("k", 60, "nothing") == value
    assert client_sync.gat_many(["k"], 60) == {"k": value}
    item = client_sync.gets("k")
    assert item is not None
    assert item.value == value


def test_a_missing_key_is_the_default(client_sync):
    assert client_sync.get("k") is None
    assert client_sync.get("k", 7) == 7
    assert client_sync.gat("k", 60) is None
    assert client_sync.gat("k", 60, 7) == 7
    assert client_sync.gets("k") is None
    assert client_sync.touch("k", 60) is False
    assert client_sync.get_many(["k", "l"]) == {}
    assert client_sync.gat_many(["k", "l"], 60) == {}


def test_str_and_bytes_spell_the_same_key(client_sync):
    """pymemcache keeps 'foo' and b'foo' on different servers."""
    client_sync.set("größe", 1)
    assert client_sync.get("größe".encode()) == 1
    assert client_sync.get_many(["größe", "größe".encode()]) == {
        "größe": 1,
        "größe".encode(): 1,
    }


def test_gets_tells_the_flags_and_a_token_that_changes_with_every_write(client_sync):
    client_sync.set("k", "text")
    first = client_sync.gets("k")
    assert isinstance(first, Item)
    assert first._fields == ("value", "cas", "flags")
    assert (first.value, first.flags) == ("text", 16)
    client_sync.set("k", "text")
    second = client_sync.gets("k")
    assert second.cas != first.cas


def test_get_many_gives_what_exists_in_the_order_asked(client_sync):
    client_sync.set_many({"a": 1, b"b": b"2", "c": "3"})
    found = client_sync.get_many(key for key in ["c", "missing", b"b", "a", "c"])
    assert list(found.items()) == [("c", "3"), (b"b", b"2"), ("a", 1)]
    assert client_sync.get_many([]) == {}
    assert client_sync.gat_many([], 1) == {}


def test_many_hundreds_of_keys_are_one_call(client_sync):
    values = {f"a-rather-long-key-to-fill-several-lines-{n}": n for n in range(700)}
    assert client_sync.set_many(values) == []
    assert client_sync.get_many(values) == values
    assert client_sync.gat_many(values, 60) == values
    assert client_sync.delete_many(values) == 700


def test_touch_and_gat_change_the_time_to_live(client_sync):
    client_sync.set("k", 1)
    assert client_sync.touch("k", timedelta(minutes=1)) is True
    assert client_sync.get("k") == 1
    assert client_sync.touch("k", 0) is True
    assert client_sync.get("k") is None
    client_sync.set("k", 1)
    assert client_sync.gat("k", -1) == 1
    assert client_sync.get("k") is None
    client_sync.set_many({"k": 1, "l": 2})
    assert client_sync.gat_many(["k", "l"], -1) == {"k": 1, "l": 2}
    assert client_sync.get_many(["k", "l"]) == {}


def test_flags_nobody_here_knows_are_a_miss_a_count_and_a_warning(client_sync, server, protocol):
    """A peer's pickled, compressed or otherwise marked value is never passed off as a value."""
    with Client(server.url, protocol=protocol, serde=Foreign()) as foreign:
        foreign.set("k", b"\x80secret")
        client_sync.set("l", 1)
        with pytest.warns(UnknownFlagsWarning, match="flags 9"):
            assert client_sync.get("k", "default") == "default"
        with pytest.warns(UnknownFlagsWarning, match="read as a miss"):
            assert client_sync.gat("k", 60, "default") == "default"
        with pytest.warns(UnknownFlagsWarning, match="'k'"):
            assert client_sync.gets("k") is None
        with pytest.warns(UnknownFlagsWarning):
            assert client_sync.get_many(["k", "l"]) == {"l": 1}
    assert client_sync.client_stats().unreadable == 4


class Foreign:
    def dumps(self, value, /):
        return value, 9

    def loads(self, data, flags, /):
        return data


def test_pickle_and_raw_are_read_by_whom_they_were_asked_of(server, protocol):
    with (
        Client(server.url, protocol=protocol, serde="pickle", **PATIENCE) as pickling,
        Client(server.url, protocol=protocol, serde="raw", **PATIENCE) as raw,
    ):
        pickling.set("k", (1, {2}))
        assert pickling.get("k") == (1, {2})
        pickling.set("k", "text")
        assert raw.get("k") == b"text"
        assert raw.set("k", b"bytes")
        assert pickling.get("k") == b"bytes"


def test_a_prefix_is_never_seen(server, protocol):
    with (
        Client(server.url, protocol=protocol, key_prefix="app:", **PATIENCE) as prefixed,
        Client(server.url, protocol=protocol, **PATIENCE) as plain,
    ):
        prefixed.set_many({"a": 1, "b": 2})
        assert prefixed.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert plain.get("app:a") == 1
        assert prefixed.delete_many(["a", "b", "c"]) == 2


def test_long_keys_are_hashed_when_asked_for(server, protocol):
    with Client(server.url, protocol=protocol, long_keys="hash", **PATIENCE) as client:
        key = "k" * 1000
        assert client.set(key, 1) is True
        assert client.get(key) == 1
        assert client.get_many([key, "short"]) == {key: 1}
        assert client.delete(key) is True


WRONG_KEYS = ["", "a b", "a\r\nflush_all", "k" * 251, 7, None]


@pytest.mark.parametrize("key", WRONG_KEYS, ids=repr)
def test_a_wrong_key_is_refused_by_every_command(client_sync, key):
    client_sync.set("other", 1)
    for call in (
        client_sync.get,
        client_sync.gets,
        client_sync.delete,
        client_sync.incr,
        client_sync.decr,
    ):
        with pytest.raises(InvalidKey):
            call(key)
    for call in (client_sync.touch, client_sync.gat):
        with pytest.raises(InvalidKey):
            call(key, 1)
    for call in (
        client_sync.set,
        client_sync.add,
        client_sync.replace,
        client_sync.append,
        client_sync.prepend,
    ):
        with pytest.raises(InvalidKey):
            call(key, "v")
    with pytest.raises(InvalidKey):
        client_sync.cas(key, "v", 1)
    with pytest.raises(InvalidKey):
        client_sync.get_many(["fine", key])
    with pytest.raises(InvalidKey):
        client_sync.gat_many(["fine", key], 1)
    with pytest.raises(InvalidKey):
        client_sync.set_many({"fine": 1, key: 2})
    with pytest.raises(InvalidKey):
        client_sync.delete_many(["fine", key])
    with pytest.raises(InvalidKey):
        client_sync.get_or_compute(key, lambda: 1, 60)
    assert client_sync.get_many(["other", "fine"]) == {"other": 1}


def test_one_key_where_several_belong_is_refused(client_sync):
    for call in (client_sync.get_many, client_sync.delete_many):
        with pytest.raises(InvalidArgument, match="several"):
            call("abc")
    with pytest.raises(InvalidArgument, match="several"):
        client_sync.gat_many("abc", 1)


@pytest.mark.parametrize("ttl", [True, "60", float("nan"), 10**12], ids=repr)
def test_a_wrong_ttl_is_refused_by_every_command(client_sync, ttl):
    for call in (client_sync.touch, client_sync.gat):
        with pytest.raises(InvalidArgument):
            call("k", ttl)
    for call in (client_sync.set, client_sync.add, client_sync.replace):
        with pytest.raises(InvalidArgument):
            call("k", 1, ttl)
    with pytest.raises(InvalidArgument):
        client_sync.cas("k", 1, 1, ttl)
    with pytest.raises(InvalidArgument):
        client_sync.gat_many(["k"], ttl)
    with pytest.raises(InvalidArgument):
        client_sync.set_many({"k": 1}, ttl)
    with pytest.raises(InvalidArgument):
        client_sync.incr("k", initial=0, ttl=ttl)
    with pytest.raises(InvalidArgument):
        client_sync.get_or_compute("k", lambda: 1, ttl)
    assert client_sync.get("k") is None


def test_a_warning_names_the_line_that_read(client_sync, server):
    """It is the user's, however many of ours lie between."""
    with Client(server.url, serde=Foreign()) as foreign:
        foreign.set("k", b"secret")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        client_sync.get("k")
        client_sync.gets("k")
        client_sync.gat("k", 60)
        client_sync.get_many(["k"])
        client_sync.get_or_compute("k", lambda: "readable", 60)
    assert {warning.filename for warning in told} == {__file__}


def test_what_was_warned_of_is_not_remembered_for_ever(client_sync, server, monkeypatch):
    """Not by us, nor in a module: the text holds the key."""
    monkeypatch.setattr(unreadable, "MOST", 8)
    with Client(server.url, serde=Foreign()) as foreign:
        for number in range(40):
            foreign.set(f"u{number}", b"secret")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for number in range(40):
            for _ in range(2):
                assert client_sync.get(f"u{number}") is None
    assert 40 <= len(told) < 60  # each key once, but for those that are forgotten in between
    noted = [
        text
        for module in list(sys.modules.values())
        for text in (vars(module).get("__warningregistry__") or ())
        if "read as a miss" in str(text)
    ]
    assert noted == []
    assert len(unreadable._REGISTRY) <= 9
