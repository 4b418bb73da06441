"""As ``checkout``, in asyncio: one task, so nothing is ever waited for."""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter

CYCLES = 2000


def prepare(factory, _place):
    runner = asyncio.Runner()
    cycles = runner.run(factory())
    runner.run(cycles(CYCLES))
    return lambda _column, seconds: runner.run(_measured(cycles, seconds))


async def _measured(cycles, seconds: float) -> dict[str, float]:
    gc.collect()
    count = 0
    started = now = perf_counter()
    while now < started + seconds:
        await cycles(CYCLES)
        count += CYCLES
        now = perf_counter()
    return {"ns": (now - started) / count * 1e9}
