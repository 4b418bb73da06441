"""Who holds a lease for too long, and where it was borrowed.

Strategy: nothing of this exists unless it was asked for (``leak_after``, an observer, histograms):
then the stack has a ``Watchman``, which sees every lease begin, and every release takes the slow
path. A leak is reported once while it lasts and once when it ends.
"""

from __future__ import annotations

import sys
from functools import partial
from types import FrameType
from typing import TypeVar

from cenote.pool.fast_path import Entry
from cenote.pool.observer import Observer, tell

T = TypeVar("T")

_HERE = __name__.rpartition(".")[0]


class Watchman:
    """Notes where leases are taken, and announces them; runs in the caller, without the lock."""

    __slots__ = ("_name", "_observer", "_sites")

    def __init__(self, name: str, observer: Observer | None, *, sites: bool) -> None:
        self._name = name
        self._observer = observer
        self._sites = sites

    def taken(self, entry: Entry[T], waited: float) -> None:
        """An entry was leased after waiting so long."""
        if self._sites:
            entry.site = place(sys._getframe(1))
        if self._observer is not None:
            tell(partial(self._observer.acquired, self._name, waited))


def place(frame: FrameType | None) -> str:
    """Return ``file:line`` of the innermost frame that is not the pool's own."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_HERE):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
