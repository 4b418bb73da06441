# Generated from tests/client/test_storage_aio.py by tools/unasync.py; do not edit.
"""Writing: what is stored, what is refused, and that nothing is corrupted on the way."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from cenote.client.sync import Client
from cenote.errors import InvalidArgument, NotSerializable, OutOfMemory, ValueTooLarge
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")

TOO_LARGE = b"x" * (1024 * 1024 + 1)


def test_add_replace_and_set_store_under_their_conditions(client_sync):
    assert client_sync.replace("k", 1) is False
    assert client_sync.add("k", 1) is True
    assert client_sync.add("k", 2) is False
    assert client_sync.get("k") == 1
    assert client_sync.replace("k", 3) is True
    assert client_sync.get("k") == 3
    assert client_sync.set("k", 4) is True
    assert client_sync.get("k") == 4
    assert client_sync.delete("k") is True
    assert client_sync.delete("k") is False


def test_noreply_stores_under_the_same_conditions(client_sync):
    """The fence is verified by the next exchange on the connection."""
    assert client_sync.add("k", 1, noreply=True) is True
    assert client_sync.get("k") == 1
    client_sync.add("k", 2, noreply=True)
    assert client_sync.get("k") == 1
    assert client_sync.replace("k", "3", 60, noreply=True) is True
    assert client_sync.get("k") == "3"
    assert client_sync.set("k", [4], timedelta(days=60), noreply=True) is True
    assert client_sync.get("k") == [4]
    client_sync.set("k", 5, -1, noreply=True)
    assert client_sync.get("k") is None


def test_a_value_refused_among_noreply_ones_disturbs_nobody(client_sync):
    """Elsewhere its error line is taken for the answer to the next command."""
    client_sync.set("k", "old")
    with suppress(ValueTooLarge):  # a classic server's answer is waited for
        client_sync.set("k", TOO_LARGE, noreply=True)
    client_sync.set("l", "fine")
    assert client_sync.get("l") == "fine"
    assert client_sync.get("k") in (None, "old")


def test_a_value_over_the_servers_limit_is_told_and_the_connection_stays(client_sync):
    with pytest.raises(ValueTooLarge, match=r"1048577 bytes were sent for 'k'.* -I.*compress"):
        client_sync.set("k", TOO_LARGE)
    assert client_sync.get("k") is None
    (pool,) = client_sync.pools().values()
    assert pool.size == 1


def test_set_many_names_the_keys_that_were_refused(client_sync):
    """A quiet run answers an error line that names no item; the plain repetition tells which."""
    failed = client_sync.set_many({"a": 1, "b": TOO_LARGE, "c": "3", b"d": TOO_LARGE})
    assert failed == ["b", b"d"]
    assert client_sync.get_many(["a", "b", "c", "d"]) == {"a": 1, "c": "3"}


def test_set_many_stores_everything_for_the_same_time(client_sync):
    values = {"a": 1, "b": "two", b"c": b"3", "d": None, "e": [True]}
    assert client_sync.set_many(values, 60) == []
    assert client_sync.get_many(values) == values
    assert client_sync.set_many(values, -1) == []
    assert client_sync.get_many(values) == {}
    assert client_sync.set_many({}) == []
    with pytest.raises(InvalidArgument, match="mapping"):
        client_sync.set_many([("a", 1)])


def test_nothing_of_a_batch_is_sent_if_one_value_can_not_be(client_sync):
    with pytest.raises(NotSerializable):
        client_sync.set_many({"a": 1, "b": object()})
    assert client_sync.get("a") is None


def test_delete_many_counts_what_there_was(client_sync):
    client_sync.set_many({"a": 1, "b": 2})
    assert client_sync.delete_many(["a", "missing", b"a", "b", "b"]) == 2
    assert client_sync.delete_many([]) == 0
    assert client_sync.get_many(["a", "b"]) == {}


def test_cas_stores_only_over_what_was_read(client_sync):
    assert client_sync.cas("k", 1, 1) is False
    client_sync.set("k", 1)
    item = client_sync.gets("k")
    assert client_sync.cas("k", 2, item.cas) is True
    assert client_sync.cas("k", 3, item.cas) is False
    assert client_sync.cas("k", 3, 0) is False
    assert client_sync.get("k") == 2


@pytest.mark.parametrize("token", [-1, 2**64, 1.5, True, "1", None], ids=repr)
def test_a_token_is_an_integer_of_64_bits(client_sync, token):
    with pytest.raises(InvalidArgument, match="token"):
        client_sync.cas("k", 1, token)


def test_append_and_prepend_extend_text_and_bytes(client_sync):
    assert client_sync.append("k", "c") is False
    assert client_sync.prepend("k", "a") is False
    client_sync.set("k", "b")
    assert client_sync.append("k", "ü") is True
    assert client_sync.prepend("k", "a") is True
    assert client_sync.get("k") == "abü"
    client_sync.set("k", b"")
    assert client_sync.append("k", b"\x00") is True
    assert client_sync.get("k") == b"\x00"


@pytest.mark.parametrize("stored", [1, True, None, [1], b"bytes"], ids=repr)
def test_append_refuses_to_corrupt_a_value_of_another_kind(client_sync, stored):
    client_sync.set("k", stored)
    for extend in (client_sync.append, client_sync.prepend):
        with pytest.raises(InvalidArgument, match="corrupt"):
            extend("k", "text")
    assert client_sync.get("k", "nothing") == stored


@pytest.mark.parametrize("value", [1, None, [b"a"], True], ids=repr)
def test_append_takes_text_and_bytes_only(client_sync, value):
    with pytest.raises(InvalidArgument, match="str or bytes"):
        client_sync.append("k", value)


@pytest.mark.parametrize("value", [{1, 2}, (1,), {1: 2}, "\ud800"], ids=ascii)
def test_what_can_not_be_stored_is_refused_before_a_byte_is_sent(client_sync, value):
    for store in (client_sync.set, client_sync.add, client_sync.replace):
        with pytest.raises(NotSerializable):
            store("k", value)
    with pytest.raises(NotSerializable):
        client_sync.cas("k", value, 1)
    with pytest.raises(NotSerializable):
        client_sync.get_or_compute("k", lambda: value, 60)
    assert client_sync.get("k") is None


def test_of_many_values_the_one_that_can_not_be_stored_is_named(client_sync):
    with pytest.raises(NotSerializable, match=r"^'second': JSON would turn a tuple into a list"):
        client_sync.set_many({"first": [1], "second": (1,), "third": "text"})
    assert client_sync.get_many(["first", "second", "third"]) == {}


@pytest.mark.parametrize("ttl", [0, -1, timedelta(seconds=-1), -0.5], ids=str)
def test_a_ttl_that_is_over_stores_nothing_to_be_read(client_sync, ttl):
    assert client_sync.set("k", 1, ttl) is True
    assert client_sync.get("k") is None


@pytest.mark.parametrize("ttl", [None, 60, 0.5, 30 * 86400 + 1, timedelta(days=3650)], ids=str)
def test_a_ttl_means_seconds_from_now(client_sync, ttl):
    """0.5 does not mean for ever, 31 days do not mean January 1970."""
    if ttl == 0.5:
        ttl = 1.5  # memcached's clock ticks once a second: one second may be over at once
    assert client_sync.set("k", 1, ttl) is True
    assert client_sync.get("k") == 1


def test_a_value_can_not_smuggle_commands(client_sync):
    for value in (
        b"set pwned 0 0 1\r\nX",
        "\r\nflush_all\r\n",
        b"END\r\n",
        b"VALUE k 0 1\r\nX\r\n",
    ):
        client_sync.set("k", value)
        assert client_sync.get("k") == value
        assert client_sync.get("pwned") is None


def test_out_of_memory_is_a_server_error_and_the_connection_stays(small_server, protocol):
    with Client(small_server.url, protocol=protocol, **PATIENCE) as client:
        values = {f"k{n}": b"x" * 500_000 for n in range(40)}
        failed = client.set_many(values)
        assert failed
        assert len(failed) < len(values)
        stored = next(key for key in values if key not in failed)
        assert client.get(stored) == values[stored]
        with pytest.raises(OutOfMemory):
            client.set(failed[0], b"x" * 500_000)
        (pool,) = client.pools().values()
        assert pool.size == 1
