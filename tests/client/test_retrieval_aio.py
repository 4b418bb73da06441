"""Reading: what was stored, and nothing else."""

from __future__ import annotations

import sys
import warnings
from datetime import timedelta

import pytest

from cenote.client import unreadable
from cenote.client.aio import AsyncClient
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
async def test_a_value_comes_back_as_it_was_stored(client_aio, value):
    assert await client_aio.set("k", value) is True
    read = await client_aio.get("k", "nothing")
    assert read == value
    assert type(read) is type(value)
    assert await client_aio.get_many(["k"]) == {"k": value}
    assert await client_aio.gat("k", 60, "nothing") == value
    assert await client_aio.gat_many(["k"], 60) == {"k": value}
    item = await client_aio.gets("k")
    assert item is not None
    assert item.value == value


async def test_a_missing_key_is_the_default(client_aio):
    assert await client_aio.get("k") is None
    assert await client_aio.get("k", 7) == 7
    assert await client_aio.gat("k", 60) is None
    assert await client_aio.gat("k", 60, 7) == 7
    assert await client_aio.gets("k") is None
    assert await client_aio.touch("k", 60) is False
    assert await client_aio.get_many(["k", "l"]) == {}
    assert await client_aio.gat_many(["k", "l"], 60) == {}


async def test_str_and_bytes_spell_the_same_key(client_aio):
    """pymemcache keeps 'foo' and b'foo' on different servers."""
    await client_aio.set("größe", 1)
    assert await client_aio.get("größe".encode()) == 1
    assert await client_aio.get_many(["größe", "größe".encode()]) == {
        "größe": 1,
        "größe".encode(): 1,
    }


async def test_gets_tells_the_flags_and_a_token_that_changes_with_every_write(client_aio):
    await client_aio.set("k", "text")
    first = await client_aio.gets("k")
    assert isinstance(first, Item)
    assert first._fields == ("value", "cas", "flags")
    assert (first.value, first.flags) == ("text", 16)
    await client_aio.set("k", "text")
    second = await client_aio.gets("k")
    assert second.cas != first.cas


async def test_get_many_gives_what_exists_in_the_order_asked(client_aio):
    await client_aio.set_many({"a": 1, b"b": b"2", "c": "3"})
    found = await client_aio.get_many(key for key in ["c", "missing", b"b", "a", "c"])
    assert list(found.items()) == [("c", "3"), (b"b", b"2"), ("a", 1)]
    assert await client_aio.get_many([]) == {}
    assert await client_aio.gat_many([], 1) == {}


async def test_many_hundreds_of_keys_are_one_call(client_aio):
    values = {f"a-rather-long-key-to-fill-several-lines-{n}": n for n in range(700)}
    assert await client_aio.set_many(values) == []
    assert await client_aio.get_many(values) == values
    assert await client_aio.gat_many(values, 60) == values
    assert await client_aio.delete_many(values) == 700


async def test_touch_and_gat_change_the_time_to_live(client_aio):
    await client_aio.set("k", 1)
    assert await client_aio.touch("k", timedelta(minutes=1)) is True
    assert await client_aio.get("k") == 1
    assert await client_aio.touch("k", 0) is True
    assert await client_aio.get("k") is None
    await client_aio.set("k", 1)
    assert await client_aio.gat("k", -1) == 1
    assert await client_aio.get("k") is None
    await client_aio.set_many({"k": 1, "l": 2})
    assert await client_aio.gat_many(["k", "l"], -1) == {"k": 1, "l": 2}
    assert await client_aio.get_many(["k", "l"]) == {}


async def test_flags_nobody_here_knows_are_a_miss_a_count_and_a_warning(
    client_aio, server, protocol
):
    """A peer's pickled, compressed or otherwise marked value is never passed off as a value."""
    async with AsyncClient(server.url, protocol=protocol, serde=Foreign()) as foreign:
        await foreign.set("k", b"\x80secret")
        await client_aio.set("l", 1)
        with pytest.warns(UnknownFlagsWarning, match="flags 9"):
            assert await client_aio.get("k", "default") == "default"
        with pytest.warns(UnknownFlagsWarning, match="read as a miss"):
            assert await client_aio.gat("k", 60, "default") == "default"
        with pytest.warns(UnknownFlagsWarning, match="'k'"):
            assert await client_aio.gets("k") is None
        with pytest.warns(UnknownFlagsWarning):
            assert await client_aio.get_many(["k", "l"]) == {"l": 1}
    assert client_aio.client_stats().unreadable == 4


class Foreign:
    def dumps(self, value, /):
        return value, 9

    def loads(self, data, flags, /):
        return data


async def test_pickle_and_raw_are_read_by_whom_they_were_asked_of(server, protocol):
    async with (
        AsyncClient(server.url, protocol=protocol, serde="pickle", **PATIENCE) as pickling,
        AsyncClient(server.url, protocol=protocol, serde="raw", **PATIENCE) as raw,
    ):
        await pickling.set("k", (1, {2}))
        assert await pickling.get("k") == (1, {2})
        await pickling.set("k", "text")
        assert await raw.get("k") == b"text"
        assert await raw.set("k", b"bytes")
        assert await pickling.get("k") == b"bytes"


async def test_a_prefix_is_never_seen(server, protocol):
    async with (
        AsyncClient(server.url, protocol=protocol, key_prefix="app:", **PATIENCE) as prefixed,
        AsyncClient(server.url, protocol=protocol, **PATIENCE) as plain,
    ):
        await prefixed.set_many({"a": 1, "b": 2})
        assert await prefixed.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert await plain.get("app:a") == 1
        assert await prefixed.delete_many(["a", "b", "c"]) == 2


async def test_long_keys_are_hashed_when_asked_for(server, protocol):
    async with AsyncClient(server.url, protocol=protocol, long_keys="hash", **PATIENCE) as client:
        key = "k" * 1000
        assert await client.set(key, 1) is True
        assert await client.get(key) == 1
        assert await client.get_many([key, "short"]) == {key: 1}
        assert await client.delete(key) is True


WRONG_KEYS = ["", "a b", "a\r\nflush_all", "k" * 251, 7, None]


@pytest.mark.parametrize("key", WRONG_KEYS, ids=repr)
async def test_a_wrong_key_is_refused_by_every_command(client_aio, key):
    await client_aio.set("other", 1)
    for call in (
        client_aio.get,
        client_aio.gets,
        client_aio.delete,
        client_aio.incr,
        client_aio.decr,
    ):
        with pytest.raises(InvalidKey):
            await call(key)
    for call in (client_aio.touch, client_aio.gat):
        with pytest.raises(InvalidKey):
            await call(key, 1)
    for call in (
        client_aio.set,
        client_aio.add,
        client_aio.replace,
        client_aio.append,
        client_aio.prepend,
    ):
        with pytest.raises(InvalidKey):
            await call(key, "v")
    with pytest.raises(InvalidKey):
        await client_aio.cas(key, "v", 1)
    with pytest.raises(InvalidKey):
        await client_aio.get_many(["fine", key])
    with pytest.raises(InvalidKey):
        await client_aio.gat_many(["fine", key], 1)
    with pytest.raises(InvalidKey):
        await client_aio.set_many({"fine": 1, key: 2})
    with pytest.raises(InvalidKey):
        await client_aio.delete_many(["fine", key])
    with pytest.raises(InvalidKey):
        await client_aio.get_or_compute(key, lambda: 1, 60)
    assert await client_aio.get_many(["other", "fine"]) == {"other": 1}


async def test_one_key_where_several_belong_is_refused(client_aio):
    for call in (client_aio.get_many, client_aio.delete_many):
        with pytest.raises(InvalidArgument, match="several"):
            await call("abc")
    with pytest.raises(InvalidArgument, match="several"):
        await client_aio.gat_many("abc", 1)


@pytest.mark.parametrize("ttl", [True, "60", float("nan"), 10**12], ids=repr)
async def test_a_wrong_ttl_is_refused_by_every_command(client_aio, ttl):
    for call in (client_aio.touch, client_aio.gat):
        with pytest.raises(InvalidArgument):
            await call("k", ttl)
    for call in (client_aio.set, client_aio.add, client_aio.replace):
        with pytest.raises(InvalidArgument):
            await call("k", 1, ttl)
    with pytest.raises(InvalidArgument):
        await client_aio.cas("k", 1, 1, ttl)
    with pytest.raises(InvalidArgument):
        await client_aio.gat_many(["k"], ttl)
    with pytest.raises(InvalidArgument):
        await client_aio.set_many({"k": 1}, ttl)
    with pytest.raises(InvalidArgument):
        await client_aio.incr("k", initial=0, ttl=ttl)
    with pytest.raises(InvalidArgument):
        await client_aio.get_or_compute("k", lambda: 1, ttl)
    assert await client_aio.get("k") is None


async def test_a_warning_names_the_line_that_read(client_aio, server):
    """It is the user's, however many of ours lie between."""
    async with AsyncClient(server.url, serde=Foreign()) as foreign:
        await foreign.set("k", b"secret")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await client_aio.get("k")
        await client_aio.gets("k")
        await client_aio.gat("k", 60)
        await client_aio.get_many(["k"])
        await client_aio.get_or_compute("k", lambda: "readable", 60)
    assert {warning.filename for warning in told} == {__file__}


async def test_what_was_warned_of_is_not_remembered_for_ever(client_aio, server, monkeypatch):
    """Not by us, nor in a module: the text holds the key."""
    monkeypatch.setattr(unreadable, "MOST", 8)
    async with AsyncClient(server.url, serde=Foreign()) as foreign:
        for number in range(40):
            await foreign.set(f"u{number}", b"secret")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for number in range(40):
            for _ in range(2):
                assert await client_aio.get(f"u{number}") is None
    assert 40 <= len(told) < 60  # each key once, but for those that are forgotten in between
    noted = [
        text
        for module in list(sys.modules.values())
        for text in (vars(module).get("__warningregistry__") or ())
        if "read as a miss" in str(text)
    ]
    assert noted == []
    assert len(unreadable._REGISTRY) <= 9
