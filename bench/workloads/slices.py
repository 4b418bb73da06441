"""A slice of work: repeat a step for some time, and count."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter


def repeat_for(seconds: float, step: Callable[[], object]) -> tuple[int, float]:
    """Repeat ``step`` until the time is over; return how often, and the seconds it took."""
    gc.collect()
    count = 0
    started = now = perf_counter()
    end = started + seconds
    while now < end:
        step()
        count += 1
        now = perf_counter()
    return count, now - started
