"""What came out of a session: figures, as text for a table and as JSON. Pure.

The first phase that ran is what the others are compared with.
"""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from typing import Any

import cenote
from cenote.cli.demo.phases import Setting
from cenote.cli.demo.session import PhaseResult, SessionResult
from cenote.pool import PoolStats

COLUMNS = (
    "connections",
    "lookups/s",
    "gain",
    "p50 ms",
    "p99 ms",
    "opened",
    "hits",
    "waits",
)


@dataclass(frozen=True)
class Figures:
    """The figures of one phase.

    Attributes:
        name: The phase.
        lookups: Users found.
        rate: Users found per second.
        gain: The rate, as a multiple of the first phase's.
        p50: Median latency of a lookup in seconds, ``p99`` that of all but one in a hundred.
        opened: Connections opened.
        hit_ratio: Share of the lookups that the cache answered.
        waits: Lookups that waited for a connection; None where there is no pool to wait for.
        mismatches: Records that were somebody else's; must be 0.
        errors: Lookups that failed, and what the last of them said.
    """

    name: str
    lookups: int
    rate: float
    gain: float
    p50: float
    p99: float
    opened: int
    hit_ratio: float
    waits: int | None
    mismatches: int
    errors: int
    last_error: str


@dataclass(frozen=True)
class Report:
    """All that is shown of a session.

    Attributes:
        setting: What was the same for all phases.
        server: The version of the server.
        origin: Seconds the origin takes to compute a user.
        figures: One for each phase that ran, ``pools`` the statistics of those that have a pool.
        interrupted: Whether Ctrl-C ended it early.
    """

    setting: Setting
    server: str
    origin: float
    figures: tuple[Figures, ...]
    pools: dict[str, PoolStats]
    interrupted: bool

    @property
    def mismatches(self) -> int:
        """Replies that were somebody else's, in all phases; must be 0."""
        return sum(phase.mismatches for phase in self.figures)

    @property
    def lookups(self) -> int:
        """Users found, in all phases."""
        return sum(phase.lookups for phase in self.figures)


def report(setting: Setting, server: str, origin: float, session: SessionResult) -> Report:
    """Make the report of a session."""
    base = _rate(session.phases[0]) if session.phases else 0.0
    return Report(
        setting,
        server,
        origin,
        tuple(_figures(phase, base) for phase in session.phases),
        {phase.name: phase.connections.pool for phase in session.phases if phase.connections.pool},
        session.interrupted,
    )


def cells(figures: Figures) -> tuple[str, ...]:
    """Return the figures as the texts of a row, in the order of ``COLUMNS``."""
    return (
        figures.name,
        f"{figures.rate:,.0f}",
        f"{figures.gain:.1f}x",
        f"{figures.p50 * 1e3:.2f}",
        f"{figures.p99 * 1e3:.2f}",
        f"{figures.opened:,}",
        f"{figures.hit_ratio:.1%}",
        "-" if figures.waits is None else f"{figures.waits:,}",
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as what ``json.dumps`` takes; seconds and shares, not texts."""
    return {
        "cenote": cenote.__version__,
        "implementation": cenote.implementation,
        "python": platform.python_version(),
        "server": report.server,
        "url": report.setting.url,
        "workers": report.setting.workers,
        "connections": report.setting.connections,
        "origin_seconds": report.origin,
        "interrupted": report.interrupted,
        "mismatches": report.mismatches,
        "phases": [dataclasses.asdict(phase) for phase in report.figures],
        "pools": {name: pool_as_json(stats) for name, stats in report.pools.items()},
    }


def pool_as_json(stats: PoolStats) -> dict[str, Any]:
    """Return a pool's statistics as what ``json.dumps`` takes."""
    fields = {field.name: getattr(stats, field.name) for field in dataclasses.fields(stats)}
    fields["closed"] = dict(stats.closed)
    return {name: value for name, value in fields.items() if not name.endswith("_times")}


def _rate(phase: PhaseResult) -> float:
    return phase.tally.lookups / phase.seconds if phase.seconds else 0.0


def _figures(phase: PhaseResult, base: float) -> Figures:
    tally, stats = phase.tally, phase.connections.pool
    rate = _rate(phase)
    return Figures(
        name=phase.name,
        lookups=tally.lookups,
        rate=rate,
        gain=rate / base if base else 0.0,
        p50=tally.latency.quantile(0.50),
        p99=tally.latency.quantile(0.99),
        opened=phase.connections.opened,
        hit_ratio=tally.hits / tally.lookups if tally.lookups else 0.0,
        waits=None if stats is None else stats.waited,
        mismatches=tally.mismatches,
        errors=tally.errors,
        last_error=tally.last_error,
    )
