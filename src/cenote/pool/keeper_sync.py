"""The one thread that looks after all thread pools of the process.

Strategy: it sleeps until the earliest pool is due or somebody pokes it, then visits every pool. It
starts with the first pool that has something to keep and ends with the last, holds pools weakly, and
runs nothing that may block: connecting and closing is the crew's. ``poke`` is safe in finalizers: it
releases a raw lock and does nothing else, so it can neither block nor deadlock wherever it runs.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("cenote.pool")

_FOREVER = threading.TIMEOUT_MAX


class Kept(Protocol):
    """What the keeper looks after."""

    def visit(self) -> float | None:
        """Do what is due; returns the seconds until the next visit, ``None``: keep me no longer."""


class Keeper:
    """See the module. ``_lock`` guards starting and ending; finalizers never take it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: in a forked child no thread of the parent is left."""
        self._lock = threading.Lock()
        self._alarm = threading.Lock()
        self._kept: weakref.WeakSet[Kept] = weakref.WeakSet()
        self._orphans: deque[Callable[[], None]] = deque()
        self._running = False
        self._alarm.acquire()

    def keep(self, pool: Kept) -> None:
        """Look after a pool from now on."""
        with self._lock:
            self._kept.add(pool)
            start = not self._running
            self._running = True
        if start:
            self._start()
        self.poke()

    def poke(self) -> None:
        """Have every pool visited soon. Never blocks; safe anywhere."""
        try:
            self._alarm.release()
        except RuntimeError:
            return  # it is ringing already

    def adopt(self, farewell: Callable[[], None]) -> None:
        """Run what a dropped pool left to do, on a thread of its own. Never blocks; safe anywhere."""
        self._orphans.append(farewell)
        self.poke()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, daemon=True, name="cenote-keeper").start()
        except RuntimeError:
            self._running = False
            raise

    def _run(self) -> None:
        while True:
            pause = self._visit_all()
            if self._ends():
                return
            self._alarm.acquire(timeout=min(pause, _FOREVER))

    def _visit_all(self) -> float:
        while self._orphans:
            farewell = self._orphans.popleft()
            threading.Thread(target=farewell, daemon=True, name="cenote-farewell").start()
        with self._lock:
            kept = list(self._kept)
        return min(map(self._visit, kept), default=_FOREVER)

    def _visit(self, pool: Kept) -> float:
        try:
            pause = pool.visit()
        except Exception:
            _log.exception("upkeep of %r failed; it is tried again in a second", pool)
            return 1.0
        if pause is None:
            with self._lock:
                self._kept.discard(pool)
            return _FOREVER
        return max(0.0, pause)

    def _ends(self) -> bool:
        with self._lock:
            if not self._kept and not self._orphans:
                self._running = False
            return not self._running


KEEPER = Keeper()
