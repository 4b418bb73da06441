"""What is counted while a phase runs: latencies in constant memory, hits, misses, mismatches.

Strategy: every worker has a ``Tally`` of its own, so nothing is shared and nothing is locked; they
are added up when the phase is over, and may be read meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_BITS = 4
_STEPS = 1 << _BITS
_BUCKETS = (64 - _BITS) * _STEPS


class LatencyHistogram:
    """Counts durations in buckets that are 1/16 of a power of two wide: 6 % of the value at most.

    Any duration fits and the memory is constant: the idea of Gil Tene's HdrHistogram.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS

    def record(self, nanoseconds: int) -> None:
        """Count a duration."""
        exponent = nanoseconds.bit_length() - _BITS - 1
        if exponent < 1:
            self._counts[nanoseconds] += 1
        else:
            self._counts[exponent * _STEPS + (nanoseconds >> exponent)] += 1

    def add(self, other: LatencyHistogram) -> None:
        """Count everything that another histogram has counted."""
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._counts)

    def quantile(self, share: float) -> float:
        """Return the upper bound, in seconds, of the bucket that holds the share; 0 if empty."""
        wanted, seen = share * self.count, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return _upper_bound(bucket) / 1e9
        return 0.0


def _upper_bound(bucket: int) -> int:
    if bucket < 2 * _STEPS:
        return bucket
    exponent = bucket // _STEPS - 1
    return ((bucket % _STEPS + _STEPS + 1) << exponent) - 1


@dataclass(slots=True)
class Tally:
    """What one worker did.

    Attributes:
        hits: Lookups answered by the cache.
        misses: Lookups computed by the origin and stored.
        mismatches: Records that did not carry the key asked for. Must be 0.
        errors: Lookups that failed, and ``last_error`` what the last of them said.
    """

    hits: int = 0
    misses: int = 0
    mismatches: int = 0
    errors: int = 0
    last_error: str = ""
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)

    @property
    def lookups(self) -> int:
        """How many users were found, one way or the other."""
        return self.hits + self.misses

    def found(self, *, hit: bool, belongs: bool, nanoseconds: int) -> None:
        """Count a lookup that ended well."""
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        if not belongs:
            self.mismatches += 1
        self.latency.record(nanoseconds)

    def failed(self, error: Exception) -> None:
        """Count a lookup that ended in an error."""
        self.errors += 1
        self.last_error = f"{type(error).__name__}: {error}"


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up."""
    summed = Tally()
    for tally in tallies:
        summed.hits += tally.hits
        summed.misses += tally.misses
        summed.mismatches += tally.mismatches
        summed.errors += tally.errors
        summed.last_error = tally.last_error or summed.last_error
        summed.latency.add(tally.latency)
    return summed
