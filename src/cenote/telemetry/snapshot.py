"""Everything that is to be seen of a process' pools, as plain data for JSON.

Strategy: counters and histograms are given as they are; whoever looks twice reckons rates and
quantiles of what happened between. ``History`` keeps a few figures of the last minutes, so that
whoever comes late sees how it came about.
"""

from __future__ import annotations

import os
import platform
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cenote
from cenote.pool.stats import BOUNDS, Distribution, Holder, PoolStats
from cenote.telemetry.alerts import Alert
from cenote.telemetry.events import Event
from cenote.telemetry.signals import FAULTS
from cenote.telemetry.sources import Reading, Sources, holders

FORMAT = 1
"""Grows when what reads it would have to change."""

_TROUBLE = ("suspect", "down")  # of a server
_QUANTILES = (0.5, 0.95, 0.99)
POINT = (
    "at", "used", "idle", "waiting", "leases", "queued", "queued_seconds", "refused", "faults",
    "connects",
)  # fmt: skip
"""What a point of the history consists of, in this order."""


class History:
    """A few figures of each pool, of the last minutes.

    Args:
        size: How many points are kept of each.
    """

    def __init__(self, size: int = 300) -> None:
        self._size = size
        self._points: dict[str, deque[tuple[float, ...]]] = {}

    def add(self, now: float, pools: Mapping[str, PoolStats]) -> None:
        """Keep a point of each pool; forget those that have gone."""
        kept = {label: self._points.get(label) or deque(maxlen=self._size) for label in pools}
        for label, stats in pools.items():
            kept[label].append(_point(now, stats))
        self._points = kept

    def told(self) -> dict[str, Any]:
        """Return it as plain data."""
        pools = {label: list(points) for label, points in self._points.items()}
        return {"format": FORMAT, "point": POINT, "pools": pools}


def _point(now: float, stats: PoolStats) -> tuple[float, ...]:
    return (
        now,
        stats.used,
        stats.idle,
        stats.waiting,
        stats.acquired,
        stats.waited,
        stats.wait_seconds,
        stats.timeouts + stats.saturated + stats.failed,
        stats.create_errors + sum(n for reason, n in stats.closed.items() if reason in FAULTS),
        stats.created,
    )


def take(sources: Sources, now: float, firing: list[Alert], events: list[Event]) -> dict[str, Any]:
    """Describe the process.

    Args:
        sources: The pools and clients.
        now: Monotonic seconds; ages are reckoned from it.
        firing: The alerts that fire.
        events: What has happened, newest first.
    """
    pools = sources.pools()
    return {
        "format": FORMAT,
        "now": now,
        "process": _process(),
        "bounds": BOUNDS,
        "pools": [_pool(reading, pools.get(reading.label)) for reading in sources.read()],
        "clients": {label: asdict(stats) for label, stats in sources.clients().items()},
        "alerts": [_alert(alert, now) for alert in firing],
        "events": [_event(event, now) for event in events],
    }


def _process() -> dict[str, Any]:
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return {
        "pid": os.getpid(),
        "program": program,
        "python": platform.python_version(),
        "cenote": cenote.__version__,
        "implementation": cenote.implementation,
    }


def _pool(reading: Reading, pool: Any) -> dict[str, Any]:
    stats = reading.stats
    held = [] if pool is None else holders(reading.label, pool)
    timings = {"wait": stats.wait_times, "use": stats.use_times, "create": stats.create_times}
    return {
        "label": reading.label,
        "state": _state(reading),
        "node": None if reading.node is None else asdict(reading.node),
        "attributes": dict(reading.attributes),
        "stats": _numbers(stats),
        "times": {name: _times(each) for name, each in timings.items() if each is not None},
        "holders": [_holder(holder) for holder in held],
    }


def _state(reading: Reading) -> str:
    """Say how a pool is: as the server that it connects to, where that is in trouble."""
    node = reading.node
    return reading.stats.state if node is None or node.state not in _TROUBLE else node.state


def _holder(holder: Holder) -> dict[str, Any]:
    key = None if holder.key is None else str(holder.key)
    return asdict(replace(holder, key=key))


def _numbers(stats: PoolStats) -> dict[str, Any]:
    return {
        name: value
        for name, value in asdict(stats).items()
        if name not in {"wait_times", "use_times", "create_times"}
    }


def _times(distribution: Distribution) -> dict[str, Any]:
    quantiles = {f"p{share * 100:g}": distribution.quantile(share) for share in _QUANTILES}
    return {
        "counts": distribution.counts,
        "total": distribution.total,
        **{name: min(value, 1e6) for name, value in quantiles.items()},
    }


def _alert(alert: Alert, now: float) -> dict[str, Any]:
    return {
        "rule": alert.rule.name,
        "pool": alert.pool,
        "severity": alert.rule.severity,
        "says": str(alert),
        "advice": alert.rule.advice,
        "age": now - alert.since,
    }


def _event(event: Event, now: float) -> dict[str, Any]:
    return {
        "pool": event.pool,
        "kind": event.kind,
        "level": event.level,
        "text": event.text,
        "age": now - event.at,
    }
