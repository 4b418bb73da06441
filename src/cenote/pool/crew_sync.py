"""The hands of a thread pool: short-lived daemon threads that connect, close, ping and reset.

Strategy: work waits in two lanes, connects first. A thread takes one piece at a time and, before it
begins, hires a successor if more is waiting, so that a call that hangs never holds up the next; it
ends when nothing is left. Connects are as many as the core permits; of other chores at most
``_MOST_CHORES`` are under way at once. Threads are hired by the keeper and by each other, never by
a caller (``keeper_sync.py`` says why). All fields are guarded by the pool's lock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from cenote.pool.actions import Close, Connect, Ping, Reset

T = TypeVar("T")

Work: TypeAlias = Connect | Close[T] | Ping[T] | Reset[T]

_MOST_CHORES = 16
_log = logging.getLogger("cenote.pool")


class Crew(Generic[T]):
    """The work of one pool that may block, and the threads that do it."""

    __slots__ = ("_chores", "_chores_begun", "_coming", "_connects", "_lock", "_name")

    def __init__(self, name: str, lock: threading.Lock) -> None:
        self._name = name
        self._lock = lock
        self._connects: deque[Work[T]] = deque()
        self._chores: deque[Work[T]] = deque()
        self._chores_begun = 0
        self._coming = 0  # threads hired, or done with a piece, that will take the next

    @property
    def pending(self) -> bool:
        """True while something waits for a hand."""
        return bool(self._connects or self._chores)

    def add(self, action: Work[T]) -> None:
        """Queue a piece of work, unless it is the one queued last (a caller may be interrupted)."""
        lane = self._connects if isinstance(action, Connect) else self._chores
        if not lane or lane[-1] is not action:
            lane.append(action)

    def hire(self, labour: Callable[[], None]) -> None:
        """Start a thread if work waits and nobody is on the way to it; without the lock.

        Args:
            labour: What the thread runs: ``take`` and perform, until there is nothing.
        """
        with self._lock:
            wanted = self._coming == 0 and self._ready
            self._coming += wanted
        if wanted:
            self._start(labour)

    def take(self) -> Work[T] | None:
        """Take the next piece of work; ``None``: there is none, end; under the lock."""
        self._coming -= 1
        if self._connects:
            return self._connects.popleft()
        if self._ready:
            self._chores_begun += 1
            return self._chores.popleft()
        return None

    def done(self, action: Work[T]) -> None:
        """A piece of work has ended, however; under the lock. Its thread will ``take`` again."""
        self._chores_begun -= not isinstance(action, Connect)
        self._coming += 1

    @property
    def _ready(self) -> bool:
        return bool(self._connects or (self._chores and self._chores_begun < _MOST_CHORES))

    def _start(self, labour: Callable[[], None]) -> None:
        try:
            threading.Thread(target=labour, daemon=True, name=f"{self._name}-opener").start()
        except RuntimeError:
            with self._lock:
                self._coming -= 1
            _log.warning("pool %s can start no thread to connect; will try again", self._name)
