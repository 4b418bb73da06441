"""Calls made at the same time, from tasks. ``together_sync.py`` has the same for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.patience import LONG

T = TypeVar("T")


class Gate(asyncio.Event):
    """Closed until ``set``."""


async def together(*calls: Callable[[], Awaitable[T]]) -> list[T]:
    """Make the calls at the same time; return their results in order, or raise the first error."""
    return await asyncio.gather(*(call() for call in calls))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another task, thread or process does."""
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - what is tested tells nobody
            await asyncio.sleep(0.002)
