"""Latencies in constant memory, exact to a sixteenth; tallies that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.cli.demo.measure import LatencyHistogram, Tally, total

durations = st.integers(min_value=0, max_value=2**62)


def histogram_of(*nanoseconds: int) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for one in nanoseconds:
        histogram.record(one)
    return histogram


@given(durations)
def test_any_duration_is_kept_to_a_sixteenth(nanoseconds: int) -> None:
    kept = histogram_of(nanoseconds).quantile(1.0) * 1e9
    assert nanoseconds * (1 - 1e-9) <= kept <= nanoseconds * 17 / 16 + 1


@given(st.lists(durations, min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_values_sorted(values: list[int], share: float) -> None:
    exact = next(v for n, v in enumerate(sorted(values), start=1) if n >= share * len(values))
    assert exact * (1 - 1e-9) <= histogram_of(*values).quantile(share) * 1e9 <= exact * 17 / 16 + 1


@given(st.lists(durations, max_size=20), st.lists(durations, max_size=20))
def test_adding_histograms_is_counting_everything_in_one(a: list[int], b: list[int]) -> None:
    added = histogram_of(*a)
    added.add(histogram_of(*b))
    together = histogram_of(*a, *b)
    assert added.count == together.count == len(a) + len(b)
    assert added.quantile(0.5) == together.quantile(0.5)


def test_an_empty_histogram_has_no_latency() -> None:
    assert LatencyHistogram().quantile(0.99) == 0.0


def test_memory_does_not_grow_with_what_is_recorded() -> None:
    histogram = LatencyHistogram()
    before = len(histogram._counts)
    for exponent in range(63):
        histogram.record(2**exponent)
    assert len(histogram._counts) == before


def test_a_tally_tells_hits_misses_and_mismatches_apart() -> None:
    tally = Tally()
    tally.found(hit=True, belongs=True, nanoseconds=10)
    tally.found(hit=False, belongs=True, nanoseconds=20)
    tally.found(hit=True, belongs=False, nanoseconds=30)
    assert (tally.hits, tally.misses, tally.mismatches, tally.lookups) == (2, 1, 1, 3)
    assert tally.latency.count == 3


def test_a_failed_lookup_is_neither_hit_nor_miss() -> None:
    tally = Tally()
    tally.failed(TimeoutError("too slow"))
    assert (tally.lookups, tally.errors) == (0, 1)
    assert tally.last_error == "TimeoutError: too slow"


@pytest.mark.parametrize("order", [1, -1])
def test_tallies_add_up_and_keep_an_error(order: int) -> None:
    lucky, unlucky = Tally(), Tally()
    lucky.found(hit=True, belongs=True, nanoseconds=5)
    unlucky.found(hit=False, belongs=True, nanoseconds=7)
    unlucky.failed(OSError("gone"))
    summed = total([lucky, unlucky][::order])
    assert (summed.hits, summed.misses, summed.errors) == (1, 1, 1)
    assert summed.latency.count == 2
    assert summed.last_error == "OSError: gone"
