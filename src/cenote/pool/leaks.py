"""Who holds a lease for too long, and where it was borrowed.

Strategy: nothing of this exists unless it was asked for (``leak_after``): then each entry has a
``Site``. Where a lease begins is noted there as a place in the code, and only put into words when
somebody wants to read it. A leak is reported once while it lasts and once when it ends.
"""

from __future__ import annotations

from types import CodeType, FrameType

from cenote.pool.instruments import Site

CALLED_BY = " < "
_DEPTH = 5  # frames of a stack that are told


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
    noted = None if site is None else site.noted()
    if noted is None:
        return ""
    code, instruction = noted
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return _words(code, next(lines, None) or code.co_firstlineno)


def _borrower(frame: FrameType | None) -> FrameType | None:
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame


def _words(code: CodeType, line: int) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{line}"
