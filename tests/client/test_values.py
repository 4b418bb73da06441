"""Values: which bytes and flags they become, what comes back, and what is refused."""

from __future__ import annotations

import enum
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.client.dialects import BOOL, CUSTOM, JSON, ZSTD
from cenote.client.serdes import serde_for
from cenote.client.values import LEASE, counter, dumps_all
from cenote.errors import ConfigurationError, NotSerializable, UnreadableValue

json_serde = serde_for("json")
pickle_serde = serde_for("pickle")
raw_serde = serde_for("raw")

# Bits that peers give a meaning: pickle, int, long or bool, zlib, text, marshal or zstd, chunked,
# and the types of spymemcached.
BITS_OF_PEERS = 0xFFFF


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.StrEnum):
    RED = "red"


class Opaque:
    def __reduce__(self):
        raise TypeError("not to be pickled")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"", (b"", 0)),
        (b"\x00\xff", (b"\x00\xff", 0)),
        (bytearray(b"ab"), (b"ab", 0)),
        (memoryview(b"ab"), (b"ab", 0)),
        ("", (b"", 16)),
        ("größe", ("größe".encode(), 16)),
        (Colour.RED, (b"red", 16)),
        (0, (b"0", 2)),
        (-7, (b"-7", 2)),
        (2**64, (b"18446744073709551616", 2)),
        (Level.HIGH, (b"3", 2)),
        (True, (b"1", BOOL)),
        (False, (b"0", BOOL)),
        (None, (b"null", JSON)),
        (1.5, (b"1.5", JSON)),
        ([1, "a"], (b'[1,"a"]', JSON)),
        ({"a": {"b": [None]}}, (b'{"a":{"b":[null]}}', JSON)),
        ({"ä": "ö"}, ('{"ä":"ö"}'.encode(), JSON)),
    ],
)
def test_our_own_dialect_writes_exactly_this(value, stored):
    assert json_serde.dumps(value) == stored


def test_flags_of_our_own_collide_with_no_peers():
    ours = {JSON, BOOL, LEASE, ZSTD, CUSTOM}
    assert all(flag & BITS_OF_PEERS == 0 for flag in ours)
    assert len(ours) == 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=15,
)


@given(st.binary() | json_values)
@pytest.mark.parametrize("serde", [json_serde, pickle_serde], ids=["json", "pickle"])
def test_what_is_stored_comes_back_the_same(serde, value):
    read = serde.loads(*serde.dumps(value))
    assert read == value
    assert type(read) is type(value)


def test_nan_comes_back():
    read = json_serde.loads(*json_serde.dumps(math.nan))
    assert isinstance(read, float)
    assert math.isnan(read)


circular: list[object] = []
circular.append(circular)

deep: list[object] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((1, 2), "tuple"),
        ([(1, 2)], "tuple"),
        ({1: "a"}, "str keys"),
        ({"a": {None: 1}}, "str keys"),
        ({1, 2}, "serde='pickle'"),
        (object(), "object"),
        ({"a": b"bytes"}, "serde='pickle'"),
        (circular, "[Cc]ircular"),
        (deep, "JSON"),
        ("\ud800", "UTF-8"),
        (["\ud800"], "JSON"),
        (10**5000, "digits"),
        ([10**5000], "JSON"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_what_json_can_not_bring_back_is_refused(value, says):
    with pytest.raises(NotSerializable, match=says):
        json_serde.dumps(value)


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        (b"x", 1),  # a pickle, for somebody who asked for pickles
        (b"x", 4),
        (b"x", 8),
        (b"x", 18),
        (b"x", 32),
        (b"x", 4096),
        (b"x", 2**32 - 1),
        (b"\xff", 16),
        (b"seven", 2),
        (b"", 2),
        (b"{", JSON),
        (b"", JSON),
        (b"\xff\xff", JSON),
        (b"[" * 100_000, JSON),
        (b"2", BOOL),
        (b"", BOOL),
        (b"token", LEASE),
    ],
)
def test_what_makes_no_sense_is_never_passed_off_as_a_value(data, flags):
    with pytest.raises(UnreadableValue):
        json_serde.loads(data, flags)


def test_the_blank_that_decr_leaves_is_no_part_of_the_number():
    assert json_serde.loads(b"9 ", 2) == 9


def test_pickle_is_read_only_when_asked_for():
    data, flags = pickle_serde.dumps({1: (2, 3)})
    assert flags == 1
    assert pickle_serde.loads(data, flags) == {1: (2, 3)}
    with pytest.raises(UnreadableValue):
        json_serde.loads(data, flags)


@pytest.mark.parametrize("value", [(1,), {1}, None, 1.5, {"a": [1]}])
def test_pickle_takes_the_place_of_json(value):
    assert pickle_serde.dumps(value)[1] == 1


@pytest.mark.parametrize("value", [b"a", "a", 1, True])
def test_pickle_leaves_the_native_kinds_native(value):
    assert pickle_serde.dumps(value) == json_serde.dumps(value)


def test_pickle_reads_json_too():
    assert pickle_serde.loads(*json_serde.dumps([1])) == [1]


def test_what_can_not_be_pickled_is_refused():
    for value in (Opaque(), lambda: None):
        with pytest.raises(NotSerializable, match="pickled"):
            pickle_serde.dumps(value)


@pytest.mark.parametrize("data", [b"", b"\x80", b"cno_such_module\nX\n.", pickle.dumps(1)[:-2]])
def test_a_broken_pickle_is_unreadable(data):
    with pytest.raises(UnreadableValue):
        pickle_serde.loads(data, 1)


def test_raw_takes_bytes_and_gives_bytes():
    assert raw_serde.dumps(b"a") == (b"a", 0)
    assert raw_serde.dumps(bytearray(b"a")) == (b"a", 0)
    assert raw_serde.loads(b"a", 16) == b"a"
    for refused in ("a", 1, None):
        with pytest.raises(NotSerializable, match="pass bytes"):
            raw_serde.dumps(refused)


class Shouting:
    def dumps(self, value, /):
        return str(value).upper().encode(), 1 << 20

    def loads(self, data, flags, /):
        return data, flags


def test_a_serde_of_ones_own_is_taken():
    serde = serde_for(Shouting())
    assert serde.dumps("a") == (b"A", 1 << 20)
    assert serde.loads(b"A", 7) == (b"A", 7)


@pytest.mark.parametrize(("module", "name"), [(json, "json"), (pickle, "pickle"), (math, "json")])
def test_a_module_is_no_serde_and_the_message_names_the_one_that_is_meant(module, name):
    with pytest.raises(ConfigurationError, match=f"serde='{name}'"):
        serde_for(module)


class Answering:
    def __init__(self, answer):
        self.answer = answer

    def dumps(self, value, /) -> Any:
        return self.answer

    def loads(self, data, flags, /):
        raise KeyError("mine")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"ab",
        [b"x", 0],
        (b"x",),
        ("x", 0),
        (bytearray(b"x"), 0),
        (b"x", "0"),
        (b"x", True),
        (b"x", -1),
        (b"x", 2**32),
        (b"x", LEASE),
    ],
    ids=repr,
)
def test_what_a_serde_may_not_return_is_not_stored(answer):
    serde = serde_for(Answering(answer))
    with pytest.raises(NotSerializable, match=r"serde\.dumps returns \(bytes, flags\), not "):
        serde.dumps("value")
    with pytest.raises(NotSerializable):
        dumps_all(serde, ["value"], ["key"])


def test_an_error_of_ones_own_serde_is_passed_on():
    with pytest.raises(KeyError, match="mine"):
        serde_for(Answering(None)).loads(b"x", 0)


def test_no_serde_ever_sees_a_lease():
    for serde in (serde_for("json"), serde_for("pickle"), serde_for("raw"), serde_for(Shouting())):
        with pytest.raises(UnreadableValue):
            serde.loads(b"token", LEASE)


@pytest.mark.parametrize("choice", ["jsn", "pymemcached", None, 7, object()])
def test_an_unknown_serde_is_refused_with_the_legal_ones(choice):
    with pytest.raises(ConfigurationError, match="json, pickle, raw"):
        serde_for(choice)


@pytest.mark.parametrize("values", [[], [b"a", b"b"], ["a"], [b"a", "b", 3], [b"a", None]])
def test_many_values_are_stored_as_each_would_be(values):
    for serde in (json_serde, pickle_serde):
        data, flags = dumps_all(serde, values, values)
        assert list(zip(data, flags, strict=True)) == [serde.dumps(value) for value in values]


def test_a_counter_reads_back_as_its_serde_stores_an_int():
    assert counter(json_serde, 5) == (b"5", 2)
    assert counter(raw_serde, 5) == (b"5", 0)
    assert counter(serde_for(Shouting()), 5) == (b"5", 1 << 20)
    assert json_serde.loads(*counter(json_serde, 5)) == 5
