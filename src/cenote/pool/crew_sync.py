"""The hands of a thread pool: short-lived daemon threads that connect, close, ping and reset.

Strategy: work waits in a lane for each kind. A thread takes one piece at a time, from the first
lane that is open, and, before it begins, hires a successor if more is waiting, so that a call that
hangs never holds up the next; it ends when nothing is left. Connects are as many as the core
permits; of every other kind at most ``_MOST`` are under way at once, so that what hangs in one kind
never holds up another. Threads are hired by the keeper and by each other, never by a caller
(``keeper_sync.py`` says why). All fields are guarded by the pool's lock.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from cenote.pool.actions import Close, Connect, Ping, Reset

T = TypeVar("T")

Work: TypeAlias = Connect | Close[T] | Ping[T] | Reset[T]

_MOST = 16
_log = logging.getLogger("cenote.pool")


class Lane(Generic[T]):
    """Work of one kind.

    Attributes:
        waiting: What nobody has begun yet.
        begun: How many pieces are under way.
        most: How many may be.
    """

    __slots__ = ("begun", "most", "waiting")

    def __init__(self, most: float) -> None:
        self.waiting: deque[Work[T]] = deque()
        self.begun = 0
        self.most = most

    @property
    def ready(self) -> bool:
        """True while something waits that may be begun."""
        return bool(self.waiting) and self.begun < self.most


class Crew(Generic[T]):
    """The work of one pool that may block, and the threads that do it."""

    __slots__ = ("_coming", "_lanes", "_lock", "_name")

    def __init__(self, name: str, lock: threading.Lock) -> None:
        self._name = name
        self._lock = lock
        self._lanes: dict[type[Work[T]], Lane[T]] = {
            Connect: Lane(math.inf), Reset: Lane(_MOST), Ping: Lane(_MOST), Close: Lane(_MOST),
        }  # fmt: skip
        self._coming = 0  # threads hired, or done with a piece, that will take the next

    @property
    def pending(self) -> bool:
        """True while something waits for a hand."""
        for lane in self._lanes.values():  # noqa: SIM110 -- a generator would cost every release
            if lane.waiting:
                return True
        return False

    def add(self, action: Work[T]) -> None:
        """Queue a piece of work, unless it is the one queued last (a caller may be interrupted)."""
        waiting = self._lanes[type(action)].waiting
        if not waiting or waiting[-1] is not action:
            waiting.append(action)

    def hire(self, labour: Callable[[], None]) -> None:
        """Start a thread if work waits and nobody is on the way to it; without the lock.

        Args:
            labour: What the thread runs: ``take`` and perform, until there is nothing.
        """
        with self._lock:
            wanted = self._coming == 0 and self._ready is not None
            self._coming += wanted
        if wanted:
            self._start(labour)

    def take(self) -> Work[T] | None:
        """Take the next piece of work; ``None``: there is none, end; under the lock."""
        self._coming -= 1
        lane = self._ready
        if lane is None:
            return None
        lane.begun += 1
        return lane.waiting.popleft()

    def done(self, action: Work[T]) -> None:
        """A piece of work has ended, however; under the lock. Its thread will ``take`` again."""
        self._lanes[type(action)].begun -= 1
        self._coming += 1

    @property
    def _ready(self) -> Lane[T] | None:
        return next((lane for lane in self._lanes.values() if lane.ready), None)

    def _start(self, labour: Callable[[], None]) -> None:
        try:
            threading.Thread(target=labour, daemon=True, name=f"{self._name}-opener").start()
        except RuntimeError:
            with self._lock:
                self._coming -= 1
            _log.warning("pool %s can start no thread to connect; will try again", self._name)
