"""Whose lines are no place to borrow from: cenote's own, and those of the libraries it works in.

Strategy: where a lease was borrowed is the innermost line of somebody else: of the user, who called
an engine or a session, which called an integration, which called the pool. Frames are told apart by
the package of their module, and what is known of a package is remembered, so that going through a
stack is one look into a dictionary for each frame. Code that was made at run time may belong to no
package, or not even to a module; then it is passed over too.

``cenote.cli`` is a user like any other.
"""

from __future__ import annotations

from types import FrameType

_LIBRARIES = {"cenote"}
_USER = ["cenote", "cli"]

KNOWN: dict[str, bool] = {}
"""Whether the frames of a package or module are passed over; filled by ``is_library``."""


def pass_over(*libraries: str) -> None:
    """Pass over the frames of libraries that an integration works in, named by their packages."""
    _LIBRARIES.update(libraries)
    KNOWN.clear()


def is_library(name: str) -> bool:
    """Say of a package or module whether its frames are passed over, and remember it."""
    names = name.split(".")
    KNOWN[name] = names[0] in _LIBRARIES and names[:2] != _USER
    return KNOWN[name]


def borrower(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame, from this one on, that is not passed over."""
    while frame is not None and _is_passed_over(frame):
        frame = frame.f_back
    return frame


def _is_passed_over(frame: FrameType) -> bool:
    namespace = frame.f_globals
    name = namespace.get("__package__") or namespace.get("__name__")
    if not isinstance(name, str):
        return True
    known = KNOWN.get(name)
    return is_library(name) if known is None else known
