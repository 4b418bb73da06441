"""What to say of a name that is not known, where another one is close.

This module imports nothing of cenote, and every layer may import it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """Return ``" (did you mean ...?)"`` when a legal name is close, else nothing."""
    close = get_close_matches(name, list(legal), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
