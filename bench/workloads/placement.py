"""Finding the server of a key: what a client of several servers adds to every request."""

from __future__ import annotations

from bench.workloads.slices import repeat_for

KEYS = [f"user:{number}:profile" for number in range(100)]
SERVERS = [f"10.0.0.{number}:11211" for number in range(10)]


def prepare(factory, _place):
    step = factory(SERVERS, KEYS)
    return lambda _column, seconds: _measured(step, seconds)


def _measured(step, seconds: float) -> dict[str, float]:
    count, took = repeat_for(seconds, step)
    return {"ns": took / (count * len(KEYS)) * 1e9}
