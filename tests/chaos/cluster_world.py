"""Four servers that are killed, frozen, started anew, removed and added while a client is used.

Strategy: a value carries its key and a version that its only writer has given it, so any reply that
is not its caller's own shows. A server that comes back may be empty or have old values: an older
version is no fault, a version that never was, or another key's value, is. What is done to the
servers and by whom is drawn by one seed; the same storm passes over threads and over tasks.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

from cenote import AsyncClient, Client, Server
from cenote.cluster.failover import Failover
from cenote.errors import CenoteError
from cenote.pool import PoolStats
from cenote.testing.memcached import MemcachedServer

PATIENCE = 240.0  # seconds after which something hangs: far more than any deadline or probe delay
TIMEOUT = 0.5
KEYS = 24  # of each writer


class Ledger:
    """What has been written, how requests have ended, and replies that are nobody's own."""

    def __init__(self, seed: int, writers: int) -> None:
        self.seed = seed
        self.versions = [[0] * KEYS for _ in range(writers)]
        self.counts = [0] * writers
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        """How many requests have ended."""
        return sum(self.ended.values())

    def note(self, end: str) -> None:
        """Count a request that has ended."""
        with self._lock:
            self.ended[end] += 1

    def value(self, writer: int, key: int, padding: str) -> str:
        """Make the next version of a value."""
        self.versions[writer][key] += 1
        return f"{writer}.{key} {self.versions[writer][key]} {padding}"

    def judge(self, writer: int, name: str, value: object) -> None:
        """Take a value that was read."""
        if value is None:
            return
        owner, version, *_ = str(value).split(" ")
        newest = self.versions[writer][int(name.partition(".")[2])]
        if owner != name or not 0 < int(version) <= newest:
            self.wrong.append(f"{name} at version {newest} was given {str(value)[:60]!r}")

    def judge_count(self, writer: int, reply: int | None) -> None:
        """Take a counter that was counted up: the remainder tells whose it is."""
        if reply is not None and (reply % 1000 != writer or reply // 1000 > self.counts[writer]):
            self.wrong.append(f"counter {writer} was given {reply}")


class Demon:
    """Decides what happens to the servers, and does it to their processes."""

    def __init__(self, seed: int, processes: Sequence[MemcachedServer]) -> None:
        self.draw = random.Random(seed)
        self.processes = processes
        self.servers = [Server.at(p.url, name=f"node-{n}") for n, p in enumerate(processes)]
        self.present = set(range(len(processes)))
        self.acts: Counter[str] = Counter()

    def strike(self) -> Callable[[], object]:
        """Do something to a process; what ends it again."""
        victim = self.draw.choice(self.processes)
        act = self.draw.choice(["kill", "freeze", "restart"])
        self.acts[act] += 1
        if act == "kill":
            victim.kill()
            return victim.start
        if act == "freeze":
            victim.pause()
            return victim.resume
        victim.restart()
        return bool

    def next_servers(self) -> list[Server]:
        """Draw which servers there are from now on; at least two."""
        self.acts["change"] += 1
        number = self.draw.randrange(len(self.servers))
        if number in self.present and len(self.present) > 2:
            self.present.discard(number)
        else:
            self.present.add(number)
        return [
            Server(self.servers[n].address, self.draw.choice([1, 1, 2]), f"node-{n}")
            for n in sorted(self.present)
        ]

    def pause(self) -> int:
        """Draw after how many requests something happens again."""
        return self.draw.randrange(5, 60)


def is_calm(stats: PoolStats) -> bool:
    """Tell whether nothing is under way in a pool any more."""
    return not (stats.used or stats.waiting or stats.closing or stats.connecting)


def assert_even(name: str, stats: PoolStats) -> None:
    """Assert that a pool has lost nothing."""
    assert stats.size == stats.idle <= stats.max_size, (name, stats)
    assert stats.acquired == stats.released + stats.detached + stats.lost, (name, stats)
    assert stats.lost == 0, (name, stats)


class TaskStorm:
    """The storm over tasks."""

    def __init__(
        self, seed: int, processes: Sequence[MemcachedServer], requests: int, failover: Failover
    ) -> None:
        self._failover: Failover = failover
        self.ledger = Ledger(seed, writers=24)
        self.demon = Demon(seed, processes)
        self._requests = requests // 24
        self._raging = True

    async def run(self) -> None:
        """Let it pass over a client; assert that it did no harm."""
        async with AsyncClient(
            self.demon.servers, timeout=TIMEOUT, connect_timeout=0.4, max_size=4,
            backoff_base=0.001, backoff_cap=0.02, max_lifetime=0.5, failover=self._failover,
        ) as client:  # fmt: skip
            rage = asyncio.create_task(self._rage(client))
            try:
                async with asyncio.timeout(PATIENCE * 3):
                    await asyncio.gather(*[self._write(client, writer) for writer in range(24)])
            finally:
                self._raging = False
                await rage
            await client.set_nodes(self.demon.servers)
            await self._assert_calm(client)
            pools = [member.node.pool for member in client._cluster.topology.members]
        assert [pool.stats().size for pool in pools] == [0] * 4
        assert not self.ledger.wrong, f"seed {self.ledger.seed}: {self.ledger.wrong[:5]}"

    async def _rage(self, client: AsyncClient) -> None:
        while self._raging:
            heal = await asyncio.to_thread(self.demon.strike)
            try:
                await self._until(self.demon.pause())
                await client.set_nodes(self.demon.next_servers())
                await self._until(self.demon.pause())
            finally:
                await asyncio.to_thread(heal)
            await self._until(self.demon.pause())

    async def _until(self, requests: int) -> None:
        goal = self.ledger.requests + requests
        while self._raging and self.ledger.requests < goal:  # noqa: ASYNC110 - changes all the time
            await asyncio.sleep(0.001)

    async def _write(self, client: AsyncClient, writer: int) -> None:
        draw = random.Random(self.ledger.seed * 1000 + writer)
        for _ in range(self._requests):
            task = asyncio.create_task(self._use(client, writer, draw))
            if draw.random() < 0.1:
                asyncio.get_running_loop().call_later(draw.random() * 0.01, task.cancel)
            done, _ = await asyncio.wait([task], timeout=PATIENCE)
            assert done, f"seed {self.ledger.seed}: {task} hangs"
            self._note(task)

    def _note(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.ledger.note("cancelled")
        elif (error := task.exception()) is None:
            self.ledger.note("answered")
        elif isinstance(error, CenoteError):
            self.ledger.note(type(error).__name__)
        else:
            raise error

    async def _use(self, client: AsyncClient, writer: int, draw: random.Random) -> None:
        ledger, key = self.ledger, draw.randrange(KEYS)
        name, act = f"{writer}.{key}", draw.random()
        if act < 0.1:
            ledger.counts[writer] += 1
            ledger.judge_count(writer, await client.incr(f"{writer}.n", 1000, initial=writer))
        elif act < 0.4:
            ledger.judge(writer, name, await client.get(name))
        elif act < 0.6:
            names = [f"{writer}.{each}" for each in draw.sample(range(KEYS), 8)]
            for each, value in (await client.get_many(names)).items():
                ledger.judge(writer, each, value)
        elif act < 0.85:
            await client.set(name, ledger.value(writer, key, "x" * draw.choice([0, 9, 70_000])))
        elif act < 0.95:
            several = {each: f"{writer}.{each}" for each in draw.sample(range(KEYS), 5)}
            await client.set_many(
                {text: ledger.value(writer, each, "") for each, text in several.items()}
            )
        else:
            await client.delete(name)

    async def _assert_calm(self, client: AsyncClient) -> None:
        """Assert that every key is served again, and that nothing was lost."""
        names = [f"{writer}.{key}" for writer in range(24) for key in range(KEYS)]
        deadline = monotonic() + PATIENCE
        for name in names:
            while not await _stored(client, name):
                assert monotonic() < deadline, f"seed {self.ledger.seed}: {name} is not served"
        while not await _all_stored(client, names):  # a server has come back, without them
            assert monotonic() < deadline, f"seed {self.ledger.seed}: keys are lost"
        while client._cluster._leaving or not all(map(is_calm, client.pools().values())):
            assert monotonic() < deadline, f"seed {self.ledger.seed}: {client.pools()}"
            await asyncio.sleep(0.01)
        for name, stats in client.pools().items():
            assert_even(name, stats)


async def _stored(client: AsyncClient, name: str) -> bool:
    try:
        return await client.set(name, f"{name} 1") and await client.get(name) == f"{name} 1"
    except CenoteError:
        return False


async def _all_stored(client: AsyncClient, names: Sequence[str]) -> bool:
    """Tell whether all keys are there; else store them anew."""
    try:
        if len(await client.get_many(names)) == len(names):
            return True
        await client.set_many({name: f"{name} 1" for name in names})
    except CenoteError:  # on a busy machine all of them may take longer than a request may
        return False
    return False


class ThreadStorm:
    """The storm over threads."""

    def __init__(
        self, seed: int, processes: Sequence[MemcachedServer], requests: int, failover: Failover
    ) -> None:
        self._failover: Failover = failover
        self.ledger = Ledger(seed, writers=8)
        self.demon = Demon(seed, processes)
        self._requests = requests // 8
        self._raging = True

    def run(self) -> None:
        """Let it pass over a client; assert that it did no harm."""
        with Client(
            self.demon.servers, timeout=TIMEOUT, connect_timeout=0.4, max_size=4,
            backoff_base=0.001, backoff_cap=0.02, max_lifetime=0.5, failover=self._failover,
        ) as client:  # fmt: skip
            with ThreadPoolExecutor(9) as executor:
                rage = executor.submit(self._rage, client)
                writing = [executor.submit(self._write, client, writer) for writer in range(8)]
                try:
                    for each in writing:
                        each.result(PATIENCE * 3)
                finally:
                    self._raging = False
                    rage.result(PATIENCE)
            client.set_nodes(self.demon.servers)
            self._assert_calm(client)
            pools = [member.node.pool for member in client._cluster.topology.members]
        assert [pool.stats().size for pool in pools] == [0] * 4
        assert not self.ledger.wrong, f"seed {self.ledger.seed}: {self.ledger.wrong[:5]}"

    def _rage(self, client: Client) -> None:
        while self._raging:
            heal = self.demon.strike()
            try:
                self._until(self.demon.pause())
                client.set_nodes(self.demon.next_servers())
                self._until(self.demon.pause())
            finally:
                heal()
            self._until(self.demon.pause())

    def _until(self, requests: int) -> None:
        goal = self.ledger.requests + requests
        while self._raging and self.ledger.requests < goal:
            sleep(0.001)

    def _write(self, client: Client, writer: int) -> None:
        draw = random.Random(self.ledger.seed * 1000 + writer)
        for _ in range(self._requests):
            try:
                self._use(client, writer, draw)
            except CenoteError as error:
                self.ledger.note(type(error).__name__)
            else:
                self.ledger.note("answered")

    def _use(self, client: Client, writer: int, draw: random.Random) -> None:
        ledger, key = self.ledger, draw.randrange(KEYS)
        name, act = f"{writer}.{key}", draw.random()
        if act < 0.1:
            ledger.counts[writer] += 1
            ledger.judge_count(writer, client.incr(f"{writer}.n", 1000, initial=writer))
        elif act < 0.4:
            ledger.judge(writer, name, client.get(name))
        elif act < 0.6:
            names = [f"{writer}.{each}" for each in draw.sample(range(KEYS), 8)]
            for each, value in client.get_many(names).items():
                ledger.judge(writer, each, value)
        elif act < 0.85:
            client.set(name, ledger.value(writer, key, "x" * draw.choice([0, 9, 70_000])))
        elif act < 0.95:
            several = {each: f"{writer}.{each}" for each in draw.sample(range(KEYS), 5)}
            client.set_many(
                {text: ledger.value(writer, each, "") for each, text in several.items()}
            )
        else:
            client.delete(name)

    def _assert_calm(self, client: Client) -> None:
        """Assert that every key is served again, and that nothing was lost."""
        names = [f"{writer}.{key}" for writer in range(8) for key in range(KEYS)]
        deadline = monotonic() + PATIENCE
        for name in names:
            while not _kept(client, name):
                assert monotonic() < deadline, f"seed {self.ledger.seed}: {name} is not served"
                sleep(0.005)
        while not _all_kept(client, names):  # a server has come back, without them
            assert monotonic() < deadline, f"seed {self.ledger.seed}: keys are lost"
        while client._cluster._leaving or not all(map(is_calm, client.pools().values())):
            assert monotonic() < deadline, f"seed {self.ledger.seed}: {client.pools()}"
            sleep(0.01)
        for name, stats in client.pools().items():
            assert_even(name, stats)


def _kept(client: Client, name: str) -> bool:
    try:
        return client.set(name, f"{name} 1") and client.get(name) == f"{name} 1"
    except CenoteError:
        return False


def _all_kept(client: Client, names: Sequence[str]) -> bool:
    try:
        if len(client.get_many(names)) == len(names):
            return True
        client.set_many({name: f"{name} 1" for name in names})
    except CenoteError:
        return False
    return False
