"""Calls made at the same time, from tasks. ``together_sync.py`` has the same for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Gate(asyncio.Event):
    """Closed until ``set``."""


async def together(*calls: Callable[[], Awaitable[T]]) -> list[T]:
    """Make the calls at the same time; return their results in order, or raise the first error."""
    return await asyncio.gather(*(call() for call in calls))
