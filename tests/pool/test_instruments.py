"""What a lease is measured with: both twins do the same."""

from __future__ import annotations

import time
from bisect import bisect_left
from math import inf, nextafter

import pytest

from cenote.pool.instruments import Instruments, Site, Times
from cenote.pool.stats import BOUNDS

EDGES = [edge for bound in BOUNDS for edge in (nextafter(bound, 0.0), bound, nextafter(bound, inf))]


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, *EDGES, 1e9, inf])
def test_a_duration_falls_into_the_bucket_that_its_bound_closes(seconds: float) -> None:
    assert Times().bucket(seconds) == bisect_left(BOUNDS, seconds)


def test_times_begin_at_nothing() -> None:
    assert Times().counted() == ((0,) * (len(BOUNDS) + 1), 0.0)


def test_a_site_that_was_never_marked_is_nowhere() -> None:
    assert Site().noted() is None


def test_a_site_is_where_it_was_marked_last() -> None:
    site = Site()

    def here() -> None:
        site.mark()

    def there() -> None:
        site.mark()

    here()
    there()
    noted = site.noted()
    assert noted is not None
    assert noted[0] is there.__code__
    assert 0 < noted[1] < len(there.__code__.co_code)


def test_a_site_is_outside_the_pools_own_code() -> None:
    site = Site()
    names = {"__package__": "cenote.pool", "site": site}
    exec("def borrow(): site.mark()\nborrow()", names)
    noted = site.noted()
    assert noted is not None
    assert noted[0].co_name == "test_a_site_is_outside_the_pools_own_code"


def test_instruments_keep_the_clock_they_were_given() -> None:
    assert Instruments(time.monotonic).clock is time.monotonic
