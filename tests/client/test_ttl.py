"""Times to live: what the wire is told."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from cenote.client.ttl import exptime, positive_seconds
from cenote.errors import InvalidArgument

NOW = 1_700_000_000.5
MONTH = 2_592_000


@pytest.mark.parametrize(
    ("ttl", "wire"),
    [
        (None, 0),
        (1, 1),
        (60, 60),
        (0.001, 1),
        (0.5, 1),
        (1.0, 1),
        (1.5, 2),
        (timedelta(minutes=2), 120),
        (timedelta(milliseconds=1), 1),
        (0, -1),
        (-0.0, -1),
        (-1, -1),
        (-1e300, -1),
        (timedelta(seconds=-5), -1),
        (timedelta(0), -1),
        (MONTH, MONTH),
        (MONTH - 0.5, MONTH),
        (MONTH + 1, 1_700_000_001 + MONTH + 1),
        (MONTH + 0.5, 1_700_000_001 + MONTH + 1),
        (timedelta(days=31), 1_700_000_001 + 31 * 86400),
    ],
)
def test_a_ttl_means_seconds_from_now_whatever_its_size(ttl, wire):
    assert exptime(ttl, lambda: NOW) == wire


@pytest.mark.parametrize(
    ("ttl", "says"),
    [
        (True, "not bool"),
        (False, "not bool"),
        ("60", "not str"),
        (b"60", "not bytes"),
        ([60], "not list"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (-math.inf, "finite"),
        (10**400, "2038"),
        (10**10, "2038"),
        (1e300, "2038"),
        (timedelta.max, "2038"),
        (NOW + 60, "seconds from now, not a Unix time"),
    ],
)
def test_what_is_no_time_is_refused(ttl, says):
    with pytest.raises(InvalidArgument, match=says):
        exptime(ttl, lambda: NOW)


def test_the_wall_clock_is_asked_for_long_times_only():
    def broken_clock():
        raise AssertionError("the wall clock was asked")

    assert exptime(MONTH, broken_clock) == MONTH
    with pytest.raises(AssertionError):
        exptime(MONTH + 1, broken_clock)


def test_a_duration_that_must_be_above_zero():
    assert positive_seconds(0.25, "wait") == 0.25
    assert positive_seconds(timedelta(seconds=2), "wait") == 2.0


@pytest.mark.parametrize("refused", [0, -1, timedelta(0), math.nan, "1", True])
def test_a_duration_that_is_not_above_zero_is_refused(refused):
    with pytest.raises(InvalidArgument, match="wait"):
        positive_seconds(refused, "wait")
