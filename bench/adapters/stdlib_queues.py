"""The standard library's queues, as many a program uses them for a pool: they check nothing."""

from __future__ import annotations

import asyncio
from queue import LifoQueue, Queue, SimpleQueue

from bench.adapters.verbs import Checkout


def _filled(queue, size: int):
    for number in range(size):
        queue.put(number)
    return queue


def _cycles(queue):
    get, put = queue.get, queue.put

    def cycles(count: int) -> None:
        for _ in range(count):
            put(get())

    return cycles


def simple_queue():
    return _cycles(_filled(SimpleQueue(), 4))


def lifo_queue():
    return _cycles(_filled(LifoQueue(), 4))


def fair_simple(size: int) -> Checkout:
    queue = _filled(SimpleQueue(), size)
    return Checkout(queue.get, queue.put)


def fair_lifo(size: int) -> Checkout:
    queue = _filled(LifoQueue(), size)
    return Checkout(queue.get, queue.put)


def fair_fifo(size: int) -> Checkout:
    queue = _filled(Queue(), size)
    return Checkout(queue.get, queue.put)


async def async_lifo_queue():
    queue: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    for number in range(4):
        queue.put_nowait(number)
    get, put = queue.get, queue.put_nowait

    async def cycles(count: int) -> None:
        for _ in range(count):
            put(await get())

    return cycles


CONTENDERS = {
    "checkout": {"queue.SimpleQueue": simple_queue, "queue.LifoQueue": lifo_queue},
    "async checkout": {"asyncio.LifoQueue": async_lifo_queue},
    "fairness": {
        "queue.SimpleQueue": fair_simple,
        "queue.LifoQueue": fair_lifo,
        "queue.Queue": fair_fifo,
    },
}
