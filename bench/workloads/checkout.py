"""Taking an idle resource and giving it back, in one thread: a pool's cost when nobody waits."""

from __future__ import annotations

from bench.workloads.slices import repeat_for

CYCLES = 2000


def prepare(factory, _place):
    cycles = factory()
    cycles(CYCLES)
    return lambda _column, seconds: _measured(cycles, seconds)


def _measured(cycles, seconds: float) -> dict[str, float]:
    count, took = repeat_for(seconds, lambda: cycles(CYCLES))
    return {"ns": took / (count * CYCLES) * 1e9}
