"""The fast path for threads in use: compiled where it was built, else the same file as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.pool._fast_sync_c"):
    from cenote.pool.fast_sync import Front, KeyedFront, Lease
else:
    from cenote.pool._fast_sync_c import Front, KeyedFront, Lease

__all__ = ["Front", "KeyedFront", "Lease"]
