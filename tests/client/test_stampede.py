"""One computation for a whole machine: threads, tasks and processes that miss a key together."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier, Semaphore

from cenote.client.aio import AsyncClient
from cenote.client.sync import Client
from tests.client.together_sync import together
from tests.patience import PATIENCE

THREADS = 4
_spawn = multiprocessing.get_context("spawn")


def look_from_threads(url: str, protocol, start: Barrier, computed: Semaphore) -> None:
    """In a process of its own: several threads of one client, once everybody is ready."""
    with Client(url, protocol=protocol, **PATIENCE) as client:
        start.wait(30)

        def look() -> str:
            return client.get_or_compute("k", lambda: _compute(computed), 60, lease_ttl=30)

        assert together(*[look] * THREADS) == ["value"] * THREADS


def look_from_tasks(url: str, protocol, start: Barrier, computed: Semaphore) -> None:
    """In a process of its own: several tasks of one client, once everybody is ready."""

    async def main() -> None:
        async with AsyncClient(url, protocol=protocol, **PATIENCE) as client:
            start.wait(30)
            looks = [
                client.get_or_compute("k", lambda: _compute(computed), 60, lease_ttl=30)
                for _ in range(THREADS)
            ]
            assert await asyncio.gather(*looks) == ["value"] * THREADS

    asyncio.run(main())


def _compute(computed: Semaphore) -> str:
    computed.release()
    return "value"


def test_one_of_many_processes_computes(server, protocol):
    """Each process exits with 0 only if all its threads or tasks were given the value."""
    with Client(server.url, **PATIENCE) as client:
        client.flush_all()
    lookers: list[Callable[..., None]] = [look_from_threads, look_from_tasks, look_from_threads]
    start, computed = _spawn.Barrier(len(lookers)), _spawn.Semaphore(0)
    processes = [
        _spawn.Process(target=look, args=(server.url, protocol, start, computed), daemon=True)
        for look in lookers
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(40)
    assert [process.exitcode for process in processes] == [0] * len(lookers)
    assert computed.acquire(block=False)
    assert not computed.acquire(block=False)


def test_a_killed_process_takes_its_lease_with_it_for_a_while_only(server, protocol):
    """SIGKILL while computing: nothing is given back, the lease lapses and another computes."""
    with Client(server.url, protocol=protocol, **PATIENCE) as client:
        client.flush_all()
        computing = _spawn.Event()
        process = _spawn.Process(
            target=compute_for_ever, args=(server.url, protocol, computing), daemon=True
        )
        process.start()
        assert computing.wait(30)
        process.kill()
        process.join(10)
        assert client.get("k", "nothing") == "nothing"
        assert client.get_or_compute("k", lambda: "value", 60, wait=10) == "value"


def compute_for_ever(url: str, protocol, computing) -> None:
    """In a process of its own: hold the lease until killed."""

    def compute() -> None:
        computing.set()
        multiprocessing.Event().wait()

    Client(url, protocol=protocol, **PATIENCE).get_or_compute("k", compute, 60, lease_ttl=1)
