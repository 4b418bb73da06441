"""Writing: what is stored, what is refused, and that nothing is corrupted on the way."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from cenote.client.aio import AsyncClient
from cenote.errors import InvalidArgument, NotSerializable, OutOfMemory, ValueTooLarge
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")

TOO_LARGE = b"x" * (1024 * 1024 + 1)


async def test_add_replace_and_set_store_under_their_conditions(client_aio):
    assert await client_aio.replace("k", 1) is False
    assert await client_aio.add("k", 1) is True
    assert await client_aio.add("k", 2) is False
    assert await client_aio.get("k") == 1
    assert await client_aio.replace("k", 3) is True
    assert await client_aio.get("k") == 3
    assert await client_aio.set("k", 4) is True
    assert await client_aio.get("k") == 4
    assert await client_aio.delete("k") is True
    assert await client_aio.delete("k") is False


async def test_noreply_stores_under_the_same_conditions(client_aio):
    """The fence is verified by the next exchange on the connection."""
    assert await client_aio.add("k", 1, noreply=True) is True
    assert await client_aio.get("k") == 1
    await client_aio.add("k", 2, noreply=True)
    assert await client_aio.get("k") == 1
    assert await client_aio.replace("k", "3", 60, noreply=True) is True
    assert await client_aio.get("k") == "3"
    assert await client_aio.set("k", [4], timedelta(days=60), noreply=True) is True
    assert await client_aio.get("k") == [4]
    await client_aio.set("k", 5, -1, noreply=True)
    assert await client_aio.get("k") is None


async def test_a_value_refused_among_noreply_ones_disturbs_nobody(client_aio):
    """Elsewhere its error line is taken for the answer to the next command."""
    await client_aio.set("k", "old")
    with suppress(ValueTooLarge):  # a classic server's answer is waited for
        await client_aio.set("k", TOO_LARGE, noreply=True)
    await client_aio.set("l", "fine")
    assert await client_aio.get("l") == "fine"
    assert await client_aio.get("k") in (None, "old")


async def test_a_value_over_the_servers_limit_is_told_and_the_connection_stays(client_aio):
    with pytest.raises(ValueTooLarge, match=r"1048577 bytes were sent for 'k'.* -I.*compress"):
        await client_aio.set("k", TOO_LARGE)
    assert await client_aio.get("k") is None
    (pool,) = client_aio.pools().values()
    assert pool.size == 1


async def test_set_many_names_the_keys_that_were_refused(client_aio):
    """A quiet run answers an error line that names no item; the plain repetition tells which."""
    failed = await client_aio.set_many({"a": 1, "b": TOO_LARGE, "c": "3", b"d": TOO_LARGE})
    assert failed == ["b", b"d"]
    assert await client_aio.get_many(["a", "b", "c", "d"]) == {"a": 1, "c": "3"}


async def test_set_many_stores_everything_for_the_same_time(client_aio):
    values = {"a": 1, "b": "two", b"c": b"3", "d": None, "e": [True]}
    assert await client_aio.set_many(values, 60) == []
    assert await client_aio.get_many(values) == values
    assert await client_aio.set_many(values, -1) == []
    assert await client_aio.get_many(values) == {}
    assert await client_aio.set_many({}) == []
    with pytest.raises(InvalidArgument, match="mapping"):
        await client_aio.set_many([("a", 1)])


async def test_nothing_of_a_batch_is_sent_if_one_value_can_not_be(client_aio):
    with pytest.raises(NotSerializable):
        await client_aio.set_many({"a": 1, "b": object()})
    assert await client_aio.get("a") is None


async def test_delete_many_counts_what_there_was(client_aio):
    await client_aio.set_many({"a": 1, "b": 2})
    assert await client_aio.delete_many(["a", "missing", b"a", "b", "b"]) == 2
    assert await client_aio.delete_many([]) == 0
    assert await client_aio.get_many(["a", "b"]) == {}


async def test_cas_stores_only_over_what_was_read(client_aio):
    assert await client_aio.cas("k", 1, 1) is False
    await client_aio.set("k", 1)
    item = await client_aio.gets("k")
    assert await client_aio.cas("k", 2, item.cas) is True
    assert await client_aio.cas("k", 3, item.cas) is False
    assert await client_aio.cas("k", 3, 0) is False
    assert await client_aio.get("k") == 2


@pytest.mark.parametrize("token", [-1, 2**64, 1.5, True, "1", None], ids=repr)
async def test_a_token_is_an_integer_of_64_bits(client_aio, token):
    with pytest.raises(InvalidArgument, match="token"):
        await client_aio.cas("k", 1, token)


async def test_append_and_prepend_extend_text_and_bytes(client_aio):
    assert await client_aio.append("k", "c") is False
    assert await client_aio.prepend("k", "a") is False
    await client_aio.set("k", "b")
    assert await client_aio.append("k", "ü") is True
    assert await client_aio.prepend("k", "a") is True
    assert await client_aio.get("k") == "abü"
    await client_aio.set("k", b"")
    assert await client_aio.append("k", b"\x00") is True
    assert await client_aio.get("k") == b"\x00"


@pytest.mark.parametrize("stored", [1, True, None, [1], b"bytes"], ids=repr)
async def test_append_refuses_to_corrupt_a_value_of_another_kind(client_aio, stored):
    await client_aio.set("k", stored)
    for extend in (client_aio.append, client_aio.prepend):
        with pytest.raises(InvalidArgument, match="corrupt"):
            await extend("k", "text")
    assert await client_aio.get("k", "nothing") == stored


@pytest.mark.parametrize("value", [1, None, [b"a"], True], ids=repr)
async def test_append_takes_text_and_bytes_only(client_aio, value):
    with pytest.raises(InvalidArgument, match="str or bytes"):
        await client_aio.append("k", value)


@pytest.mark.parametrize("value", [{1, 2}, (1,), {1: 2}, "\ud800"], ids=ascii)
async def test_what_can_not_be_stored_is_refused_before_a_byte_is_sent(client_aio, value):
    for store in (client_aio.set, client_aio.add, client_aio.replace):
        with pytest.raises(NotSerializable):
            await store("k", value)
    with pytest.raises(NotSerializable):
        await client_aio.cas("k", value, 1)
    with pytest.raises(NotSerializable):
        await client_aio.get_or_compute("k", lambda: value, 60)
    assert await client_aio.get("k") is None


async def test_of_many_values_the_one_that_can_not_be_stored_is_named(client_aio):
    with pytest.raises(NotSerializable, match=r"^'second': JSON would turn a tuple into a list"):
        await client_aio.set_many({"first": [1], "second": (1,), "third": "text"})
    assert await client_aio.get_many(["first", "second", "third"]) == {}


@pytest.mark.parametrize("ttl", [0, -1, timedelta(seconds=-1), -0.5], ids=str)
async def test_a_ttl_that_is_over_stores_nothing_to_be_read(client_aio, ttl):
    assert await client_aio.set("k", 1, ttl) is True
    assert await client_aio.get("k") is None


@pytest.mark.parametrize("ttl", [None, 60, 0.5, 30 * 86400 + 1, timedelta(days=3650)], ids=str)
async def test_a_ttl_means_seconds_from_now(client_aio, ttl):
    """0.5 does not mean for ever, 31 days do not mean January 1970."""
    if ttl == 0.5:
        ttl = 1.5  # memcached's clock ticks once a second: one second may be over at once
    assert await client_aio.set("k", 1, ttl) is True
    assert await client_aio.get("k") == 1


async def test_a_value_can_not_smuggle_commands(client_aio):
    for value in (
        b"set pwned 0 0 1\r\nX",
        "\r\nflush_all\r\n",
        b"END\r\n",
        b"VALUE k 0 1\r\nX\r\n",
    ):
        await client_aio.set("k", value)
        assert await client_aio.get("k") == value
        assert await client_aio.get("pwned") is None


async def test_out_of_memory_is_a_server_error_and_the_connection_stays(small_server, protocol):
    async with AsyncClient(small_server.url, protocol=protocol, **PATIENCE) as client:
        values = {f"k{n}": b"x" * 500_000 for n in range(40)}
        failed = await client.set_many(values)
        assert failed
        assert len(failed) < len(values)
        stored = next(key for key in values if key not in failed)
        assert await client.get(stored) == values[stored]
        with pytest.raises(OutOfMemory):
            await client.set(failed[0], b"x" * 500_000)
        (pool,) = client.pools().values()
        assert pool.size == 1
