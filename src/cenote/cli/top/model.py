"""What ``cenote top`` tells: snapshots of a process in, rows out. Pure.

Strategy: counters and histograms are told as they grew between the oldest snapshot that is kept and
the newest: a few seconds, so that figures neither jump nor lag. With one snapshot there is nothing
between, and histograms are told since the pool was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cenote.pool.options import NO_LIMIT

Snapshot: TypeAlias = Mapping[str, Any]
Order = Literal["name", "busy", "waiting", "traffic", "errors"]
ORDERS: tuple[Order, ...] = ("name", "busy", "waiting", "traffic", "errors")

_FAULTS = ("error", "check", "reset", "lost")


@dataclass(frozen=True, slots=True)
class Row:
    """A pool, as it is told.

    Attributes:
        label, state, where: What it is, how it (or its server) is, what it connects to.
        used, other, connecting, idle: Its connections; ``other`` are being checked, reset, closed.
        limit: ``max_size``; None: there is none.
        waiting: Callers that wait now.
        leases, refused, faults: A second; None: not known yet.
        wait: Mean seconds of those who had to wait; None: nobody had to.
        waits, uses: Quantiles (p50, p99) in seconds; None: not kept.
    """

    label: str
    state: str
    where: str
    used: int
    other: int
    connecting: int
    idle: int
    limit: int | None
    waiting: int
    leases: float | None
    refused: float | None
    faults: float | None
    wait: float | None
    waits: tuple[float, float] | None
    uses: tuple[float, float] | None

    @property
    def share(self) -> float:
        """The share of the connections in use; 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0


_KEYS: dict[Order, Callable[[Row], float]] = {
    "name": lambda _row: 0.0,
    "busy": lambda row: -row.share,
    "waiting": lambda row: -row.waiting,
    "traffic": lambda row: -(row.leases or 0.0),
    "errors": lambda row: -((row.refused or 0.0) + (row.faults or 0.0)),
}


def rows(snapshots: Sequence[Snapshot], order: Order = "name") -> list[Row]:
    """Return a row for each pool of the newest snapshot.

    Args:
        snapshots: Of one process, oldest first; at least one.
        order: By what they are ordered, the most first; then by name.
    """
    first, last = snapshots[0], snapshots[-1]
    seconds = last["now"] - first["now"]
    before = {pool["label"]: pool for pool in first["pools"]}
    told = [
        _row(before.get(pool["label"]), pool, seconds, last["bounds"]) for pool in last["pools"]
    ]
    return sorted(told, key=lambda row: (_KEYS[order](row), row.label))


def _row(before: Any, pool: Any, seconds: float, bounds: Sequence[float]) -> Row:
    stats = pool["stats"]
    rate = _rates(before["stats"] if before else None, stats, seconds)
    queued = rate(lambda each: each["waited"]) or 0.0
    spent = rate(lambda each: each["wait_seconds"]) or 0.0
    return Row(
        label=pool["label"],
        state=pool["state"],
        where=_where(pool["attributes"]),
        used=stats["used"],
        other=stats["reserved"] + stats["resetting"] + stats["closing"],
        connecting=stats["connecting"] + stats["overdue"],
        idle=stats["idle"],
        limit=None if stats["max_size"] >= NO_LIMIT else stats["max_size"],
        waiting=stats["waiting"],
        leases=rate(lambda each: each["acquired"]),
        refused=rate(lambda each: each["timeouts"] + each["saturated"] + each["failed"]),
        faults=rate(_faults),
        wait=spent / queued if queued else None,
        waits=_quantiles(before, pool, "wait", bounds),
        uses=_quantiles(before, pool, "use", bounds),
    )


def _faults(stats: Any) -> float:
    closed = stats["closed"]
    return float(stats["create_errors"] + sum(closed.get(reason, 0) for reason in _FAULTS))


def _rates(
    before: Any, after: Any, seconds: float
) -> Callable[[Callable[[Any], float]], float | None]:
    def rate(count: Callable[[Any], float]) -> float | None:
        if before is None or seconds <= 0:
            return None
        return max(0.0, count(after) - count(before)) / seconds

    return rate


def _where(attributes: Mapping[str, str | int]) -> str:
    place = str(attributes.get("server.address", ""))
    port = attributes.get("server.port")
    system = str(attributes.get("db.system.name", ""))
    return " ".join(part for part in (system, f"{place}:{port}" if port else place) if part)


def _quantiles(
    before: Any, pool: Any, name: str, bounds: Sequence[float]
) -> tuple[float, float] | None:
    """Return p50 and p99 of what was timed in between; of everything if nothing was."""
    times = pool["times"].get(name)
    if times is None or not any(times["counts"]):
        return None
    counts = times["counts"]
    if before is not None and before is not pool and name in before["times"]:
        grown = [
            now - then for now, then in zip(counts, before["times"][name]["counts"], strict=True)
        ]
        counts = grown if any(grown) and min(grown) >= 0 else counts
    return _quantile(0.5, counts, bounds), _quantile(0.99, counts, bounds)


def _quantile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float:
    rank, seen = share * sum(counts), 0
    for bound, count in zip(bounds, counts, strict=False):
        seen += count
        if seen >= rank and seen:
            return bound
    return float("inf")
