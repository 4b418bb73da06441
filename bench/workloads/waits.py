"""What single requests of asyncio tasks wait: the 99th percentile, alone and beside long values.

Each task times each of its operations, which costs every contender the same.
"""

from __future__ import annotations

import asyncio
import gc
from itertools import cycle
from statistics import quantiles
from time import perf_counter

from bench.adapters.verbs import AsyncVerbs, Place
from bench.workloads.tasks import Tasks, runner_of

LONG = b"x" * 1_000_000
LONG_TASKS = 2
SMALL = {"get": 0.0, "90/10": 0.1, "get beside 1 MB": 0.0}


def prepare(factory, place: Place):
    return runner_of(factory, place, Waits)


class Waits(Tasks):
    """Columns are ``"256 tasks, 90/10"``, or end in ``beside 1 MB``.

    These are measured alone first, then beside tasks that set and get long values.
    """

    async def run(self, column: str, seconds: float) -> dict[str, float]:
        tasks, mix = int(column.split(maxsplit=1)[0]), column.rpartition(", ")[2]
        if not mix.endswith("beside 1 MB"):
            return {"p99_ms": await self._p99(tasks, SMALL[mix], seconds, 0)}
        alone = await self._p99(tasks, SMALL[mix], seconds, 0)
        beside = await self._p99(tasks, SMALL[mix], seconds, LONG_TASKS)
        return {"p99_ms": beside, "times_alone": beside / alone}

    async def _p99(self, tasks: int, share_of_sets: float, seconds: float, long: int) -> float:
        schedules = [self._schedule(share_of_sets) for _ in range(tasks)]
        gc.collect()
        self.running = True
        asyncio.get_running_loop().call_later(seconds, self._stop)
        heavy = [asyncio.create_task(self._carry(number)) for number in range(long)]
        waits = await asyncio.gather(*map(self._timed, schedules))
        await asyncio.gather(*heavy)
        return quantiles([wait for one in waits for wait in one], n=100)[98] * 1e3

    async def _timed(self, schedule) -> list[float]:
        verbs: AsyncVerbs = self.verbs
        waits = []
        for key, is_set in cycle(schedule):
            if not self.running:
                return waits
            began = perf_counter()
            if is_set:
                await verbs.set(key, self.value)
            else:
                await verbs.get(key)
            waits.append(perf_counter() - began)
        return waits

    async def _carry(self, number: int) -> None:
        key = f"bench:long:{number}"
        name = key.encode() if self.verbs.bytes_keys else key
        while self.running:
            await self.verbs.set(name, LONG)
            assert len(self.verbs.value_of(await self.verbs.get(name)) or b"") == len(LONG)
