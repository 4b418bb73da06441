"""Calls made at the same time, from threads. ``together_aio.py`` has the same for tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.patience import until

__all__ = ["Gate", "together", "until"]

T = TypeVar("T")

Gate = threading.Event


def together(*calls: Callable[[], T]) -> list[T]:
    """Make the calls at the same time; return their results in order, or raise the first error."""
    with ThreadPoolExecutor(len(calls)) as executor:
        return [future.result() for future in [executor.submit(call) for call in calls]]
