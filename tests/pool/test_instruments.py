"""What a lease is measured with: both twins do the same."""

from __future__ import annotations

import time
from bisect import bisect_left
from math import inf, nextafter

import pytest

from cenote.pool.instruments import Instruments, Site, Times
from cenote.pool.leaks import trace
from cenote.pool.passed_over import pass_over
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


@pytest.mark.parametrize(
    "names",
    [
        {"__package__": "cenote", "__name__": "cenote.local"},
        {"__package__": "cenote.pool", "__name__": "cenote.pool.sync"},
        {"__package__": "cenote.client", "__name__": "cenote.client.aio"},
        {"__name__": "cenote.pool.sync"},
        {},  # made at run time, as libraries do
    ],
    ids=str,
)
def test_a_site_is_outside_of_cenotes_own_code(names: dict[str, object]) -> None:
    site = Site()
    exec("def borrow(): site.mark()\nborrow()", names | {"site": site})
    noted = site.noted()
    assert noted is not None
    assert noted[0].co_name == "test_a_site_is_outside_of_cenotes_own_code"
    assert trace()[-1].name == "test_a_site_is_outside_of_cenotes_own_code"


@pytest.mark.parametrize(
    "names",
    [
        {"__package__": "cenote.cli.demo", "__name__": "cenote.cli.demo.phases"},
        {"__package__": None, "__name__": "__main__"},
        {"__package__": "cenotes", "__name__": "cenotes"},
        {"__name__": "script"},
    ],
    ids=str,
)
def test_a_site_is_in_the_code_of_whoever_uses_cenote(names: dict[str, object]) -> None:
    site = Site()
    exec("def borrow(): site.mark()\nborrow()", names | {"site": site})
    noted = site.noted()
    assert noted is not None
    assert noted[0].co_name == "borrow"


def test_a_site_is_outside_of_a_library_that_is_passed_over() -> None:
    site, names = Site(), {"__package__": "somelibrary.orm", "__name__": "somelibrary.orm.session"}
    for expected in ("borrow", "test_a_site_is_outside_of_a_library_that_is_passed_over"):
        exec("def borrow(): site.mark()\nborrow()", names | {"site": site})
        noted = site.noted()
        assert noted is not None
        assert noted[0].co_name == expected
        pass_over("somelibrary")


def test_instruments_keep_the_clock_they_were_given() -> None:
    assert Instruments(time.monotonic).clock is time.monotonic
