"""What cenote must reach, and how it is judged: each a ratio in one run, or a figure of its own.

Nanoseconds are also put in relation to psycopg_pool, which took 2,114 when they were set: on a
slower machine, or at a busier hour, they all grow.

The ratios were set from the peers' figures before the first line was written; ``docs/design.md``
says what got there. Nothing here decides whether a test passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.runner import Figures, Results

EVERYBODY = "the best peer"
PURE = "cenote (pure)"


@dataclass(frozen=True)
class Goal:
    """``ours`` against ``peer`` in one column: at least, or at most, ``limit``.

    Without a peer ``limit`` is a figure in ``unit``. ``EVERYBODY``: the best of all the peers.
    """

    work: str
    group: str
    column: str
    limit: float
    peer: str | None = None
    ours: str = "cenote"
    figure: str = "rate"
    at_most: bool = False
    unit: str = "x"


@dataclass(frozen=True)
class Verdict:
    """A goal and what came out, and between what the middle half of the rounds lies."""

    goal: Goal
    measured: float
    lowest: float
    highest: float
    peer: str

    @property
    def reached(self) -> bool:
        if self.goal.at_most:
            return self.measured <= self.goal.limit
        return self.measured >= self.goal.limit


_BARE, _CLIENT_POOL = "pylibmc", "pylibmc ClientPool"
_MAPPED = "pylibmc ThreadMappedPool (32 connections)"
_BATCHING = "emcache autobatching"
_PYMEMCACHE = {
    "single": "pymemcache",
    "threads 8 on 8": "pymemcache PooledClient",
    "threads 32 on 8": "pymemcache PooledClient (no limit)",
}
_ONE = "cenote, one of them"
_UPKEEP, _EVERY = ", upkeep on", ", every option on"
_SINGLE = ("set", "get", "get 4 KB", "get_multi 100", "set_multi 100")


def _at_most(
    work: str,
    limit: float,
    ours: str,
    peer: str | None = None,
    group: str = "checkout",
    column: str = "cycle",
) -> Goal:
    """A goal for taking and giving back: a share of the peer's time, or nanoseconds."""
    unit = "x" if peer else "ns"
    return Goal(work, group, column, limit, peer, ours, "ns", at_most=True, unit=unit)


GOALS: tuple[Goal, ...] = (
    *(
        Goal(f"{column}, one thread", "single", column, limit, peer)
        for column, bare, pooled in (
            ("get", 1.03, 1.12),
            ("set", 1.03, 1.12),
            ("get 4 KB", 1.00, 1.10),
        )
        for limit, peer in ((bare, _BARE), (pooled, _CLIENT_POOL))
    ),
    Goal("get_many(100)", "single", "get_multi 100", 1.05, _BARE),
    Goal("set_many(100)", "single", "set_multi 100", 25, _BARE),
    Goal("set_many(100)", "single", "set_multi 100", 1.7, "bmemcached"),
    Goal("get over TLS", "tls", "get", 1.05, "pymemcache"),
    Goal("get over TLS", "tls", "get", 1.05, "bmemcached"),
    Goal("get over TLS", "tls", "get", 0.8, "bare TLS socket, no parsing"),
    Goal("get over TLS beside plain", "tls", "get", 0.45, "cenote without TLS"),
    Goal("get, 8 threads on 8", "threads 8 on 8", "8 threads", 1.35, EVERYBODY),
    Goal("get, 32 threads on 8", "threads 32 on 8", "32 threads", 3, _CLIENT_POOL),
    Goal("get, 32 threads on 8", "threads 32 on 8", "32 threads", 1.0, _MAPPED),
    Goal(
        "longest get, 32 threads on 8",
        "threads 32 on 8",
        "32 threads",
        25,
        figure="longest_ms",
        at_most=True,
        unit="ms",
    ),
    Goal("asyncio, 1 task, get", "tasks", "1 task, get", 1.1, "aiomcache"),
    Goal("asyncio, 32 tasks, 90/10", "tasks", "32 tasks, 90/10", 3, _BATCHING),
    Goal("asyncio, 256 tasks, 90/10", "tasks", "256 tasks, 90/10", 5, _BATCHING),
    Goal(
        "asyncio (uvloop), 256 tasks, 90/10",
        "tasks",
        "256 tasks, 90/10",
        5,
        f"{_BATCHING} (uvloop)",
        "cenote (uvloop)",
    ),
    Goal("asyncio, 256 tasks, 90/10", "tasks", "256 tasks, 90/10", 20, "emcache"),
    Goal("asyncio, 256 tasks, get", "tasks", "256 tasks, get", 1.8, _BATCHING),
    Goal("asyncio, 256 tasks, set", "tasks", "256 tasks, set", 12, "emcache"),
    Goal(
        "asyncio, p99 of 256 tasks, 90/10",
        "waits",
        "256 tasks, 90/10",
        1.0,
        _BATCHING,
        figure="p99_ms",
        at_most=True,
    ),
    Goal(
        "asyncio, p99 of small gets beside 1 MB values, to theirs alone",
        "waits",
        "32 tasks, get beside 1 MB",
        3.0,
        figure="times_alone",
        at_most=True,
    ),
    *(
        _at_most(
            f"with pool.connection(){options}", limit, f"cenote with connection(){options}", peer
        )
        for options in ("", _UPKEEP, _EVERY)
        for limit, peer in ((0.25, "psycopg_pool getconn/putconn"), (500, None))
    ),
    *(
        _at_most(f"acquire/release{options}", limit, f"cenote acquire/release{options}", peer)
        for options in ("", _UPKEEP, _EVERY)
        for limit, peer in ((0.14, "psycopg_pool getconn/putconn"), (300, None))
    ),
    _at_most("KeyedPool, with pool.connection(key)", 1000, "cenote KeyedPool with connection(key)"),
    *(
        _at_most(f"async with{options}", 600, f"cenote async with{options}", group="async checkout")
        for options in ("", _UPKEEP, _EVERY)
    ),
    _at_most(
        "with pool.connection(), SQLite",
        0.2,
        "cenote with connection()",
        "SQLAlchemy QueuePool connect/close",
        group="database",
    ),
    Goal("GET by requests", "http", "get", 1.0, "requests", "cenote under requests"),
    Goal(
        "longest wait, 8 workers on 4",
        "fairness",
        "8 workers",
        10,
        figure="longest_ms",
        at_most=True,
        unit="ms",
    ),
    Goal("throughput, 8 workers on 4", "fairness", "8 workers", 1.0, "queue.LifoQueue"),
    _at_most("server of a key among 10", 300, "cenote", group="placement", column="10 servers"),
    Goal("get_many(100), 4 servers", "four servers", "get_multi 100", 3, "pymemcache HashClient"),
    Goal("get_many(100), 4 servers", "four servers", "get_multi 100", 2, "python-memcached"),
    Goal("get, 4 servers beside 1", "four servers", "get", 0.95, _ONE),
    *[
        Goal("keys beside a dead server", "dead server", column, 0.9, f"{ours}, all up", ours)
        for ours in ("cenote", "cenote rehash")
        for column in ("get", "get_multi 100")
    ],
    Goal("asyncio, 4 servers beside 1", "four servers, tasks", "256 tasks, get", 1.0, _ONE),
    Goal("get, watched", "watched", "get", 0.97, "cenote", ours="cenote, watched"),
    Goal("get, with histograms", "watched", "get", 0.9, "cenote", ours="cenote, histograms"),
    Goal(
        "memory of an idle connection",
        "memory",
        "idle connections",
        4096,
        figure="bytes",
        at_most=True,
        unit="B",
    ),
    *(
        Goal(f"pure build, {column}", "single", column, 1.0, "pymemcache", ours=PURE)
        for column in _SINGLE
    ),
    *(
        Goal(f"pure build, get, {column}", group, column, 1.0, _PYMEMCACHE[group], ours=PURE)
        for group, column in (("threads 8 on 8", "8 threads"), ("threads 32 on 8", "32 threads"))
    ),
)


def judge(group: str, results: Results) -> list[Verdict]:
    """Return what came out for the goals of a group; those without figures are left out."""
    found = (_verdict(goal, results[goal.column]) for goal in GOALS if goal.group == group)
    return [verdict for verdict in found if verdict is not None]


def figures(rounds: Sequence[Figures], figure: str) -> list[float]:
    """Return a figure of each round, or nothing if one of them failed."""
    return [] if any("error" in one for one in rounds) else [one[figure] for one in rounds]


def _verdict(goal: Goal, column: dict[str, list[Figures]]) -> Verdict | None:
    ours = figures(column.get(goal.ours, ()), goal.figure)
    peer = _best(goal, column) if goal.peer == EVERYBODY else goal.peer
    theirs = figures(column.get(peer, ()), goal.figure) if peer else [1.0] * len(ours)
    ratios = [our / their for our, their in zip(ours, theirs, strict=False)]
    if not ratios:
        return None
    low, high = middle_half(ratios)
    return Verdict(goal, median(ratios), low, high, peer or "")


def middle_half(figures: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest, a quarter of the figures left out at either end."""
    ordered = sorted(figures)
    quarter = len(ordered) // 4
    return ordered[quarter], ordered[-1 - quarter]


def _best(goal: Goal, column: dict[str, list[Figures]]) -> str | None:
    peers = {
        name: median(rates)
        for name, rounds in column.items()
        if not name.startswith("cenote") and (rates := figures(rounds, goal.figure))
    }
    return max(peers, key=peers.__getitem__, default=None)
