"""Traffic by chance, and a queue that an ``Autosizer`` sizes: what a pool does, without the pool.

Strategy: connections open at once and callers are served in order, so all that happens is three
kinds of events: somebody comes, somebody goes, a sample is due. That is quick enough for many
seeds; that it is what the pool itself does in virtual time is a test of its own.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

from cenote.pool.autosize import Autosizer
from cenote.pool.stats import PoolStats
from tests.pool.links import HandDriven

TARGET = 0.02
HOLD = 0.1
SHARE = 0.99
LOW, HIGH, FIRST = 2, 60, 5

Traffic = Callable[[float], float]
Arrivals = list[tuple[float, float]]


def bursty(now: float) -> float:
    """Three times as many callers for five seconds out of every twenty."""
    return 90.0 if now % 20 < 5 else 30.0


def diurnal(now: float) -> float:
    """A day of 300 seconds."""
    return 60.0 - 45.0 * math.cos(2 * math.pi * now / 300)


def spike(now: float) -> float:
    """Steady, but for one minute."""
    return 120.0 if 150 <= now < 210 else 30.0


@dataclass(frozen=True)
class Kind:
    """A kind of traffic, how long it is watched, and how often the limit may change direction."""

    traffic: Traffic
    seconds: float
    turns: int


KINDS = {
    "bursty": Kind(bursty, 240.0, 1),
    "diurnal": Kind(diurnal, 600.0, 4),
    "spike": Kind(spike, 360.0, 2),
}


def callers(traffic: Traffic, seconds: float, seed: int) -> Iterator[tuple[float, float]]:
    """Yield when callers come, and how long they hold: by chance, the same for the same seed."""
    rng, now, most = Random(seed), 0.0, 130.0
    while (now := now + rng.expovariate(most)) < seconds:
        if rng.random() < traffic(now) / most:
            yield now, rng.expovariate(1 / HOLD)


@dataclass
class Course:
    """What happened.

    Attributes:
        waits: Of each caller, in seconds.
        moves: When the limit moved, whereto, and why.
        largest: The most connections that there were.
    """

    waits: list[float] = field(default_factory=list)
    moves: list[tuple[float, int, str]] = field(default_factory=list)
    largest: int = 0

    @property
    def late(self) -> float:
        """The share of those who waited longer than the target."""
        return late(self.waits)

    @property
    def limits(self) -> list[int]:
        """What the limit was moved to."""
        return [limit for _, limit, _ in self.moves]

    @property
    def turns(self) -> int:
        """How often the limit changed its direction."""
        steps = [after - before for before, after in pairwise([FIRST, *self.limits])]
        return sum(one * other < 0 for one, other in pairwise(steps))


class SizedQueue:
    """Serves arrivals with as many connections as an ``Autosizer`` allows."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.course = Course()
        self._arrivals = deque(arrivals)
        self._sizer = Autosizer(LOW, HIGH, TARGET)
        self._limit = FIRST
        self._queue: deque[tuple[float, float]] = deque()
        self._busy: list[tuple[float, float]] = []
        self._released = 0
        self._held = self._held_squared = 0.0
        self._stats = HandDriven().stats()
        self._due = math.inf

    def serve(self) -> Course:
        """Let everybody come and go."""
        while self._arrivals or self._busy:
            comes = self._arrivals[0][0] if self._arrivals else math.inf
            goes = self._busy[0][0] if self._busy else math.inf
            now = min(comes, goes, self._due)
            if now == goes:
                self._go()
            elif now == comes:
                self._come(now)
            else:
                self._sample(now)
            self._lend(now)
        return self.course

    def _go(self) -> None:
        _, hold = heapq.heappop(self._busy)
        self._released += 1
        self._held += hold
        self._held_squared += hold * hold

    def _come(self, now: float) -> None:
        self._queue.append(self._arrivals.popleft())
        if self._due == math.inf:
            self._due, self._stats = now, replace(self._stats, since=now)

    def _sample(self, now: float) -> None:
        move = self._sizer.sample(self._present(now))
        self._due = self._sizer.due
        if move is not None:
            self._limit = move[0]
            self.course.moves.append((now, *move))

    def _present(self, now: float) -> PoolStats:
        used = len(self._busy)
        return replace(
            self._stats, at=now, acquired=self._released + used, released=self._released, used=used,
            waiting=len(self._queue), max_size=self._limit, use_seconds=self._held,
            use_seconds_squared=self._held_squared,
        )  # fmt: skip

    def _lend(self, now: float) -> None:
        while self._queue and len(self._busy) < self._limit:
            came, hold = self._queue.popleft()
            self.course.waits.append(now - came)
            heapq.heappush(self._busy, (now + hold, hold))
        self.course.largest = max(self.course.largest, len(self._busy))


def best_fixed(arrivals: Arrivals) -> int:
    """Return the least number of connections with which the same callers wait no longer."""
    size = math.ceil(max(30.0, len(arrivals) / arrivals[-1][0]) * HOLD)
    while late(_fixed(arrivals, size)) > 1 - SHARE:
        size += 1
    return size


def _fixed(arrivals: Arrivals, size: int) -> list[float]:
    free, waits = [0.0] * size, []
    for at, hold in arrivals:
        start = max(at, free[0])
        heapq.heapreplace(free, start + hold)
        waits.append(start - at)
    return waits


def late(waits: list[float]) -> float:
    """Return the share of those who waited longer than the target."""
    return sum(wait > TARGET + 1e-9 for wait in waits) / len(waits)
