"""What time brings about in a pool: expiry, replacement, pruning, pings, leaks, overdue connects.

Strategy: ``tick`` looks at everything and does what is due; ``next_deadline`` says when to look
again. Both cost O(connections) and run rarely. An entry near the end of its life is replaced
*first*, where a slot allows and the entry is needed; one that is leased is never interrupted: it is
retired when it comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Generic, TypeVar

from cenote.pool import reports
from cenote.pool.actions import Ping, Warn
from cenote.pool.autosize import Autosizer
from cenote.pool.fast import IDLE, KEPT, LEASED, NEVER, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.pruning import Pruner
from cenote.pool.settlement import Settlement

T = TypeVar("T")

_LEAD = 0.1  # replacement begins this share of the lifetime early, at most connect_timeout
_KEEPALIVE_JITTER = 0.1
_UNUSED = (IDLE, KEPT)


class Upkeep(Generic[T]):
    """The time-driven half of one pool."""

    def __init__(self, pool: Settlement[T], rng: Random, pings: bool) -> None:
        options = pool.options
        self._pool = pool
        self._rng = rng
        self._lifetime = options.max_lifetime
        self._jitter = options.lifetime_jitter
        self._keepalive = options.keepalive if pings else None
        self._leak_after = options.leak_after
        self._lead = min(options.connect_timeout, _LEAD * (options.max_lifetime or 0.0))
        self._pruner = Pruner(options.max_idle)
        self._autosizer = (
            None if options.autosize is None
            else Autosizer(*options.autosize, options.target_wait)
        )  # fmt: skip

    def born(self, entry: Entry[T], now: float) -> None:
        """Draw a new connection's lifetime and keepalive interval."""
        if self._lifetime is not None:
            entry.expires = now + self._lifetime * (1.0 - self._rng.uniform(0.0, self._jitter))
        if self._keepalive is not None:
            share = 1.0 - self._rng.uniform(0.0, _KEEPALIVE_JITTER)
            entry.ping_after = self._keepalive * share
        if self._pruner.start(now):
            self._pool.stack.low = len(self._pool.stack.idle)
        self._come_by(self._entry_due(entry, now))
        self._come_by(self._pruner.next_at)
        if self._autosizer is not None:
            self._come_by(self._autosizer.due)

    def replaced(self, serial: int, now: float) -> None:
        """The replacement of an entry is there: the entry goes, at once or when it comes back."""
        entry = self._pool.roster.get(serial) if serial else None
        if entry is None:
            return
        entry.expires = now
        if self._pluck(entry):
            self._pool.retire(entry, "lifetime")

    def not_replaced(self, serial: int) -> None:
        """The replacement of an entry failed: it may be tried again."""
        entry = self._pool.roster.get(serial) if serial else None
        if entry is not None:
            entry.replacing = False

    def tick(self, now: float) -> None:
        """Do all that is due."""
        self._note_overdue(now)
        self._autosize(now)
        self._retire_stale(now)
        self._replace(now)
        self._prune(now)
        self._ping(now)
        self._report_leaks(now)

    def next_deadline(self, now: float) -> float:
        """Return when ``tick`` has something to do again."""
        return min(self._deadlines(now), default=NEVER)

    def _deadlines(self, now: float) -> Iterator[float]:
        pool = self._pool
        yield self._pruner.next_at
        yield pool.burst_due(now)
        if self._autosizer is not None and pool.phase != "closed":
            yield self._autosizer.due
        for connect in pool.connects:
            if not connect.overdue:
                yield connect.deadline
        for entry in pool.roster:
            yield self._entry_due(entry, now)
        if pool.wanted > pool.connecting and pool.backoff.retry_at > now:
            yield pool.backoff.retry_at
        if pool.waiters:
            yield now + pool.heartbeat

    def _entry_due(self, entry: Entry[T], now: float) -> float:
        return min(
            self._life_due(entry, now), self._ping_due(entry, now), self._leak_due(entry, now)
        )

    def _life_due(self, entry: Entry[T], now: float) -> float:
        early = entry.expires - self._lead
        if now < early and not entry.replacing:
            return early
        return entry.expires if entry.state in _UNUSED else NEVER

    def _ping_due(self, entry: Entry[T], now: float) -> float:
        since = entry.idle_since if entry.state in _UNUSED else now
        return since + entry.ping_after

    def _leak_due(self, entry: Entry[T], now: float) -> float:
        if self._leak_after is None or entry.reported:
            return NEVER
        return (entry.leased_at if entry.state == LEASED else now) + self._leak_after

    def _come_by(self, when: float) -> None:
        self._pool.due = min(self._pool.due, when)

    def _note_overdue(self, now: float) -> None:
        for connect in list(self._pool.connects):
            if now >= connect.deadline and not connect.overdue:
                connect.overdue = True
                text = f"connecting takes longer than {self._pool.options.connect_timeout:g} s"
                self._pool.count_failure(connect, TimeoutError(text), now)

    def _autosize(self, now: float) -> None:
        if self._autosizer is None or now < self._autosizer.due:
            return
        pool = self._pool
        failing = pool.waiters and pool.backoff.failures and pool.size < pool.max_size
        if pool.phase == "paused" or failing:
            self._autosizer.skip(now)
            return
        decision = self._autosizer.sample(reports.snapshot(pool, now))
        if decision is None:
            return
        pool.max_size, reason = decision
        if pool.observer is not None:
            pool.tell(pool.observer.resized, pool.max_size, reason)

    def _retire_stale(self, now: float) -> None:
        for entry in self._unused():
            reason = self._pool.fault(entry, now)
            if reason is not None and self._pluck(entry):
                self._pool.retire(entry, reason)

    def _replace(self, now: float) -> None:
        pool = self._pool
        for entry in pool.roster:
            if now < entry.expires - self._lead or entry.replacing or not self._needed:
                continue
            if pool.budget is not None and not pool.budget.has_room:
                return
            if pool.phase == "ready" and now >= pool.backoff.retry_at and pool.may_add():
                entry.replacing = True
                pool.connect(now, replaces=entry.serial)

    @property
    def _needed(self) -> bool:
        pool = self._pool
        return pool.roster.active <= pool.min_size or pool.stack.low == 0

    def _prune(self, now: float) -> None:
        pool, stack = self._pool, self._pool.stack
        if now < self._pruner.next_at:
            return
        surplus = self._pruner.surplus(now, stack.low, pool.roster.active, pool.min_size)
        for entry in list(stack.idle.copy())[:surplus]:
            if self._pluck(entry):
                pool.retire(entry, "idle")
        stack.low = len(stack.idle)

    def _ping(self, now: float) -> None:
        if self._keepalive is None:
            return
        for entry in self._unused():
            if now >= self._ping_due(entry, now) and self._pluck(entry):
                entry.state = RESERVED
                self._pool.actions.append(Ping(entry))

    def _report_leaks(self, now: float) -> None:
        pool = self._pool
        if self._leak_after is None and not pool.waiters:
            return
        for entry in pool.roster.leased():
            gone = not entry.reported and pool.is_gone(entry.holder)
            if gone or now >= self._leak_due(entry, now):
                entry.reported = True
                self._report(entry, now)

    def _report(self, entry: Entry[T], now: float) -> None:
        pool = self._pool
        holder = reports.holder(pool, entry, now)
        pool.tallies.leaks += 1
        pool.actions.append(Warn(reports.leak(pool.name, holder), logged=True))
        if pool.observer is not None:
            pool.tell(pool.observer.leaked, holder)

    def _unused(self) -> list[Entry[T]]:
        """Return what is idle, and what holders keep for their next use."""
        return [entry for place in self._places() for entry in place.copy()]

    def _places(self) -> Iterator[deque[Entry[T]]]:
        yield self._pool.stack.idle
        yield from self._pool.spares()

    def _pluck(self, entry: Entry[T]) -> bool:
        """Take a certain entry out of where it lies unused; False: somebody was faster."""
        return any(_taken(place, entry) for place in self._places())


def _taken(place: deque[Entry[T]], entry: Entry[T]) -> bool:
    try:
        place.remove(entry)
    except (ValueError, IndexError):
        return False
    return True
