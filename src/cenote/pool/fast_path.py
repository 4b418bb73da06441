"""The fast path in use: compiled where it was built, else the same file as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.pool._fast_c"):
    from cenote.pool.fast import Entry, IdleStack
else:
    from cenote.pool._fast_c import Entry, IdleStack

__all__ = ["Entry", "IdleStack"]
