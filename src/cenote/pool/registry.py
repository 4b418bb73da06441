"""Which pools this process has, and how to look at one from anywhere without disturbing it.

Strategy: a pool enters itself when it is made, weakly, and is never asked for anything; nothing of
this is on the way of a lease. Each has a label of its own, its name or ``name-2``, because names
may repeat and series of figures must not. ``glance`` reads the core without its lock, from any
thread: whoever watches can neither hold a pool up nor be held up by one whose event loop is stuck.
Only the coming and going of connections could spoil the totals: it is noticed, and the reading
repeated.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

from cenote.pool import reports
from cenote.pool.core import PoolCore
from cenote.pool.observer import Audience, Observer
from cenote.pool.stats import Holder, PoolStats

Attributes: TypeAlias = Mapping[str, str | int]
Condition: TypeAlias = Callable[[], Callable[[PoolStats], Any] | None]
"""A weak reference to what tells, by a pool's figures, how that does which it connects to."""

_TRIES = 8
_clock_of: Callable[[object], Callable[[], float]] = attrgetter("clock")


class Watchable(Protocol):
    """A pool; its ``clock`` is asked too."""

    _core: PoolCore[Any]


_POOLS: dict[str, weakref.ref[Watchable]] = {}
_CONDITIONS: weakref.WeakKeyDictionary[Watchable, Condition] = weakref.WeakKeyDictionary()
_ATTRIBUTES: weakref.WeakKeyDictionary[Watchable, Attributes] = weakref.WeakKeyDictionary()


def enter(pool: Watchable, name: str) -> None:
    """Enter a new pool, under its name or the first of ``name-2``, ``name-3``, ... that is free.

    A label is free again once its pool has been collected, or is closed and empty. Threads may do
    this at once, and there is no lock that a fork could leave taken: ``setdefault`` decides.
    """
    label, number = name, 1
    while True:
        ref = weakref.ref(pool, partial(_leave, label))
        entered = _POOLS.setdefault(label, ref)
        if entered is ref:
            return
        other = entered()
        if other is None or is_over(other):
            _leave(label, entered)
        else:
            number += 1
            label = f"{name}-{number}"


def _leave(label: str, left: weakref.ref[Watchable]) -> None:
    """Strike a pool, if it is the one that has the label."""
    struck = _POOLS.pop(label, None)
    if struck is not None and struck is not left:
        _POOLS.setdefault(label, struck)


def describe(pool: Watchable, attributes: Attributes, condition: Condition | None = None) -> None:
    """Say what a pool connects to, in the terms of OpenTelemetry's semantic conventions.

    Args:
        pool: The pool.
        attributes: What it connects to.
        condition: Who tells how that does.
    """
    _ATTRIBUTES[pool] = attributes
    if condition is not None:
        _CONDITIONS[pool] = condition


def condition_of(pool: Watchable, stats: PoolStats) -> Any:
    """Return how that does which a pool connects to, by its figures; None: nobody tells."""
    told = _CONDITIONS.get(pool)
    tell = None if told is None else told()
    return None if tell is None else tell(stats)


def attributes_of(pool: Watchable) -> Attributes:
    """Return what a pool was described by."""
    return _ATTRIBUTES.get(pool, {})


def pools() -> dict[str, Watchable]:
    """Return the pools of this process by their labels, oldest first."""
    return {label: pool for label, ref in list(_POOLS.items()) if (pool := ref()) is not None}


def glance(pool: Watchable) -> PoolStats:
    """Describe a pool at about this instant, without its lock; see the module.

    Unlike ``stats`` this does not see to what finalizers left behind. Gauges are read one after the
    other, so they may disagree by what happened meanwhile.
    """
    core = pool._core
    for _ in range(_TRIES):
        before = _passages(core)
        stats = reports.snapshot(core, _clock_of(pool)())
        gone = sum(stats.closed.values()) + stats.detached
        if stats.created == gone + stats.live and before == _passages(core):
            return stats
    return reports.snapshot(core, _clock_of(pool)())


def holders(pool: Watchable, limit: int) -> list[Holder]:
    """Describe the leases that have been out for longest, without the pool's lock.

    Args:
        pool: Whose leases.
        limit: How many at most: who holds one takes a while to find out.
    """
    leased, now = pool._core.roster.leased()[:limit], _clock_of(pool)()
    return [reports.holder(pool._core, entry, now) for entry in leased]


def is_over(pool: Watchable) -> bool:
    """Tell whether a pool is closed and nothing is left of it."""
    return pool._core.over


def _passages(core: PoolCore[Any]) -> tuple[int, int]:
    """Count who has come and who has gone."""
    roster = core.roster
    return roster.created, sum(roster.closed.values()) + roster.detached


def listen(pool: Watchable, observer: Observer) -> None:
    """Have an observer told of a pool's events, from now on, beside the pool's own.

    All but ``acquired`` and ``released``: single leases are told only to the observer that a pool
    was made with, so that listening costs them nothing.
    """
    core = pool._core
    core.observer = Audience.of(core.observer).joined_by(observer)


def unlisten(pool: Watchable, observer: Observer) -> None:
    """Stop telling an observer that ``listen`` was given; one that does not listen is ignored."""
    core = pool._core
    core.observer = Audience.of(core.observer).left_by(observer)


def is_heard(pool: Watchable, observer: Observer) -> bool:
    """Tell whether an observer that ``listen`` was given listens to this pool."""
    return observer in Audience.of(pool._core.observer).others
