"""Work that is to be done later, and maybe again and again, beside what callers do (asyncio).

Strategy: a timer of the loop begins it, so nothing waits in a task; the task lives as long as the
work. Twin: ``chore_sync.py``.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger("cenote")

_AGAIN = 1.0  # seconds after work that raised, or that somebody else has cancelled


class AsyncChore:
    """Work that is done in the background.

    Args:
        work: Does it; returns the seconds until it is to be done again, None: never.
        name: What its task is called.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, float | None]], name: str) -> None:
        self._work = work
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[float | None] | None = None
        self._stopped = False

    def start(self, after: float) -> None:
        """Have the work done in ``after`` seconds, in the running loop; not after ``stop``."""
        self._loop = asyncio.get_running_loop()
        self._schedule(after)

    def stop(self) -> None:
        """Do it no more; what is under way is cancelled."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _schedule(self, after: float) -> None:
        if self._loop is not None and not self._stopped:
            # A context of its own: the caller's has nothing to do with it.
            self._timer = self._loop.call_later(after, self._begin, context=contextvars.Context())

    def _begin(self) -> None:
        if self._loop is not None:
            self._task = self._loop.create_task(self._work(), name=self._name)
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[float | None]) -> None:
        self._task = None
        if task.cancelled():
            self._schedule(_AGAIN)
        elif error := task.exception():
            _log.error("%s failed; it is tried again", self._name, exc_info=error)
            self._schedule(_AGAIN)
        elif (pause := task.result()) is not None:
            self._schedule(pause)
