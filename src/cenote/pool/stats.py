"""What a pool can tell of itself: frozen snapshots, safe to keep, compare and pickle.

Strategy: gauges are instants, counters only grow, and waits are counters too (``waited``,
``wait_seconds``) so that a stall that has ended still shows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import Field, dataclass, fields
from operator import add
from typing import Any, Literal

Reason = Literal[
    "idle",
    "lifetime",
    "uses",
    "check",
    "error",
    "reset",
    "invalidated",
    "shutdown",
    "lost",
    "evicted",
]
REASONS: tuple[Reason, ...] = (
    "idle", "lifetime", "uses", "check", "error", "reset", "invalidated", "shutdown", "lost",
    "evicted",
)  # fmt: skip

BOUNDS: tuple[float, ...] = tuple(
    digit * 10.0**power for power in range(-6, 2) for digit in (1.0, 2.0, 5.0)
)
"""Upper bounds of a histogram's buckets in seconds: 1 us to 50 s; one more is unbounded."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram at an instant.

    Attributes:
        counts: How many values fell into each bucket of ``BOUNDS``, and one last, unbounded.
        total: The sum of the values, in seconds.
    """

    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts)

    def __add__(self, other: Distribution) -> Distribution:
        """Return the distribution of the values of both."""
        counts = tuple(map(add, self.counts, other.counts))
        return Distribution(counts, self.total + other.total)

    def quantile(self, share: float) -> float:
        """Return the upper bound, in seconds, of the bucket that holds the given share."""
        rank, seen = share * self.count, 0
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            seen += count
            if seen >= rank and seen:
                return bound
        return float("inf") if self.count else 0.0


NOTHING = Distribution((0,) * (len(BOUNDS) + 1), 0.0)


class Histogram:
    """Counts durations in fixed buckets; ``record`` loses nothing under one lock or one thread."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def record(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total += seconds

    def snapshot(self) -> Distribution:
        """Return what was counted so far."""
        return Distribution(tuple(self._counts), self._total)


@dataclass(frozen=True, slots=True)
class Holder:
    """A lease that is out.

    Attributes:
        who: The thread or task that took it.
        seconds: How long it has been held.
        where: ``file:line`` of where it was borrowed (with ``leak_after``), else where the holder
            is now; empty when neither is known.
        stack: Where the holder is now, ``file:line < file:line``, innermost call first; empty when
            not known.
        trail: The whole stack that it was borrowed by, as a traceback shows it; empty unless
            ``cenote.pool.debug`` was on then.
        gone: The thread or task has ended, and still holds it. (Of a thread this is only known
            until its identity is given to another.)
        key: Whose connection it is, in a keyed pool; else None.
    """

    who: str
    seconds: float
    where: str
    stack: str = ""
    trail: str = ""
    gone: bool = False
    key: Hashable = None

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        ended = ", which has ended" if self.gone else ""
        return f"{self.seconds:.1f} s by {self.who!r}{place}{ended}"


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at an instant: gauges first, then counters since it was made.

    ``overdue`` are connects that have run past ``connect_timeout`` and not returned: they hold a
    slot. ``acquired == released + used + detached + lost`` and ``created == sum(closed.values()) +
    live + detached`` hold in every snapshot (``live`` includes connections being closed). ``at`` is
    the time of the snapshot and ``since`` that of the first use, both on the pool's clock;
    ``use_seconds`` is how long connections were held, all leases together that have ended, and
    ``use_seconds_squared`` the sum of the squares. ``kept`` are those of the idle connections that
    threads keep for their own next use (``ThreadMappedPool``).
    """

    name: str
    state: str
    min_size: int
    max_size: int
    size: int
    live: int
    idle: int
    used: int
    connecting: int
    overdue: int
    reserved: int
    resetting: int
    closing: int
    waiting: int
    acquired: int
    released: int
    detached: int
    lost: int
    waited: int
    wait_seconds: float
    timeouts: int
    cancelled: int
    failed: int
    saturated: int
    created: int
    create_seconds: float
    create_errors: int
    closed: Mapping[Reason, int]
    leaks: int
    handoffs: int
    generation: int
    at: float = 0.0
    since: float = 0.0
    use_seconds: float = 0.0
    use_seconds_squared: float = 0.0
    wait_times: Distribution | None = None
    use_times: Distribution | None = None
    create_times: Distribution | None = None
    kept: int = 0


def merged(name: str, state: str, max_size: int, parts: Iterable[PoolStats]) -> PoolStats:
    """Describe several pools as one: all that can be added up is."""
    several = list(parts)
    sums = {field.name: _sum(field, several) for field in _SUMMED}
    closed: dict[Reason, int] = {
        reason: sum(part.closed[reason] for part in several) for reason in REASONS
    }
    generation = max((part.generation for part in several), default=0)
    own: dict[str, Any] = {"name": name, "state": state, "max_size": max_size}
    own["at"] = max((part.at for part in several), default=0.0)
    own["since"] = min((part.since for part in several), default=0.0)
    return PoolStats(**own, closed=closed, generation=generation, **sums)


_OWN = {"name", "state", "max_size", "closed", "generation", "at", "since"}
_SUMMED = [field for field in fields(PoolStats) if field.name not in _OWN]


def _sum(field: Field[Any], parts: list[PoolStats]) -> Any:
    values = [value for part in parts if (value := getattr(part, field.name)) is not None]
    if field.default is None:
        return sum(values, NOTHING) if values else None
    return sum(values)


@dataclass(frozen=True, slots=True)
class CloseReport:
    """What ``close`` achieved within its timeout.

    Attributes:
        closed: Connections closed since the call began.
        abandoned: Leases that were still out, or connections whose opening or closing had not
            returned; each is closed as soon as it comes back.
        seconds: How long closing took.
        holders: The leases still out, oldest first.
    """

    closed: int
    abandoned: int
    seconds: float
    holders: tuple[Holder, ...] = ()

    @property
    def complete(self) -> bool:
        """True when nothing was left behind."""
        return self.abandoned == 0

    @classmethod
    def of_all(cls, parts: Iterable[CloseReport], *, closed: int, seconds: float) -> CloseReport:
        """Sum up the reports of several pools that were closed at the same time."""
        several = list(parts)
        holders = [holder for part in several for holder in part.holders]
        return cls(
            closed=closed,
            abandoned=sum(part.abandoned for part in several),
            seconds=seconds,
            holders=tuple(sorted(holders, key=lambda holder: -holder.seconds)),
        )
