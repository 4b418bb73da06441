# Generated from tests/client/test_counting_aio.py by tools/unasync.py; do not edit.
"""Counting on the server."""

from __future__ import annotations

import pytest

from cenote.errors import ClientError, InvalidArgument
from tests.client.together_sync import together

PROTOCOLS = ("meta", "classic", "binary")


def test_a_stored_int_is_counted_and_stays_an_int(client_sync):
    client_sync.set("k", 5)
    assert client_sync.incr("k") == 6
    assert client_sync.incr("k", 10) == 16
    assert client_sync.decr("k", 3) == 13
    assert client_sync.get("k") == 13
    assert client_sync.get_many(["k"]) == {"k": 13}


def test_the_blank_left_by_decr_is_not_seen(client_sync):
    """10 - 1 is stored as '9 ': the length does not shrink."""
    client_sync.set("k", 10)
    assert client_sync.decr("k") == 9
    assert client_sync.get("k") == 9
    assert client_sync.incr("k") == 10


def test_a_missing_counter_is_none(client_sync):
    assert client_sync.incr("k") is None
    assert client_sync.decr("k") is None
    assert client_sync.get("k") is None


def test_an_initial_value_makes_the_counter_and_it_reads_back_as_an_int(client_sync):
    assert client_sync.incr("k", 5, initial=100) == 100
    assert client_sync.incr("k", 5, initial=100) == 105
    assert client_sync.get("k") == 105
    assert client_sync.decr("l", 5, initial=0, ttl=60) == 0
    assert client_sync.get("l") == 0
    assert client_sync.incr("m", initial=1, ttl=-1) == 1
    assert client_sync.get("m") is None


def test_counters_stop_at_zero_and_start_again_after_64_bits(client_sync):
    client_sync.set("k", 3)
    assert client_sync.decr("k", 2**64 - 1) == 0
    client_sync.set("k", 2**64 - 1)
    assert client_sync.incr("k") == 0
    assert client_sync.incr("k", 0) == 0


@pytest.mark.parametrize("number", [-1, 2**64, 1.5, True, "1", None], ids=repr)
def test_a_number_the_server_can_not_count_with_is_refused(client_sync, number):
    client_sync.set("k", 1)
    for count in (client_sync.incr, client_sync.decr):
        with pytest.raises(InvalidArgument, match="delta"):
            count("k", number)
        if number is not None:
            with pytest.raises(InvalidArgument, match="initial"):
                count("k", initial=number)
    assert client_sync.get("k") == 1


def test_who_counts_the_wrong_way_is_told_the_right_one(client_sync):
    with pytest.raises(InvalidArgument, match="decr to count down"):
        client_sync.incr("k", -1)
    with pytest.raises(InvalidArgument, match="incr to count up"):
        client_sync.decr("k", -1)
    with pytest.raises(InvalidArgument, match=r"token \(.*\) is negative: use 0 to 2\*\*64 - 1$"):
        client_sync.cas("k", 1, -1)


def test_a_ttl_without_an_initial_value_is_refused(client_sync):
    with pytest.raises(InvalidArgument, match="touch"):
        client_sync.incr("k", ttl=60)


@pytest.mark.parametrize("value", ["text", [1], -1, 1.5], ids=repr)
def test_what_is_not_a_number_is_told(client_sync, value):
    client_sync.set("k", value)
    with pytest.raises(ClientError, match="non-numeric"):
        client_sync.incr("k")
    assert client_sync.get("k") == value


def test_no_count_is_lost_when_all_make_the_counter_at_once(client_sync):
    def count():
        return client_sync.incr("k", initial=1)

    numbers = together(*[count] * 32)
    assert sorted(numbers) == list(range(1, 33))
    assert client_sync.get("k") == 32
