"""8 workers, 4 resources, each held for 0.5 ms: who waits longest, and how much gets done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter, sleep

from bench.adapters.verbs import Checkout

WORKERS = 8
RESOURCES = 4
HELD = 0.0005


def prepare(factory, _place):
    checkout = factory(RESOURCES)
    executor = ThreadPoolExecutor(WORKERS)
    return lambda _column, seconds: _measured(checkout, executor, seconds)


def _measured(checkout: Checkout, executor: ThreadPoolExecutor, seconds: float):
    barrier = Barrier(WORKERS)
    done = list(executor.map(lambda _: _work(checkout, barrier, seconds), range(WORKERS)))
    return {
        "rate": sum(count for count, _ in done) / seconds,
        "longest_ms": max(longest for _, longest in done) * 1e3,
    }


def _work(checkout: Checkout, barrier: Barrier, seconds: float) -> tuple[int, float]:
    acquire, release = checkout.acquire, checkout.release
    count, longest = 0, 0.0
    barrier.wait()
    before = perf_counter()
    end = before + seconds
    while before < end:
        resource = acquire()
        longest = max(longest, perf_counter() - before)
        sleep(HELD)
        release(resource)
        count += 1
        before = perf_counter()
    return count, longest
