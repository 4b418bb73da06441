"""What can be alerted on: a number for a pool, told twice, in Python and in PromQL.

Strategy: both spellings stand side by side, and a test has Prometheus and Python judge the same
history. Rates are taken over a window, so that one scrape that is late changes little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cenote.node.health import Condition
from cenote.pool.stats import PoolStats

WINDOW = 60.0
"""Seconds that rates are taken over."""

Unit = Literal["ratio", "seconds", "rate", "flag"]
FAULTS = ("error", "check", "reset", "lost")
"""Reasons to close a connection that are nobody's plan."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A pool at two instants.

    Attributes:
        before: The earlier, at most ``WINDOW`` ago.
        after: Now.
        seconds: The time between; 0 if there was but one reading.
        node: How the server does now that the pool connects to, where that is watched.
    """

    before: PoolStats
    after: PoolStats
    seconds: float
    node: Condition | None = None

    def rate(self, count: Callable[[PoolStats], float]) -> float:
        """Return how fast a counter grows, per second."""
        if self.seconds <= 0:
            return 0.0
        return max(0.0, count(self.after) - count(self.before)) / self.seconds


@dataclass(frozen=True, slots=True)
class Signal:
    """A number for a pool.

    Attributes:
        about: What it is, in words.
        unit: How it is written.
        of: Reckons it; None: nothing can be said.
        promql: The same for Prometheus; one series a pool.
    """

    about: str
    unit: Unit
    of: Callable[[Stretch], float | None]
    promql: str


def _utilisation(stretch: Stretch) -> float:
    return stretch.after.used / stretch.after.max_size


def _wait(stretch: Stretch) -> float | None:
    queued = stretch.rate(lambda stats: stats.waited)
    spent = stretch.rate(lambda stats: stats.wait_seconds)
    return spent / queued if queued else None


def _exhaustion(stretch: Stretch) -> float:
    return stretch.rate(lambda stats: stats.timeouts + stats.saturated)


def _churn(stretch: Stretch) -> float:
    return stretch.rate(lambda stats: stats.created)


def _errors(stretch: Stretch) -> float:
    def faults(stats: PoolStats) -> float:
        closed = {str(reason): count for reason, count in stats.closed.items()}
        return stats.create_errors + sum(closed.get(reason, 0) for reason in FAULTS)

    return stretch.rate(faults)


def _down(stretch: Stretch) -> float | None:
    return None if stretch.node is not None else float(stretch.after.state == "down")


def _node_down(stretch: Stretch) -> float | None:
    return None if stretch.node is None else float(stretch.node.state == "down")


def _leaks(stretch: Stretch) -> float:
    return stretch.rate(lambda stats: stats.leaks + stats.lost)


def _rate(selector: str) -> str:
    return f"rate({selector}[{WINDOW:g}s])"


_REFUSED = 'cenote_pool_refusals_total{reason=~"timeout|saturated"}'
_BROKEN = 'cenote_pool_closed_total{reason=~"' + "|".join(FAULTS) + '"}'

UTILISATION = Signal(
    "the share of the connections that are in use",
    "ratio",
    _utilisation,
    'sum without (state) (cenote_pool_connections{state="used"}) / cenote_pool_max_connections',
)
WAIT = Signal(
    "how long callers wait that have to wait",
    "seconds",
    _wait,
    f"{_rate('cenote_pool_queued_seconds_total')} / {_rate('cenote_pool_queued_total')}",
)
EXHAUSTION = Signal(
    "callers a second that leave without a connection: too late, or too many",
    "rate",
    _exhaustion,
    f"sum without (reason) ({_rate(_REFUSED)})",
)
CHURN = Signal("connections opened a second", "rate", _churn, _rate("cenote_pool_connects_total"))
ERRORS = Signal(
    "connections a second that could not be opened, or broke",
    "rate",
    _errors,
    f"{_rate('cenote_pool_connect_errors_total')} + sum without (reason) ({_rate(_BROKEN)})",
)
DOWN = Signal(
    "whether connecting keeps failing, where it is no client's server",
    "flag",
    _down,
    "(1 - cenote_pool_up unless ignoring (state) cenote_node_state)",
)
NODE_DOWN = Signal(
    "whether a client's server is down: ejected, or not to be connected to",
    "flag",
    _node_down,
    'sum without (state) (cenote_node_state{state="down"})',
)
LEAKS = Signal(
    "leases a second that were held too long, or dropped",
    "rate",
    _leaks,
    f"{_rate('cenote_pool_leaks_total')} + {_rate('cenote_pool_lost_total')}",
)
