"""Moves a pool's limit by evidence: up at once when it is needed, down when it long was not.

Strategy: at each sample the present load is estimated, and the size it needs is worked out
(``sizing.py``). The rate is that of the longest span over which callers have come at one rate, as
far as chance lets one tell: a jump is seen in the newest sample, and what is steady is measured
well. It is taken at the lower end of what is likely, or the luckiest sample of a minute would
decide; some connections to spare make up for that where it is measured well. How long leases are
held is measured in the same way; those that have not come back for long count too.

A need counts once two samples running show it, or at once if somebody waits. Then a jump is
believed sooner, and the rate taken lower still, since it is that of a short span. What was needed
lately is remembered for ``_MEMORY`` seconds. The limit is raised as soon as more
is needed than it allows; it is lowered to the most that was needed in all that time, and only if
that is well below. So bursts that come again and again, or a load that wavers, move nothing.
"""

from __future__ import annotations

import math
from collections import deque

from cenote.pool.sizing import SHARE, Load, callers, duration_text, measure, number_text, size
from cenote.pool.stats import PoolStats

PERIOD = 0.25  # seconds between two samples
QUIET = 5.0  # the same while nobody comes
_WINDOW = 128  # samples that are kept
_MEMORY = 60.0  # seconds that a need is remembered
_SLACK = 0.15  # share of the limit by which the need must be smaller for it to be lowered
_CHANCE = 4.0  # standard deviations that chance explains
_LESS_CHANCE = 3.0  # the same of a rate while somebody waits
_MOST_VARIATION = 3.0
_DOUBT = 2.5  # standard deviations by which the rate is taken lower than it was seen
_MORE_DOUBT = 3.0  # the same while somebody waits
_SPARE = 2  # connections beyond the need, to make up for the doubt
_LEAST_RATE = 1e-3
_LONGER = 1.5  # times what came back: when more is out and asked for, leases have become longer


class Autosizer:
    """Decides on the limit of one pool.

    Args:
        low, high: Between these the limit moves.
        target_wait: Seconds that callers may wait.

    Attributes:
        due: When the next sample is to be taken.
    """

    __slots__ = ("_before", "_high", "_low", "_needs", "_samples", "_target", "due")

    def __init__(self, low: int, high: int, target_wait: float) -> None:
        self._low = low
        self._high = high
        self._target = target_wait
        self._samples: deque[PoolStats] = deque(maxlen=_WINDOW + 1)
        self._needs: deque[tuple[float, int]] = deque()
        self._before = 0
        self.due = -math.inf

    def skip(self, now: float) -> None:
        """Look at nothing for now: callers wait for something else than the limit."""
        self.due = now + PERIOD

    def sample(self, stats: PoolStats) -> tuple[int, str] | None:
        """Look at the pool; returns its new limit and why, or ``None``: let it be."""
        active = not self._samples or stats.acquired > self._samples[-1].acquired or stats.waiting
        self._samples.append(stats)
        self.due = stats.at + (PERIOD if active else QUIET)
        load = self._load()
        return self._decide(stats, max(self._need(load, stats), self._low), load)

    def _need(self, load: Load | None, stats: PoolStats) -> int:
        if load is None:  # nothing has come back: what is out and asked for is all there is to see
            return stats.used + stats.waiting
        variation = min(load.variation, _MOST_VARIATION)
        return (
            size(
                load.rate, load.duration, target_wait=self._target, share=SHARE, variation=variation
            ).size
            + _SPARE
        )

    def _decide(self, stats: PoolStats, need: int, load: Load | None) -> tuple[int, str] | None:
        now, limit = stats.at, stats.max_size
        self._remember(now, need if stats.waiting else min(need, self._before))
        self._before = need
        peak = max(min(max(most for _, most in self._needs), self._high), stats.min_size)
        if peak > limit:
            return peak, self._why(load, need)
        if peak <= limit * (1.0 - _SLACK) and now - self._needs[0][0] >= _MEMORY * 0.9:
            return peak, f"no more than {peak} were needed in {duration_text(_MEMORY)}"
        return None

    def _remember(self, now: float, need: int) -> None:
        while self._needs and self._needs[0][0] <= now - _MEMORY:
            self._needs.popleft()
        self._needs.append((now, need))

    def _why(self, load: Load | None, need: int) -> str:
        if load is None:
            return f"{need} are needed"
        capped = f", though {need} are needed" if need > self._high else ""
        return (
            f"{number_text(load.rate)} callers a second hold a connection for "
            f"{duration_text(load.duration)}: for a wait of {duration_text(self._target)} it takes "
            f"{need}{capped}"
        )

    def _load(self) -> Load | None:
        """Put together what callers ask at present: how often, and for how long."""
        samples = self._samples
        whole = measure(samples[-1], samples[0])
        if whole is None:
            return None
        span = self._steady_span()
        recent = measure(samples[-1], samples[-1 - span]) or whole
        doubt = _MORE_DOUBT if samples[-1].waiting else _DOUBT
        certain = max(0.0, recent.callers - doubt * math.sqrt(recent.callers))
        rate = max(certain / recent.seconds, _LEAST_RATE)
        duration, variation = self._holding(whole, recent)
        busy = sum(stats.used for stats in samples) / len(samples)
        if busy > whole.rate * whole.duration * _LONGER:  # what is out has not come back for long
            duration = max(duration, busy / whole.rate)
        return Load(recent.seconds, math.ceil(rate * recent.seconds), duration, variation)

    def _steady_span(self) -> int:
        """Return over how many samples callers have come at one rate, as far as one can tell."""
        samples, span = self._samples, 1
        chance = _LESS_CHANCE if samples[-1].waiting else _CHANCE
        while 2 * span < len(samples):
            newer = callers(samples[-1]) - callers(samples[-1 - span])
            older = callers(samples[-1 - span]) - callers(samples[-1 - 2 * span])
            if abs(newer - older) > chance * math.sqrt(newer + older) + 1:
                break
            span *= 2
        return min(span, len(samples) - 1)

    def _holding(self, whole: Load, recent: Load) -> tuple[float, float]:
        """Return how long leases are held: as ever, unless of late it is clearly otherwise."""
        error = whole.duration * max(whole.variation, 0.1) / math.sqrt(recent.callers or 1)
        if abs(recent.duration - whole.duration) > _CHANCE * error:
            return recent.duration, recent.variation
        return whole.duration, whole.variation
