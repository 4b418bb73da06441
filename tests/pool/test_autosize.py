"""A pool that moves its own limit, in virtual time, under traffic of several kinds.

Strategy: a scenario is a rate of callers over time. The asyncio pool serves it in a virtual loop,
with ``autosize`` on. The same callers are then let queue for fixed numbers of connections until the
least is found that keeps the target: the best fixed size, which only who knows the traffic knows.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from cenote import AsyncPool, Observer
from tests.pool.conftest import Run
from tests.pool.doubles import GatedConnector
from tests.pool.links import HandDriven
from tests.pool.virtual_time import virtual_clock

TARGET = 0.02
HOLD = 0.1
SHARE = 0.99

Traffic = Callable[[float], float]


@dataclass
class Course:
    """What happened.

    Attributes:
        waits: Of each caller, in seconds.
        moves: When the limit moved, whereto, and why.
        sizes: Live connections, sampled ten times a second.
    """

    waits: list[float] = field(default_factory=list)
    moves: list[tuple[float, int, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def bursty(now: float) -> float:
    """Three times as many callers for five seconds out of every twenty."""
    return 90.0 if now % 20 < 5 else 30.0


def diurnal(now: float) -> float:
    """A day of 300 seconds."""
    return 60.0 - 45.0 * math.cos(2 * math.pi * now / 300)


def spike(now: float) -> float:
    """Steady, but for one minute."""
    return 120.0 if 150 <= now < 210 else 30.0


def callers(traffic: Traffic, seconds: float) -> Iterator[tuple[float, float]]:
    """Yield when callers come, and how long they hold: by chance, the same each time."""
    rng, now, most = Random(5), 0.0, 130.0
    while (now := now + rng.expovariate(most)) < seconds:
        if rng.random() < traffic(now) / most:
            yield now, rng.expovariate(1 / HOLD)


async def served(traffic: Traffic, seconds: float) -> Course:
    """Serve the traffic with a pool that sizes itself."""
    clock, course = virtual_clock(), Course()
    began = clock.now

    class Notes(Observer):
        def resized(self, pool: str, max_size: int, reason: str) -> None:
            course.moves.append((clock.now - began, max_size, reason))

    async def use(hold: float) -> None:
        since = clock.now
        async with pool.connection():
            course.waits.append(clock.now - since)
            await asyncio.sleep(hold)

    async def watch() -> None:
        while clock.now < began + seconds:
            course.sizes.append(pool.stats().size)
            await asyncio.sleep(0.1)

    pool = AsyncPool(
        GatedConnector(clean=True), autosize=(2, 60), max_size=5, target_wait=TARGET, timeout=60.0,
        max_connecting=8, clock=clock, observer=Notes(),
    )  # fmt: skip
    async with pool, asyncio.TaskGroup() as group:
        group.create_task(watch())
        for at, hold in callers(traffic, seconds):
            await asyncio.sleep(max(0.0, began + at - clock.now))
            group.create_task(use(hold))
    return course


def best_fixed(traffic: Traffic, seconds: float) -> int:
    """Return the least number of connections with which the same callers wait no longer."""
    arrivals, size = list(callers(traffic, seconds)), 1
    while late(queue(arrivals, size)) > 1 - SHARE:
        size += 1
    return size


def queue(arrivals: list[tuple[float, float]], size: int) -> list[float]:
    free, waits = [0.0] * size, []
    for at, hold in arrivals:
        start = max(at, free[0])
        heapq.heapreplace(free, start + hold)
        waits.append(start - at)
    return waits


def late(waits: list[float]) -> float:
    """Return the share of those who waited longer than the target."""
    return sum(wait > TARGET for wait in waits) / len(waits)


def turns(moves: list[tuple[float, int, str]]) -> int:
    """Count how often the limit changed its direction."""
    limits = [5, *(limit for _, limit, _ in moves)]
    steps = [after - before for before, after in pairwise(limits)]
    return sum(one * other < 0 for one, other in pairwise(steps))


@pytest.mark.proof
@pytest.mark.parametrize(
    ("traffic", "seconds", "most_turns"),
    [(bursty, 240.0, 1), (diurnal, 600.0, 4), (spike, 360.0, 2)],
    ids=["bursty", "diurnal", "spike"],
)
def test_it_keeps_the_target_without_oscillating_nor_more_connections_than_it_takes(
    virtually: Run, traffic: Traffic, seconds: float, most_turns: int
) -> None:
    async def scenario() -> None:
        course = await served(traffic, seconds)
        best = best_fixed(traffic, seconds)
        limits = [limit for _, limit, _ in course.moves]
        assert late(course.waits) <= 1 - SHARE, (late(course.waits), best, course.moves)
        assert max(course.sizes) <= math.ceil(best * 1.2), (max(course.sizes), best, course.moves)
        assert max(limits) <= math.ceil(best * 1.2), (best, course.moves)
        assert turns(course.moves) <= most_turns, course.moves

    virtually(scenario)


def sized() -> HandDriven:
    """A pool that may move its limit between 2 and 20."""
    return HandDriven(autosize=(2, 20), max_size=4)


def test_callers_that_wait_for_a_server_that_is_down_raise_no_limit() -> None:
    """What they wait for is not more connections."""
    pool = sized()
    for _ in range(12):
        pool.ask()
    for _ in range(40):
        pool.fail_all()
        pool.pass_time(0.25)
        assert pool.stats().max_size == 4
    while not pool.connect_all():
        pool.pass_time(1.0)
    assert pool.stats().waiting
    pool.pass_time(2.0)
    assert pool.stats().max_size > 4


def test_callers_that_wait_for_a_pool_that_is_paused_raise_no_limit() -> None:
    pool = sized()
    pool.lease()
    pool.core.pause(pool.now)
    for _ in range(12):
        pool.ask()
    pool.pass_time(5.0)
    assert pool.stats().max_size == 4


def test_a_limit_is_never_moved_below_the_least_size_that_was_ordered_meanwhile() -> None:
    pool = sized()
    pool.give(pool.lease())
    pool.core.resize(8, 10, pool.now)
    pool.connect_all()
    pool.pass_time(300.0)
    assert pool.stats().max_size == 8
    assert pool.stats().size == 8
