"""Warning of values that can not be read, without keeping a list of them for ever.

Strategy: `warnings.warn` notes every text in the registry of the module that is warned of, so that
none is shown twice; where texts hold keys that grows with every key. So the registry is one of our
own, and begins anew when it is full: some are then shown again.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import UnknownFlagsWarning
from cenote.pool.passed_over import borrower

if TYPE_CHECKING:
    from types import FrameType

MOST: Final = 1000
"""Texts that are remembered."""

_REGISTRY: Final[dict[Any, Any]] = {}


def warn(text: str) -> None:
    """Warn as `warnings.warn` does, of the innermost line that is not cenote's."""
    if len(_REGISTRY) >= MOST:
        _REGISTRY.clear()
    caller = sys._getframe(1)  # noqa: SLF001 - there is no other way to say where
    frame = borrower(caller) or caller
    warnings.warn_explicit(
        text,
        UnknownFlagsWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        _module_of(frame),
        _REGISTRY,
    )


def _module_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "<unknown>")
    return name
