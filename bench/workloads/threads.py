"""Threads that share one client: each gets keys as fast as it can; the slowest get is kept too.

Threads live as long as the process, so that a pool of a connection a thread keeps its connections.
"""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter

from bench.adapters.verbs import Place, Verbs

KEYS = 1000
MOST_THREADS = 32


def prepare(factory, place: Place):
    return Threads(factory(place), f"bench:{os.getpid()}:").run


class Threads:
    def __init__(self, verbs: Verbs, prefix: str) -> None:
        self.verbs = verbs
        self.keys = [f"{prefix}{n:05d}" for n in range(KEYS)]
        self.workers = ThreadPoolExecutor(MOST_THREADS)
        value = b"x" * 100
        for key in self.keys:
            verbs.set(key, value)
        assert verbs.get(self.keys[0]) == value

    def run(self, column: str, seconds: float) -> dict[str, float]:
        threads = int(column.split(maxsplit=1)[0])
        gc.collect()
        barrier = Barrier(threads)
        done = list(self.workers.map(lambda n: self._hammer(barrier, n, seconds), range(threads)))
        rate = sum(count for count, _ in done) / seconds
        return {"rate": rate, "longest_ms": max(longest for _, longest in done) * 1e3}

    def _hammer(self, barrier: Barrier, number: int, seconds: float) -> tuple[int, float]:
        get = self.verbs.get
        keys = self.keys[number * 7 :] + self.keys[: number * 7]
        count, longest = 0, 0.0
        barrier.wait()
        before = perf_counter()
        end = before + seconds
        while True:
            for key in keys:
                get(key)
                now = perf_counter()
                longest = max(longest, now - before)
                before = now
                count += 1
                if now >= end:
                    return count, longest
