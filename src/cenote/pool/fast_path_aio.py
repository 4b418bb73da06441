"""The asyncio fast path in use: compiled where it was built, else the same file as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.pool._fast_aio_c"):
    from cenote.pool.fast_aio import AsyncFront, AsyncKeyedFront, AsyncLease
else:
    from cenote.pool._fast_aio_c import AsyncFront, AsyncKeyedFront, AsyncLease

__all__ = ["AsyncFront", "AsyncKeyedFront", "AsyncLease"]
