"""Decisions of get_or_compute, without a server."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from cenote.client.compute import (
    Found,
    Terms,
    found_in,
    judge_classic,
    judge_meta,
    key_maker,
    marker_of,
    pauses,
    terms_of,
    time_given_back,
    time_while_computing,
)
from cenote.client.values import LEASE
from cenote.errors import ConfigurationError, InvalidArgument
from cenote.protocol import MetaReply

TERMS = Terms(exptime=90, fresh=60, stale_for=30, lease=11)
VALUE = Found(b"v", 16, 7, remaining=60)


def test_a_miss_is_taken():
    assert judge_meta(None, TERMS, readable=False) == "take"
    assert judge_classic(None, readable=False) == "take"


def test_a_fresh_value_is_served():
    assert judge_meta(VALUE, TERMS, readable=True) == "serve"
    assert judge_meta(VALUE._replace(remaining=30), TERMS, readable=True) == "serve"
    assert judge_meta(VALUE._replace(remaining=-1), TERMS, readable=True) == "serve"
    assert judge_classic((b"v", 16, 7), readable=True) == "serve"


def test_a_value_that_is_due_is_taken_by_whoever_sees_it_first():
    assert judge_meta(VALUE._replace(remaining=29), TERMS, readable=True) == "take"


def test_who_holds_the_lease_computes():
    for found in (Found(b"", 0, 7, won=True), VALUE._replace(won=True)):
        assert judge_meta(found, TERMS, readable=False) == "compute"


def test_who_does_not_hold_it_is_served_the_old_value_or_waits():
    leased = VALUE._replace(remaining=3, leased=True)
    assert judge_meta(leased, TERMS, readable=True) == "serve"
    assert judge_meta(leased, TERMS, readable=False) == "wait"
    assert judge_meta(Found(b"", 0, 7, leased=True), TERMS, readable=True) == "wait"
    assert judge_classic((b"token", LEASE, 7), readable=False) == "wait"


def test_an_empty_text_is_no_lease():
    assert judge_meta(Found(b"", 16, 7, leased=True), TERMS, readable=True) == "serve"
    assert judge_meta(Found(b"", 0, 7), TERMS, readable=True) == "serve"


def test_what_can_not_be_read_is_replaced():
    assert judge_meta(VALUE, TERMS, readable=False) == "replace"
    assert judge_classic((b"v", 9, 7), readable=False) == "replace"


def test_on_a_classic_server_an_empty_item_must_prove_to_be_a_value():
    assert judge_classic((b"", 0, 7), readable=True) == "prove"
    assert judge_classic((b"", 16, 7), readable=True) == "serve"


def test_a_reply_is_read():
    flags = {"f": b"16", "c": b"7", "t": b"-1", "W": b"", "X": b""}
    assert found_in(MetaReply("VA", b"v", flags)) == Found(b"v", 16, 7, -1, won=True)
    flags = {"f": b"0", "c": b"8", "t": b"3", "Z": b""}
    assert found_in(MetaReply("VA", b"", flags)) == Found(b"", 0, 8, 3, leased=True)
    assert found_in(MetaReply("EN", None, {})) is None


def clock() -> float:
    return 1_700_000_000.0


def test_terms_are_whole_seconds():
    assert terms_of(60, 30, 10, clock) == TERMS
    assert terms_of(timedelta(minutes=1), timedelta(seconds=29.5), 9.1, clock) == TERMS
    assert terms_of(None, 30, 10, clock) == Terms(0, 0, 0, 11)
    assert terms_of(0, 30, 10, clock) == Terms(-1, -1, 0, 11)
    assert terms_of(30 * 86400, 1, 1, clock).exptime == 1_700_000_000 + 30 * 86400 + 1


def test_a_lease_lasts_a_second_more_than_asked_for():
    """The server's clock ticks once a second and may cut as much off."""
    assert terms_of(1, 0, 0.2, clock).lease == 2
    assert terms_of(1, 0, 30 * 86400, clock).lease == 30 * 86400


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((60, -1, 10), "stale_for"),
        ((60, "1", 10), "stale_for"),
        ((60, True, 10), "stale_for"),
        ((60, float("nan"), 10), "stale_for"),
        ((60, 0, 0), "lease_ttl"),
        ((60, 0, -1), "lease_ttl"),
        ((60, 0, None), "lease_ttl"),
        (("60", 0, 10), "ttl"),
        ((10**10, 0, 10), "2038"),
        ((60, 30 * 86400 + 1, 10), "stale_for.*30 days"),
        ((60, 0, 30 * 86400 + 0.5), "lease_ttl.*30 days"),
    ],
)
def test_terms_out_of_range_are_refused(arguments, says):
    with pytest.raises(InvalidArgument, match=says):
        terms_of(arguments[0], arguments[1], arguments[2], clock)


def test_a_value_being_replaced_stays_for_a_lease_and_then_gets_its_time_back():
    assert time_while_computing(25, TERMS) == 11
    assert time_while_computing(5, TERMS) == 5
    assert time_while_computing(-1, TERMS) == 11
    assert time_given_back(25, 4.5, clock) == 21
    assert time_given_back(5, 60.0, clock) == 1
    assert time_given_back(-1, 60.0, clock) == 0


def test_pauses_grow_to_a_limit_and_differ_between_callers():
    first = list(islice(pauses(random.Random(1)), 30))
    assert 0.0025 <= first[0] <= 0.005
    assert all(0.125 <= pause <= 0.25 for pause in first[-10:])
    assert first != list(islice(pauses(random.Random(2)), 30))


def test_a_marker_is_a_key_of_its_own_whatever_the_length():
    assert marker_of(b"a") != marker_of(b"b")
    assert len(marker_of(b"k" * 250)) <= 250


def load(user_id: int, *, fields: str = "all") -> None:
    """A function to be cached."""


def test_a_template_names_parameters_however_they_are_passed():
    key_of = key_maker("user:{user_id}:{fields}")(load)
    assert key_of(7) == key_of(user_id=7) == "user:7:all"
    assert key_of(7, fields="name") == "user:7:name"
    assert key_maker("{{{user_id!r:>3}}}")(load)(7) == "{  7}"
    assert key_maker("{fields:>{user_id}}")(load)(5, fields="id") == "   id"
    assert key_maker("users")(lambda: None)() == "users"


def test_a_callable_makes_the_key_itself():
    assert key_maker(lambda user_id: b"%d" % user_id)(load)(7) == b"7"


def test_a_template_that_names_no_parameter_is_refused_at_once():
    for template in ("user:{id}", "user:{}", "user:{0}", "{user.id}", "{fields:{id}}", "users"):
        with pytest.raises(ConfigurationError, match="user_id, fields"):
            key_maker(template)(load)


@pytest.mark.parametrize("template", ["user:{", "user:}", "{user_id!x}", "{user_id!}"])
def test_a_template_that_can_not_be_read_is_refused_at_once(template):
    with pytest.raises(ConfigurationError, match="key template"):
        key_maker(template)(load)


def test_a_key_maker_is_a_template_or_a_callable():
    wrong: Any
    for wrong in (b"user", None, 7):
        with pytest.raises(ConfigurationError, match="template"):
            key_maker(wrong)
