"""Work that is to be done later, and maybe again and again, beside what callers do (threads).

Strategy: the process's keeper, which looks after the pools, counts the time of chores too. When one
is due it is given a thread that lives as long as the work; no chore has a thread that waits. Twin:
``chore_aio.py``.

A forked child has no keeper, and none of the parent's chores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from cenote.pool.keeper_sync import KEEPER

_log = logging.getLogger("cenote")

_AGAIN = 1.0  # seconds after work that raised


class Chore:
    """Work that is done in the background; whoever wants it done holds on to the chore.

    Args:
        work: Does it; returns the seconds until it is to be done again, None: never.
        name: What it is called in the log.
    """

    def __init__(self, work: Callable[[], float | None], name: str) -> None:
        self._work = work
        self._name = name
        self._due: float | None = None  # None: not to be done, or under way
        self._stopped = False

    def start(self, after: float) -> None:
        """Have the work done in ``after`` seconds, in another thread; not after ``stop``."""
        self._schedule(after)

    def stop(self) -> None:
        """Do it no more; what is under way goes on to its end."""
        self._stopped = True
        KEEPER.poke()

    def visit(self) -> float | None:
        """Called by the keeper: have the work done if it is due; see ``Kept``."""
        due = self._due
        if due is None or self._stopped:
            return None
        left = due - monotonic()
        if left > 0:
            return left
        self._due = None
        KEEPER.adopt(self._do)
        return None

    def _schedule(self, after: float) -> None:
        if not self._stopped:
            self._due = monotonic() + after
            KEEPER.call(self)

    def _do(self) -> None:
        if self._stopped:
            return
        try:
            pause = self._work()
        except Exception:  # noqa: BLE001 - whatever it is: it is told, and tried again
            _log.exception("%s failed; it is tried again", self._name)
            pause = _AGAIN
        if pause is not None:
            self._schedule(pause)
