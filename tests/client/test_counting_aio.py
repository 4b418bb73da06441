"""Counting on the server."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, InvalidArgument
from tests.client.together_aio import together

PROTOCOLS = ("meta", "classic", "binary")


async def test_a_stored_int_is_counted_and_stays_an_int(client_aio):
    await client_aio.set("k", 5)
    assert await client_aio.incr("k") == 6
    assert await client_aio.incr("k", 10) == 16
    assert await client_aio.decr("k", 3) == 13
    assert await client_aio.get("k") == 13
    assert await client_aio.get_many(["k"]) == {"k": 13}


async def test_the_blank_left_by_decr_is_not_seen(client_aio):
    """10 - 1 is stored as '9 ': the length does not shrink."""
    await client_aio.set("k", 10)
    assert await client_aio.decr("k") == 9
    assert await client_aio.get("k") == 9
    assert await client_aio.incr("k") == 10


async def test_a_missing_counter_is_none(client_aio):
    assert await client_aio.incr("k") is None
    assert await client_aio.decr("k") is None
    assert await client_aio.get("k") is None


async def test_an_initial_value_makes_the_counter_and_it_reads_back_as_an_int(client_aio):
    assert await client_aio.incr("k", 5, initial=100) == 100
    assert await client_aio.incr("k", 5, initial=100) == 105
    assert await client_aio.get("k") == 105
    assert await client_aio.decr("l", 5, initial=0, ttl=60) == 0
    assert await client_aio.get("l") == 0
    assert await client_aio.incr("m", initial=1, ttl=-1) == 1
    assert await client_aio.get("m") is None


async def test_counters_stop_at_zero_and_start_again_after_64_bits(client_aio):
    await client_aio.set("k", 3)
    assert await client_aio.decr("k", 2**64 - 1) == 0
    await client_aio.set("k", 2**64 - 1)
    assert await client_aio.incr("k") == 0
    assert await client_aio.incr("k", 0) == 0


@pytest.mark.parametrize("number", [-1, 2**64, 1.5, True, "1", None], ids=repr)
async def test_a_number_the_server_can_not_count_with_is_refused(client_aio, number):
    await client_aio.set("k", 1)
    for count in (client_aio.incr, client_aio.decr):
        with pytest.raises(InvalidArgument, match="delta"):
            await count("k", number)
        if number is not None:
            with pytest.raises(InvalidArgument, match="initial"):
                await count("k", initial=number)
    assert await client_aio.get("k") == 1


async def test_who_counts_the_wrong_way_is_told_the_right_one(client_aio):
    with pytest.raises(InvalidArgument, match="decr to count down"):
        await client_aio.incr("k", -1)
    with pytest.raises(InvalidArgument, match="incr to count up"):
        await client_aio.decr("k", -1)
    with pytest.raises(InvalidArgument, match=r"token \(.*\) is negative: use 0 to 2\*\*64 - 1$"):
        await client_aio.cas("k", 1, -1)


async def test_a_ttl_without_an_initial_value_is_refused(client_aio):
    with pytest.raises(InvalidArgument, match="touch"):
        await client_aio.incr("k", ttl=60)


@pytest.mark.parametrize("value", ["text", [1], -1, 1.5], ids=repr)
async def test_what_is_not_a_number_is_told(client_aio, value):
    await client_aio.set("k", value)
    with pytest.raises(ClientError, match="non-numeric"):
        await client_aio.incr("k")
    assert await client_aio.get("k") == value


async def test_no_count_is_lost_when_all_make_the_counter_at_once(client_aio):
    async def count():
        return await client_aio.incr("k", initial=1)

    numbers = await together(*[count] * 32)
    assert sorted(numbers) == list(range(1, 33))
    assert await client_aio.get("k") == 32
