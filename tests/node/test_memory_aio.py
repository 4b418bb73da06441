"""A long run of requests leaves memory as it was, and costs neither tasks, timers nor cycles."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from cenote.client.aio import AsyncClient
from cenote.node.aio import AsyncNode
from cenote.protocol import get
from cenote.testing.memcached import MemcachedServer
from tests.node.peer import until, world
from tests.node.worlds import soon

FULL = os.environ.get("CENOTE_PROOF") == "1"
REQUESTS = 1_000_000 if FULL else 20_000
TASKS = 50
GROWTH = 100_000  # bytes: less than a byte for every request of the full form


async def use(client: AsyncClient, requests: int) -> None:
    """Have some tasks read and write, and some of them leave before they are answered."""

    async def work(number: int) -> None:
        key = f"key{number}"
        for turn in range(requests // TASKS // 2):
            await client.set(key, turn)
            if turn % 50 == 0:
                leaving = asyncio.create_task(client.get(key))
                await asyncio.sleep(0)
                leaving.cancel()
            assert await client.get(key) == turn

    await asyncio.gather(*[work(number) for number in range(TASKS)])


@pytest.mark.proof
@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_memory_is_steady(
    server: MemcachedServer, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def measure() -> int:
        async with AsyncClient(server.url, timeout=60.0) as client:
            await use(client, 5_000)
            gc.collect()
            tracemalloc.start()
            await use(client, 5_000)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            await use(client, REQUESTS)
            tracemalloc.start()
            await use(client, 5_000)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
            return after - before

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(measure()) < GROWTH
    finally:
        tracemalloc.stop()


@contextmanager
def nothing_for_the_collector() -> Iterator[None]:
    """Fail if anything of cenote's is left in a reference cycle."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = [each for each in gc.garbage if type(each).__module__.startswith("cenote")]
        assert not found, f"in cycles: {found[:5]}"
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def ask(node: AsyncNode, key: bytes) -> asyncio.Future[object]:
    return node.request(get(key), soon())  # type: ignore[return-value]


async def test_a_request_leaves_no_reference_cycle(tmp_path: Path) -> None:
    """Neither one that is answered, nor one that is cancelled, late, refused, or lost."""
    async with world(tmp_path, max_waiting=40) as (peer, node):
        await ask(node, b"warm")

        async def caller(key: bytes) -> object:
            return await ask(node, key)

        with nothing_for_the_collector():
            tasks = [asyncio.create_task(caller(b"k%d" % n)) for n in range(100)]
            await asyncio.sleep(0)
            for each in tasks[::2]:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            peer.eager = False
            tasks = [asyncio.create_task(caller(b"k%d" % n)) for n in range(30)]
            await until(lambda: any(link.unanswered == 30 for link in peer.links))
            peer.eager = True
            peer.hang_up()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: not node.pool.stats().used)
            del tasks


@pytest.mark.asyncio(loop_factories=["asyncio"])  # uvloop's methods can not be watched
async def test_a_request_costs_neither_a_task_nor_a_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks makes his own task, if any; one timer a connection looks at all deadlines."""
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at

    def watched(when: float, *args: object, **options: object) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", watched)
    async with world(tmp_path) as (_, node):
        await ask(node, b"warm")
        timers.clear()
        tasks = len(asyncio.all_tasks())
        for _ in range(100):
            asked = [ask(node, b"k%d" % n) for n in range(50)]
            assert len(asyncio.all_tasks()) == tasks
            for each in asked:
                await each
        assert len(timers) <= 2
