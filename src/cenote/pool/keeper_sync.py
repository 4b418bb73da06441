"""The one thread that looks after all thread pools of the process.

Strategy: it sleeps until the earliest pool is due or somebody calls, then visits whom that
concerns. It starts with the first pool that needs it and leaves with the last, holds pools weakly
(but for one that was closed and has connections to close yet, until their threads hold it), and
runs nothing that may block: what may, it hires threads for.

Only it starts threads, never a caller: an exception sent to a thread that is just starting another
can strike the newborn instead, and ``Thread.start`` then waits for it for ever. So the keeper
itself is started by a raw thread nobody waits for, and whoever waits for a connection calls again
in a while.

``call`` and ``poke`` append to a queue and release a raw lock, nothing else: they can neither block
nor deadlock wherever they run, so a finalizer may use them.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("cenote.pool")

_RETRY = 1.0  # seconds after a visit that failed, or a thread that could not be had


class Kept(Protocol):
    """What the keeper looks after."""

    def visit(self) -> float | None:
        """Do what is due; returns the seconds until the next visit, ``None``: keep me no longer."""


class Keeper:
    """See the module. ``_lock`` guards ``_due`` and ``_running``; finalizers never take it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: in a forked child no thread of the parent is left."""
        self._lock = threading.Lock()
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._due: weakref.WeakKeyDictionary[Kept, float] = weakref.WeakKeyDictionary()
        self._calls: deque[Callable[[], Kept | None]] = deque()
        self._orphans: deque[Callable[[], None]] = deque()
        self._poked = False
        self._running = False

    def call(self, pool: Kept, *, hold: bool = False) -> None:
        """Have a pool visited soon, and kept from now on. Not for finalizers.

        Args:
            pool: The pool.
            hold: It may be dropped before the visit, and has work that is to be done all the same.
        """
        self._calls.append((lambda: pool) if hold else weakref.ref(pool))
        self._ring()
        if not self._running:
            with contextlib.suppress(RuntimeError):  # no thread can be had now; callers call again
                _thread.start_new_thread(self._launch, ())

    def poke(self) -> None:
        """Have every kept pool visited soon. Never blocks; safe anywhere."""
        self._poked = True
        self._ring()

    def adopt(self, farewell: Callable[[], None]) -> None:
        """Run what a dropped pool left to do, in a thread. Never blocks; safe anywhere."""
        self._orphans.append(farewell)
        self._ring()

    def _ring(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:
            return  # it is ringing already

    def _launch(self) -> None:
        with self._lock:
            if self._running:
                return
            self._running = True
        try:
            threading.Thread(target=self._run, daemon=True, name="cenote-keeper").start()
        except RuntimeError:
            self._running = False  # no thread can be had now; the next call tries again

    def _run(self) -> None:
        try:
            self._keep()
        except BaseException:
            self._running = False  # the next call starts another
            raise

    def _keep(self) -> None:
        while True:
            self._send_off()
            self._visit_those_due()
            pause = self._pause()
            if pause is None:
                return
            self._alarm.acquire(timeout=min(pause, threading.TIMEOUT_MAX))

    def _send_off(self) -> None:
        while self._orphans:
            farewell = self._orphans.popleft()
            try:
                threading.Thread(target=farewell, daemon=True, name="cenote-farewell").start()
            except RuntimeError:
                self._orphans.appendleft(farewell)
                return  # no thread can be had now; it is tried again

    def _visit_those_due(self) -> None:
        for pool in self._concerned():
            self._visit(pool)

    def _concerned(self) -> set[Kept]:
        everybody, self._poked = self._poked, False
        now = time.monotonic()
        with self._lock:
            concerned = {pool for pool, due in self._due.items() if everybody or due <= now}
        while self._calls:
            pool = self._calls.popleft()()
            if pool is not None:
                concerned.add(pool)
        return concerned

    def _visit(self, pool: Kept) -> None:
        try:
            pause = pool.visit()
        except BaseException:
            _log.exception("upkeep of %r failed; it is tried again in a second", pool)
            pause = _RETRY
        with self._lock:
            if pause is None:
                self._due.pop(pool, None)
            else:
                self._due[pool] = time.monotonic() + pause

    def _pause(self) -> float | None:
        """How long to sleep; ``None``: nothing is left to keep, the thread must end."""
        with self._lock:
            if not self._due and not self._calls and not self._orphans:
                self._running = False
                return None
            now = time.monotonic()
            soonest = min(self._due.values(), default=now)
            return max(0.0, min(soonest, now + _RETRY) - now if self._orphans else soonest - now)


KEEPER = Keeper()
