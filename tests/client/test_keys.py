"""Keys: what goes on the wire, and what is refused before a byte is sent."""

from __future__ import annotations

import enum
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.client.keys import MAX_PREFIX_BYTES, KeyEncoder, listed
from cenote.errors import ConfigurationError, InvalidArgument, InvalidKey

encoder = KeyEncoder()


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("key", "wire"),
    [
        ("a", b"a"),
        (b"a", b"a"),
        ("user:42", b"user:42"),
        ("größe", "größe".encode()),
        ("größe".encode(), "größe".encode()),
        ("a\u00a0b", "a\u00a0b".encode()),  # not printable to Python, plain bytes to memcached
        (b"\x80\xff", b"\x80\xff"),
        (Colour.RED, b"red"),
        ("k" * 250, b"k" * 250),
        ("ü" * 125, ("ü" * 125).encode()),
    ],
)
def test_a_key_goes_on_the_wire_as_utf8(key, wire):
    assert encoder.wire(key) == wire
    assert encoder.wires([key]) == [wire]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "empty"),
        (b"", "empty"),
        ("a b", "a space at byte 1"),
        (b"a b", "a space at byte 1"),
        ("a\r\nset pwned 0 0 1\r\nX", "0x0d at byte 1"),
        ("a\nb", "0x0a"),
        ("a\tb", "0x09"),
        ("a\x00b", "0x00"),
        ("a\x7fb", "0x7f"),
        (b"a\x00", "0x00"),
        ("k" * 251, "251 bytes"),
        ("ü" * 126, "252 bytes"),
        (b"k" * 251, "251 bytes"),
        ("a\ud800", "surrogate"),
        (42, "not int"),
        (None, "not NoneType"),
        (bytearray(b"a"), "not bytearray"),
    ],
)
def test_a_key_that_memcached_can_not_carry_is_refused(key, says):
    with pytest.raises(InvalidKey, match=says):
        encoder.wire(key)
    with pytest.raises(InvalidKey, match=says):
        encoder.wires(["fine", key, "fine"])


def test_an_error_shows_a_long_key_shortened():
    with pytest.raises(InvalidKey) as caught:
        encoder.wire("k" * 100_000)
    assert len(str(caught.value)) < 250
    assert "long_keys='hash'" in str(caught.value)


def test_a_prefix_stands_before_every_key_and_counts():
    prefixed = KeyEncoder("app:")
    assert prefixed.wire("a") == b"app:a"
    assert prefixed.wire(b"a") == b"app:a"
    assert prefixed.wires(["a", "b"]) == [b"app:a", b"app:b"]
    assert prefixed.wires(["a", b"b"]) == [b"app:a", b"app:b"]
    assert len(prefixed.wire("k" * 246)) == 250
    for refused in ("k" * 247, ""):
        with pytest.raises(InvalidKey):
            prefixed.wire(refused)
        with pytest.raises(InvalidKey):
            prefixed.wires(["a", refused])


@pytest.mark.parametrize("prefix", ["a b", "a\n", "p" * (MAX_PREFIX_BYTES + 1), 7, "\ud800"])
def test_a_prefix_that_can_not_be_carried_is_a_configuration_error(prefix):
    with pytest.raises(ConfigurationError, match="key_prefix"):
        KeyEncoder(prefix)


def test_a_long_key_becomes_a_digest_when_asked_for():
    hashing = KeyEncoder("app:", "hash")
    key = "k" * 300
    expected = b"app:sha256:" + sha256(key.encode()).hexdigest().encode()
    assert hashing.wire(key) == expected
    assert hashing.wires(["a", key]) == [b"app:a", expected]
    assert hashing.wire("k" * 246) == b"app:" + b"k" * 246


def test_the_longest_prefix_leaves_room_for_a_digest():
    assert len(KeyEncoder("p" * MAX_PREFIX_BYTES, "hash").wire("k" * 300)) == 250


def test_hashing_excuses_length_only():
    with pytest.raises(InvalidKey, match="a space"):
        KeyEncoder(long_keys="hash").wire("a b" * 200)


@given(st.lists(st.one_of(st.text(max_size=300), st.binary(max_size=300)), max_size=6))
def test_many_keys_are_judged_as_each_would_be(keys):
    """The batch is checked as one joined string: no combination of keys may change the verdict."""
    for one_by_one in (KeyEncoder(), KeyEncoder("größe:"), KeyEncoder("p", "hash")):
        try:
            expected = [one_by_one.wire(key) for key in keys]
        except InvalidKey:
            with pytest.raises(InvalidKey):
                one_by_one.wires(keys)
        else:
            assert one_by_one.wires(keys) == expected


@given(st.text())
def test_no_wire_key_could_end_a_line_or_a_word(key):
    try:
        wire = encoder.wire(key)
    except InvalidKey:
        return
    assert 1 <= len(wire) <= 250
    assert all(byte > 32 and byte != 127 for byte in wire)
    assert wire.decode() == key


@pytest.mark.parametrize("keys", ["abc", b"abc"])
def test_one_key_where_several_belong_is_refused(keys):
    with pytest.raises(InvalidArgument, match="one key, not several"):
        listed(keys)


def test_keys_come_from_any_iterable():
    assert listed(key for key in "ab") == ["a", "b"]
    assert listed({"a": 1}) == ["a"]
    nothing: Any = 7
    with pytest.raises(InvalidArgument, match="not int"):
        listed(nothing)
