"""asyncio tasks that share one client: gets, sets, or nine to one, over 10,000 keys."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from itertools import cycle
from time import perf_counter

from bench.adapters.verbs import AsyncVerbs, Place

KEYS = 10_000
SCHEDULE = 500
BATCH = 100
VALUE = b"x" * 100
SHARE_OF_SETS = {"get": 0.0, "90/10": 0.1, "set": 1.0}


def prepare(factory, place: Place):
    return runner_of(factory, place, Tasks)


def runner_of(factory, place: Place, kind: type[Tasks]):
    """Return what runs a slice of one kind of work, on a loop that lives as long as the process."""
    runner = asyncio.Runner(loop_factory=_loop_factory())
    work = kind(os.getpid())
    runner.run(work.open(factory, place))
    return lambda column, seconds: runner.run(work.run(column, seconds))


def _loop_factory():
    if os.environ.get("BENCH_LOOP") != "uvloop":
        return None
    import uvloop  # noqa: PLC0415 - only for the rows that ask for it

    return uvloop.new_event_loop


class Tasks:
    value = VALUE

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.keys: list[str] | list[bytes] = [f"bench:{seed}:{n:05d}" for n in range(KEYS)]
        self.verbs: AsyncVerbs
        self.running = False

    async def open(self, factory, place: Place) -> None:
        self.verbs = await factory(place)
        if self.verbs.bytes_keys:
            self.keys = [key.encode() for key in self.keys]
        for start in range(0, KEYS, BATCH):
            batch = self.keys[start : start + BATCH]
            await asyncio.gather(*(self.verbs.set(key, VALUE) for key in batch))
        assert self.verbs.value_of(await self.verbs.get(self.keys[-1])) == VALUE

    async def run(self, column: str, seconds: float) -> dict[str, float]:
        tasks, mix = int(column.split(maxsplit=1)[0]), column.rpartition(", ")[2]
        schedules = [self._schedule(SHARE_OF_SETS[mix]) for _ in range(tasks)]
        gc.collect()
        self.running = True
        started = perf_counter()
        asyncio.get_running_loop().call_later(seconds, self._stop)
        counts = await asyncio.gather(*map(self._hammer, schedules))
        return {"rate": sum(counts) / (perf_counter() - started)}

    def _stop(self) -> None:
        self.running = False

    def _schedule(self, share_of_sets: float):
        keys = self.rng.choices(self.keys, k=SCHEDULE)
        return [(key, self.rng.random() < share_of_sets) for key in keys]

    async def _hammer(self, schedule) -> int:
        get, set_ = self.verbs.get, self.verbs.set
        count = 0
        for key, is_set in cycle(schedule):
            if not self.running:
                return count
            if is_set:
                await set_(key, VALUE)
            else:
                await get(key)
            count += 1
        return count
