"""Four ways to keep connections, each a phase of the demo.

Strategy: a phase differs from the others in how a lookup comes by its connection, and in nothing
else. ``_aside`` and its asyncio twin are the cache-aside pattern; workers run it until the board
says stop. The first phase and the thread-mapped pool speak over bare connections, without a
``Client``: what a connection a request costs is not inflated by a client that is built for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter_ns
from typing import Protocol

from cenote import AsyncClient, Client, ThreadMappedPool, protocol
from cenote.cli.demo.measure import Tally
from cenote.cli.demo.workload import TTL, Workload
from cenote.client.url import read_servers
from cenote.connection import Access, Address
from cenote.connection.sync import Connection, connect
from cenote.errors import CenoteError
from cenote.pool import PoolStats

TIMEOUT = 2.0
"""Seconds a lookup may take in every phase, everything included."""

Found = tuple[bytes, bool]
"""A record, and whether the cache had it."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all phases.

    Attributes:
        url: The server.
        workers: Threads or tasks that look users up.
        connections: The most that the shared clients may open.
    """

    url: str
    workers: int
    connections: int

    @property
    def address(self) -> Address:
        """Where the server listens; starts that of ``local://`` when it is connected to."""
        return read_servers(self.url).servers[0].address


@dataclass
class Board:
    """What the workers and whoever watches them share: a tally each, and the word to stop."""

    workers: int
    stopped: bool = False
    tallies: list[Tally] = field(init=False)

    def __post_init__(self) -> None:
        self.tallies = [Tally() for _ in range(self.workers)]

    @property
    def lookups(self) -> int:
        """How many lookups ended so far."""
        return sum(tally.lookups for tally in self.tallies)


@dataclass(frozen=True)
class Connections:
    """How many connections a phase opened, and what its pool says of itself, if it has one."""

    opened: int
    pool: PoolStats | None = None


class Phase(Protocol):
    """One way to keep connections; ``run`` returns when the board says stop."""

    name: str
    about: str

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        """Let the workers look users up until ``board.stopped``."""
        ...


class ConnectionPerRequest:
    """Opens a connection for every lookup and closes it afterwards."""

    name = "a connection a request"
    about = "connect, get, close: bare, without a client object"

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        """Let the workers look users up until ``board.stopped``."""
        address = setting.address
        opened = [0] * setting.workers

        def look_up(worker: int, user: int) -> Found:
            connection = connect(address, Access(protocol="classic"), timeout=TIMEOUT)
            opened[worker] += 1
            try:
                return _aside(_Bare(connection), workload, user)
            finally:
                connection.close()

        _in_threads(look_up, workload, board)
        return Connections(sum(opened))


class PooledClient:
    """One ``Client`` that all threads share."""

    name = "one pooled client"
    about = "cenote.Client, shared by all threads"

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        """Let the workers look users up until ``board.stopped``."""
        with Client(setting.url, timeout=TIMEOUT, max_size=setting.connections) as client:

            def look_up(_worker: int, user: int) -> Found:
                return _aside(client, workload, user)

            _in_threads(look_up, workload, board)
            (stats,) = client.pools().values()
        return Connections(stats.created, stats)


class ThreadMapped:
    """A pool that gives every thread a connection of its own."""

    name = "a thread-mapped pool"
    about = "cenote.ThreadMappedPool, each thread keeps its own"

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        """Let the workers look users up until ``board.stopped``."""
        with ThreadMappedPool(
            _Connecting(setting.address),
            max_size=setting.workers,
            timeout=TIMEOUT,
            on_down="fail",
        ) as pool:

            def look_up(_worker: int, user: int) -> Found:
                with pool.connection() as connection:
                    return _aside(_Bare(connection), workload, user)

            _in_threads(look_up, workload, board)
            stats = pool.stats()
        return Connections(stats.created, stats)


class Asyncio:
    """One ``AsyncClient`` that all tasks of an event loop share."""

    name = "asyncio"
    about = "cenote.AsyncClient, shared by all tasks"

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        """Let the workers look users up until ``board.stopped``."""
        return asyncio.run(self._run(setting, workload, board))

    async def _run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        async with AsyncClient(
            setting.url, timeout=TIMEOUT, max_size=setting.connections
        ) as client:

            async def look_up(user: int) -> Found:
                return await _aside_in_asyncio(client, workload, user)

            async with asyncio.TaskGroup() as group:
                for worker in range(board.workers):
                    group.create_task(_work_in_asyncio(worker, look_up, workload, board))
            (stats,) = client.pools().values()
        return Connections(stats.created, stats)


PHASES: tuple[Phase, ...] = (ConnectionPerRequest(), PooledClient(), ThreadMapped(), Asyncio())


# The cache-aside pattern.


class _Cache(Protocol):
    """As much of a client as the pattern needs."""

    def get(self, key: str) -> object: ...

    def set(self, key: str, value: bytes, ttl: int) -> object: ...


def _aside(cache: _Cache, workload: Workload, user: int) -> Found:
    key = workload.key(user)
    record = cache.get(key)
    if isinstance(record, bytes):
        return record, True
    computed = workload.compute(user)
    cache.set(key, computed, TTL)
    return computed, False


async def _aside_in_asyncio(client: AsyncClient, workload: Workload, user: int) -> Found:
    key = workload.key(user)
    record = await client.get(key)
    if isinstance(record, bytes):
        return record, True
    computed = workload.compute(user)
    await client.set(key, computed, TTL)
    return computed, False


class _Bare:
    """A connection, spoken to without a client."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key: str) -> object:
        item = self._connection.exchange(protocol.get(key.encode()), monotonic() + TIMEOUT)
        return item[0] if isinstance(item, tuple) else None

    def set(self, key: str, value: bytes, ttl: int) -> object:
        request = protocol.store("set", key.encode(), value, 0, ttl)
        return self._connection.exchange(request, monotonic() + TIMEOUT)


@dataclass(frozen=True)
class _Connecting:
    """Tells a pool how to open, check and close connections to one server."""

    address: Address

    def connect(self, timeout: float) -> Connection:
        return connect(self.address, Access(protocol="classic"), timeout=timeout)

    def close(self, resource: Connection) -> None:
        resource.close()

    def is_alive(self, resource: Connection) -> bool:
        return resource.is_alive()

    def is_clean(self, resource: Connection) -> bool:
        return resource.clean


# Workers.


def _in_threads(look_up: Callable[[int, int], Found], workload: Workload, board: Board) -> None:
    """Let threads look users up; the arguments of ``look_up`` are the worker and the user."""
    with ThreadPoolExecutor(board.workers, thread_name_prefix="demo") as executor:
        jobs = [
            executor.submit(_work, worker, look_up, workload, board)
            for worker in range(board.workers)
        ]
    for job in jobs:
        job.result()


def _work(
    worker: int, look_up: Callable[[int, int], Found], workload: Workload, board: Board
) -> None:
    tally = board.tallies[worker]
    for user in workload.lookups(worker):
        if board.stopped:
            return
        began = perf_counter_ns()
        try:
            record, hit = look_up(worker, user)
        except (CenoteError, OSError) as error:
            tally.failed(error)
            continue
        took = perf_counter_ns() - began
        tally.found(hit=hit, belongs=workload.belongs(user, record), nanoseconds=took)


async def _work_in_asyncio(
    worker: int, look_up: Callable[[int], Awaitable[Found]], workload: Workload, board: Board
) -> None:
    tally = board.tallies[worker]
    for user in workload.lookups(worker):
        if board.stopped:
            return
        began = perf_counter_ns()
        try:
            record, hit = await look_up(user)
        except CenoteError as error:
            tally.failed(error)
            continue
        took = perf_counter_ns() - began
        tally.found(hit=hit, belongs=workload.belongs(user, record), nanoseconds=took)
