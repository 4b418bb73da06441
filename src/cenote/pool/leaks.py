"""Who holds a lease for too long, and where it was borrowed.

Strategy: nothing of this exists unless it was asked for (``leak_after``): then each entry has a
``Site``. Where a lease begins is noted there as a place in the code, and only put into words when
somebody wants to read it. A leak is reported once while it lasts and once when it ends.
"""

from __future__ import annotations

import os
import sys
from traceback import StackSummary, walk_stack
from types import CodeType, FrameType

from cenote.pool.instruments import Site
from cenote.pool.passed_over import borrower

CALLED_BY = " < "
_DEPTH = 5  # frames of a stack that are told


class Tracing:
    """Whether whole stacks are kept; see ``debug.py``.

    Attributes:
        everywhere: In every pool, those to be made included.
    """

    def __init__(self) -> None:
        self.everywhere = os.environ.get("CENOTE_POOL_DEBUG", "") not in ("", "0")


TRACING = Tracing()


def place(*stack: FrameType | None) -> str:
    """Return a stack as ``file:line < file:line``, from the innermost frame not passed over.

    Args:
        stack: That frame; of a task that sleeps, whose frames do not know each other, all of them,
            innermost first.
    """
    places: list[str] = []
    for innermost in stack:
        frame = borrower(innermost)
        while frame is not None and len(places) < _DEPTH:
            places.append(_words(frame.f_code, frame.f_lineno))
            frame = frame.f_back
    return CALLED_BY.join(places)


def trace() -> StackSummary:
    """Return the whole stack of the caller, outermost call first; its lines are read when asked."""
    frames = list(walk_stack(borrower(sys._getframe(1))))
    return StackSummary.extract(reversed(frames), lookup_lines=False)


def in_words(trail: tuple[int, object] | None, uses: int) -> str:
    """Write the trail of a lease as a traceback; empty if it was not kept."""
    if trail is None or trail[0] != uses or not isinstance(trail[1], StackSummary):
        return ""
    return "".join(trail[1].format())


def borrowed_at(site: Site | None) -> str:
    """Return ``file:line`` of where a lease was taken; empty if that was not noted."""
    noted = None if site is None else site.noted()
    if noted is None:
        return ""
    code, instruction = noted
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return _words(code, next(lines, None) or code.co_firstlineno)


def _words(code: CodeType, line: int) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{line}"
