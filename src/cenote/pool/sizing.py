"""How many connections a load needs: queueing theory, pure.

Strategy: a pool is a queue with ``c`` servers. Callers arrive by chance (Poisson) at a rate, and
hold a connection for a while; rate x duration is the *load*, the number of connections in use on
average (Little's law). Erlang's C formula gives the chance that a caller has to wait; that it waits
longer than ``t`` decays exponentially from there. Erlang B, from which C follows, is computed by
its recursion in the number of servers, which stays within 0 and 1 whatever the load (the formula
itself overflows at some 170). Holding times that vary more, or less, than exponentially stretch the
waits by (1 + cv^2) / 2 (Allen and Cunneen's approximation; cv is the coefficient of variation).

Beside it stands the rule of thumb, load x 1.5, which is generous for big pools and poor for small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from cenote.errors import ConfigurationError
from cenote.pool.options import NO_LIMIT, TARGET_WAIT
from cenote.pool.stats import PoolStats

SHARE = 0.99  # of the callers that may wait no longer
THUMB = 1.5
_MOST_LOAD = 1e6  # connections in use: beyond it the numbers are surely a mistake


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a pool of a certain size does under a load.

    Attributes:
        size: Connections.
        utilisation: Share of them in use on average.
        waiting: Share of the callers that have to wait.
        mean_wait: Seconds, over all callers, those included that do not wait.
        wait: Seconds that the asked share of the callers waits at most.
    """

    size: int
    utilisation: float
    waiting: float
    mean_wait: float
    wait: float


@dataclass(frozen=True, slots=True)
class Advice:
    """How large a pool should be, and by which numbers; ``str`` says it in some lines.

    Attributes:
        size: The least number of connections with which ``share`` of the callers wait for
            ``target_wait`` at most.
        rule_of_thumb: Rate x duration x 1.5, for comparison.
        rate: Callers a second.
        duration: Seconds a connection is held, on average.
        variation: Standard deviation of that divided by it (1: as if by chance; 0: always the
            same).
        target_wait: Seconds.
        share: Share of the callers.
        expected: What a pool of ``size`` does.
        connect_time: Seconds that opening a connection takes; ``None``: not known.
        current: What the pool's ``option`` is; ``None``: it is about no pool, or there is no limit.
        measured: Seconds that the numbers were measured over; ``None``: they were given.
        mean_wait: Seconds that callers waited on average meanwhile; ``None``: not measured.
        option: The option that limits the connections it is about.
    """

    size: int
    rule_of_thumb: int
    rate: float
    duration: float
    variation: float
    target_wait: float
    share: float
    expected: Sizing
    connect_time: float | None = None
    current: int | None = None
    measured: float | None = None
    mean_wait: float | None = None
    option: str = "max_size"

    @property
    def load(self) -> float:
        """Connections in use on average: rate x duration."""
        return self.rate * self.duration

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        source = "" if self.measured is None else f", measured over {duration_text(self.measured)}"
        yield (
            f"{number_text(self.rate)} callers a second hold a connection for "
            f"{duration_text(self.duration)} (variation {self.variation:.2g}): "
            f"{self.load:.3g} in use on average{source}"
        )
        yield (
            f"Erlang C      {self.size:>6}  {self.share * 100:g} % wait at most "
            f"{duration_text(self.expected.wait)} (target {duration_text(self.target_wait)}), "
            f"{self.expected.utilisation * 100:.0f} % in use"
        )
        yield f"rule of thumb {self.rule_of_thumb:>6}  {self.load:.3g} x {THUMB}"
        if self.connect_time is not None:
            yield f"opening a connection takes {duration_text(self.connect_time)}"
        if self.current is not None:
            yield self._verdict(self.current)

    def _verdict(self, current: int) -> str:
        waited = "" if self.mean_wait is None else (
            f"; callers have waited {duration_text(self.mean_wait)} on average"
        )  # fmt: skip
        if self.size == current:
            return f"{self.option} is {current}: right as it is{waited}"
        verb = "raise" if self.size > current else "you may lower"
        return f"{self.option} is {current}: {verb} it to {self.size}{waited}"


def size(
    rate: float,
    duration: float,
    *,
    target_wait: float = TARGET_WAIT,
    share: float = SHARE,
    variation: float = 1.0,
) -> Advice:
    """Work out how many connections a load needs.

    Args:
        rate: Callers a second, at the busiest time that counts.
        duration: Seconds that each holds a connection, on average.
        target_wait: Seconds that ``share`` of the callers may wait at most.
        share: Share of the callers, above 0 and below 1.
        variation: Standard deviation of the holding time divided by its mean.

    Raises:
        ConfigurationError: A number is out of range.
    """
    _check(rate, duration, target_wait, share, variation)
    found = next(
        each
        for each in sizings(rate, duration, share=share, variation=variation)
        if each.wait <= target_wait
    )
    return Advice(
        size=found.size, rule_of_thumb=max(1, math.ceil(rate * duration * THUMB)), rate=rate,
        duration=duration, variation=variation, target_wait=target_wait, share=share,
        expected=found,
    )  # fmt: skip


def sizings(rate: float, duration: float, *, share: float, variation: float) -> Iterator[Sizing]:
    """Yield what pools of 1, 2, 3, ... connections do, from the first that can bear the load."""
    load = rate * duration
    stretch = (1.0 + variation * variation) / 2.0
    blocked = 1.0  # Erlang B of no servers
    for servers in count(1):
        blocked = load * blocked / (servers + load * blocked)
        if servers > load:
            yield _sizing(servers, load, blocked, duration * stretch, share)


def _sizing(servers: int, load: float, blocked: float, pace: float, share: float) -> Sizing:
    waiting = servers * blocked / (servers - load * (1.0 - blocked))
    relief = pace / (servers - load)  # mean wait of those who wait
    late = waiting / (1.0 - share)
    return Sizing(
        size=servers,
        utilisation=load / servers,
        waiting=waiting,
        mean_wait=waiting * relief,
        wait=relief * math.log(late) if late > 1.0 else 0.0,
    )


def advise(
    now: PoolStats,
    since: PoolStats | None,
    *,
    target_wait: float,
    share: float,
    option: str = "max_size",
) -> Advice | None:
    """Work the size out from what a pool has measured; ``None``: nothing came back yet.

    Args:
        now: The pool at present.
        since: The pool at an earlier time, to measure from there; ``None``: from its beginning.
        target_wait: Seconds that ``share`` of the callers may wait at most.
        share: Share of the callers.
        option: What limits the connections.
    """
    if since is not None and since.at <= now.since:
        since = None  # of an earlier life: before a fork, or before its key was forgotten
    load = measure(now, since)
    if load is None:
        return None
    advice = size(
        load.rate, load.duration, target_wait=target_wait, share=share, variation=load.variation
    )
    opened = now.created - (since.created if since else 0)
    opening = now.create_seconds - (since.create_seconds if since else 0.0)
    waited = now.wait_seconds - (since.wait_seconds if since else 0.0)
    return Advice(
        size=advice.size, rule_of_thumb=advice.rule_of_thumb, rate=load.rate,
        duration=load.duration, variation=load.variation, target_wait=target_wait, share=share,
        expected=advice.expected, connect_time=opening / opened if opened else None,
        current=None if now.max_size >= NO_LIMIT else now.max_size, measured=load.seconds,
        mean_wait=waited / load.callers, option=option,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """What callers asked of a pool in some time.

    Attributes:
        seconds: How long it was measured.
        callers: How many came, those included that got nothing.
        duration: Seconds that a connection was held, on average.
        variation: Standard deviation of that divided by it.
    """

    seconds: float
    callers: int
    duration: float
    variation: float

    @property
    def rate(self) -> float:
        """Callers a second."""
        return self.callers / self.seconds


def measure(now: PoolStats, since: PoolStats | None) -> Load | None:
    """Return what was asked of a pool between two snapshots; ``None``: too little to tell."""
    start = now.since if since is None else since.at
    released = now.released + now.detached - (since.released + since.detached if since else 0)
    held = now.use_seconds - (since.use_seconds if since else 0.0)
    squares = now.use_seconds_squared - (since.use_seconds_squared if since else 0.0)
    if released <= 0 or held <= 0 or now.at <= start:
        return None
    mean = held / released
    spread = max(0.0, squares / released - mean * mean)
    came = callers(now) - (callers(since) if since else 0)
    return Load(now.at - start, max(came, 1), mean, math.sqrt(spread) / mean)


def callers(stats: PoolStats) -> int:
    """Return how many have come so far, those included that wait or got nothing."""
    ended = stats.timeouts + stats.cancelled + stats.failed + stats.saturated
    return stats.acquired + ended + stats.waiting


def number_text(value: float) -> str:
    """Write a number with four digits, and a large one without an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def duration_text(seconds: float) -> str:
    """Write a duration with a unit that suits it."""
    for unit, name, least in ((60.0, "min", 120.0), (1.0, "s", 0.9995), (1e-3, "ms", 0.9995e-3)):
        if seconds >= least:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} us" if seconds else "0 ms"


def _check(
    rate: float, duration: float, target_wait: float, share: float, variation: float
) -> None:
    for name, value in (("rate", rate), ("duration", duration)):
        if not 0.0 < value < math.inf:
            raise ConfigurationError(f"{name}={value!r} is out of range: use a number above 0")
    for name, value in (("target_wait", target_wait), ("variation", variation)):
        if not 0.0 <= value < math.inf:
            raise ConfigurationError(f"{name}={value!r} is out of range: use a number from 0")
    if not 0.0 < share < 1.0:
        raise ConfigurationError(f"share={share!r} is out of range: use a number between 0 and 1")
    if rate * duration > _MOST_LOAD:
        raise ConfigurationError(
            f"{rate:g} callers a second for {duration:g} s each would use {rate * duration:g} "
            "connections at once: check the numbers (seconds, not milliseconds)"
        )
