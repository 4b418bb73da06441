"""Every figure that is exported of a pool: one table, from which all exporters are made.

Strategy: a figure knows its name, its kind, and how to read it from a snapshot. Names are those of
Prometheus (base units; counters get ``_total`` where they are written); statsd, the dashboard, the
rules and the page take them from here too. Figures of one pool differ in one label at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Generic, Literal, TypeVar, get_args

from cenote.client.outcome import ClientStats
from cenote.node.health import Condition, State
from cenote.pool.stats import BOUNDS, Distribution, PoolStats

Kind = Literal["gauge", "counter"]

FIRST_BOUND = 50e-6
"""Seconds: buckets below are one. What is faster needs no telling apart."""


S = TypeVar("S", PoolStats, Condition)


@dataclass(frozen=True, slots=True)
class Figure(Generic[S]):
    """A number, or one for each value of a label; of a pool, or of the server behind it.

    Attributes:
        name: Without the unit suffix of counters, ``_total``.
        kind: ``"gauge"`` or ``"counter"``.
        about: One line of help.
        read: Reads it; without a label the only key is empty.
        label: What the keys are; empty if there is but one number.
    """

    name: str
    kind: Kind
    about: str
    read: Callable[[S], Mapping[str, float]]
    label: str = ""

    @property
    def series(self) -> str:
        """The name under which Prometheus stores it."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


@dataclass(frozen=True, slots=True)
class Timing:
    """A histogram of durations in seconds; read as None where a pool keeps none."""

    name: str
    about: str
    read: Callable[[PoolStats], Distribution | None]


def _one(name: str, kind: Kind, about: str, read: Callable[[S], float]) -> Figure[S]:
    return Figure(name, kind, about, lambda stats: {"": read(stats)})


def _states(node: Condition) -> dict[str, float]:
    return {state: float(node.state == state) for state in get_args(State)}


def _connections(stats: PoolStats) -> dict[str, float]:
    return {
        "idle": stats.idle,
        "used": stats.used,
        "connecting": stats.connecting + stats.overdue,
        "checking": stats.reserved,
        "resetting": stats.resetting,
        "closing": stats.closing,
    }


def _refusals(stats: PoolStats) -> dict[str, float]:
    return {
        "timeout": stats.timeouts,
        "saturated": stats.saturated,
        "cancelled": stats.cancelled,
        "failed": stats.failed,
    }


FIGURES: tuple[Figure[PoolStats], ...] = (
    _one("cenote_pool_up", "gauge", "0 while the pool is down: connecting keeps failing.",
         lambda stats: 0 if stats.state == "down" else 1),
    Figure("cenote_pool_connections", "gauge", "Connections by what they are doing.",
           _connections, "state"),
    _one("cenote_pool_min_connections", "gauge", "Connections that are kept open.",
         lambda stats: stats.min_size),
    _one("cenote_pool_max_connections", "gauge", "Connections that may be open.",
         lambda stats: stats.max_size),
    _one("cenote_pool_waiting", "gauge", "Callers that wait for a connection.",
         lambda stats: stats.waiting),
    _one("cenote_pool_leases", "counter", "Connections that were handed out.",
         lambda stats: stats.acquired),
    _one("cenote_pool_queued", "counter", "Callers that had to wait for a connection.",
         lambda stats: stats.waited),
    _one("cenote_pool_queued_seconds", "counter", "What callers spent waiting, however it ended.",
         lambda stats: stats.wait_seconds),
    Figure("cenote_pool_refusals", "counter", "Callers that left without a connection.",
           _refusals, "reason"),
    _one("cenote_pool_connects", "counter", "Connections that were opened.",
         lambda stats: stats.created),
    _one("cenote_pool_connecting_seconds", "counter", "What opening them took.",
         lambda stats: stats.create_seconds),
    _one("cenote_pool_connect_errors", "counter", "Connections that could not be opened.",
         lambda stats: stats.create_errors),
    Figure("cenote_pool_closed", "counter", "Connections that were closed.",
           lambda stats: {str(reason): count for reason, count in stats.closed.items()}, "reason"),
    _one("cenote_pool_handoffs", "counter", "Connections given straight to who waited.",
         lambda stats: stats.handoffs),
    _one("cenote_pool_leaks", "counter", "Leases reported as held too long.",
         lambda stats: stats.leaks),
    _one("cenote_pool_lost", "counter", "Leases that were dropped without being returned.",
         lambda stats: stats.lost),
)  # fmt: skip

NODE_FIGURES: tuple[Figure[Condition], ...] = (
    Figure("cenote_node_state", "gauge",
           "1 for the state that a client sees its server in; down: not asked, or not reachable.",
           _states, "state"),
    _one("cenote_node_failures", "counter", "Requests that the server did not answer.",
         lambda node: node.failures),
    _one("cenote_node_ejections", "counter", "Times that the server was ejected.",
         lambda node: node.ejections),
)  # fmt: skip
"""Of the servers that clients watch; their label is that of the pool, too."""

TIMINGS: tuple[Timing, ...] = (
    Timing("cenote_pool_wait_duration_seconds", "How long callers waited for a connection.",
           lambda stats: stats.wait_times),
    Timing("cenote_pool_use_duration_seconds", "How long connections were held.",
           lambda stats: stats.use_times),
    Timing("cenote_pool_connect_duration_seconds", "How long opening a connection took.",
           lambda stats: stats.create_times),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClientFigure:
    """A counter of a client."""

    name: str
    about: str
    read: Callable[[ClientStats], float]


_OF_CLIENTS = {
    "outages": "Operations that an outage turned into misses.",
    "unreadable": "Values that could not be read.",
    "computed": "Values that get_or_compute computed.",
    "ejections": "Times that a server was ejected.",
    "diverted": "Requests sent elsewhere: their server was down.",
    "second_tries": "Requests sent elsewhere after they had failed.",
    "retries_refused": "Requests not sent again: too many had been.",
}
CLIENT_FIGURES: tuple[ClientFigure, ...] = tuple(
    ClientFigure(
        f"cenote_client_{field.name}",
        _OF_CLIENTS.get(field.name, f"What ClientStats calls {field.name}."),
        attrgetter(field.name),
    )
    for field in fields(ClientStats)
)


def buckets(distribution: Distribution) -> list[tuple[float, int]]:
    """Return (upper bound in seconds, count) from ``FIRST_BOUND`` up; the last is unbounded."""
    counted: list[tuple[float, int]] = []
    below = 0
    for bound, count in zip((*BOUNDS, float("inf")), distribution.counts, strict=True):
        if bound < FIRST_BOUND:
            below += count
        else:
            counted.append((float(f"{bound:g}"), count + below))
            below = 0
    return counted
