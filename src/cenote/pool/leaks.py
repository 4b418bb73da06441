"""Who holds a lease for too long, and where it was borrowed.

Strategy: nothing of this exists unless it was asked for (``leak_after``, an observer, histograms):
then the stack has a ``Watchman``, which sees every lease begin. Where it begins is noted as a place
in the code, and only put into words when somebody wants to read it. A leak is reported once while
it lasts and once when it ends.
"""

from __future__ import annotations

import sys
from functools import partial
from types import CodeType, FrameType
from typing import TypeAlias, TypeVar

from cenote.pool.fast_path import Entry
from cenote.pool.observer import Observer, tell

T = TypeVar("T")

CALLED_BY = " < "
_DEPTH = 5  # frames of a stack that are told

Site: TypeAlias = tuple[CodeType, int]
"""A place in the code: a code object and the offset of an instruction in it."""


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
            frame = _borrower(sys._getframe(1))
            entry.site = None if frame is None else (frame.f_code, frame.f_lasti)
        if self._observer is not None:
            tell(partial(self._observer.acquired, self._name, waited))


def place(frame: FrameType | None) -> str:
    """Return a stack as ``file:line < file:line``, from the innermost frame not the pool's own."""
    places: list[str] = []
    frame = _borrower(frame)
    while frame is not None and len(places) < _DEPTH:
        places.append(_words(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return CALLED_BY.join(places)


def borrowed_at(site: Site | None) -> str:
    """Return ``file:line`` of where a lease was taken; empty if that was not noted."""
    if site is None:
        return ""
    code, instruction = site
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return _words(code, next(lines, None) or code.co_firstlineno)


def _borrower(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame


def _words(code: CodeType, line: int) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{line}"
