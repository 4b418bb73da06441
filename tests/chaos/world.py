"""A storm: tasks that use one client while everything around them goes wrong, by one seed.

Strategy: a value carries its key and the version that its only writer has given it, so that any
reply that is not its caller's own shows. Tasks are cancelled and run out of time at random; a demon
has the proxy misbehave, hang up and reset, and the server start anew. After the storm the proxy is
healed, and the client must be as new: everything works, and no connection is out on lease.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cenote.client.aio import AsyncClient
from cenote.errors import CenoteError
from cenote.testing.faults import CloseAfter, Delay, Drop, Fault, Split, Stall, Truncate
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy

HANGING = 60.0  # seconds after which a task hangs: far more than its deadline
KEYS = 64  # of each writer


LOSSY = {Drop, Truncate}


def _fault(draw: random.Random) -> Fault:
    kinds: list[Callable[[], Fault]] = [
        Stall,
        Drop,
        lambda: Split(draw.randrange(1, 9)),
        lambda: Delay(draw.random() * 0.03),
        lambda: Truncate(draw.randrange(20_000)),
        lambda: CloseAfter(draw.randrange(20_000), reset=draw.random() < 0.5),
    ]
    return draw.choice(kinds)()


def _end(proxy: FaultProxy) -> None:
    """End the faults; a connection that has lost bytes does not go on, as in life."""
    if LOSSY & {type(proxy.requests), type(proxy.replies)}:
        proxy.refuse()
        proxy.reset()
        proxy.heal()
        proxy.start()
    else:
        proxy.heal()


@dataclass
class Storm:
    """One run.

    Attributes:
        seed: What everything random is drawn by.
        requests: How many requests have ended, however.
        ended: How they ended.
        wrong: Replies that were somebody else's, or of a version that never was.
    """

    seed: int
    server: MemcachedServer
    tasks: int
    writers: int = 32
    requests: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    raging: bool = True

    async def run(self) -> None:
        """Run the storm; assert that it did no harm."""
        with FaultProxy(self.server.endpoint) as proxy:
            assert isinstance(proxy.address, tuple)
            client = AsyncClient(
                "{}:{}".format(*proxy.address), timeout=0.3, connect_timeout=0.2, max_size=4,
                backoff_base=0.001, backoff_cap=0.01, max_lifetime=0.5, on_down="wait",
            )  # fmt: skip
            async with client:
                demon = asyncio.create_task(self._rage(proxy))
                share = self.tasks // self.writers
                try:
                    async with asyncio.timeout(HANGING + self.tasks / 50):
                        await asyncio.gather(
                            *[self._write(client, writer, share) for writer in range(self.writers)]
                        )
                finally:
                    self.raging = False
                    await demon
                    await asyncio.to_thread(_end, proxy)
                await self._assert_calm(client)
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:5]}"

    # What goes wrong.

    async def _rage(self, proxy: FaultProxy) -> None:
        draw = random.Random(self.seed)
        while self.raging:
            act = draw.random()
            if act < 0.3:
                proxy.replies = _fault(draw)
            elif act < 0.5:
                proxy.requests = _fault(draw)
            elif act < 0.6:
                await asyncio.to_thread(proxy.reset)
            elif act < 0.7:
                await asyncio.to_thread(proxy.hang_up)
            elif act < 0.8:
                await asyncio.to_thread(self.server.restart)
            await self._until(self.requests + draw.randrange(5, 150))
            await asyncio.to_thread(_end, proxy)
            await self._until(self.requests + draw.randrange(5, 250))

    async def _until(self, requests: int) -> None:
        """Wait until so many requests have ended; under a stall deadlines end them."""
        while self.raging and self.requests < requests:  # noqa: ASYNC110 - changes all the time
            await asyncio.sleep(0)

    # Who suffers it.

    async def _write(self, client: AsyncClient, writer: int, tasks: int) -> None:
        """Have tasks read and write this writer's keys, some at the same time, each its own key."""
        draw = random.Random(self.seed * 1000 + writer)
        versions = [0] * (KEYS + 1)  # of each key, and how often was counted
        for first in range(0, tasks, 8):
            keys = draw.sample(range(KEYS), min(8, tasks - first))
            doing = [
                asyncio.create_task(self._use(client, writer, key, versions, draw)) for key in keys
            ]
            for task in doing:
                if draw.random() < 0.2:
                    asyncio.get_running_loop().call_later(draw.random() * 0.01, task.cancel)
            done, hanging = await asyncio.wait(doing, timeout=HANGING)
            assert not hanging, f"seed {self.seed}: {hanging}"
            for task in done:
                self._note(task)

    def _note(self, task: asyncio.Task[None]) -> None:
        self.requests += 1
        if task.cancelled():
            self.ended["cancelled"] += 1
        elif (error := task.exception()) is None:
            self.ended["answered"] += 1
        elif isinstance(error, CenoteError):
            self.ended[type(error).__name__] += 1
        else:
            raise error

    async def _use(
        self, client: AsyncClient, writer: int, key: int, versions: list[int], draw: random.Random
    ) -> None:
        name, act = f"{writer}.{key}", draw.random()
        if act < 0.1:
            await self._count(client, writer, versions)
        elif act < 0.4:
            self._judge(name, versions[key], await client.get(name))
        elif act < 0.6:
            names = [f"{writer}.{each}" for each in (key, (key + 1) % KEYS)]
            for each, value in (await client.get_many(names)).items():
                self._judge(each, max(versions), value)
        elif act < 0.95:
            versions[key] += 1
            padding = "x" * draw.choice([0, 0, 10, 3000, 90_000])
            await client.set(name, f"{name} {versions[key]} {padding}")
        else:
            await client.delete(name)

    async def _count(self, client: AsyncClient, writer: int, versions: list[int]) -> None:
        """Count up; the reply of another writer's counter would leave another remainder."""
        versions[KEYS] += 1
        reply = await client.incr(f"{writer}.n", 1000, initial=writer)
        if reply is None or reply % 1000 != writer or reply // 1000 > versions[KEYS]:
            self.wrong.append(f"counter {writer} was given {reply}")

    def _judge(self, name: str, newest: int, value: object) -> None:
        if value is None:
            return
        owner, version, *_ = str(value).split(" ")
        if owner != name or not 0 < int(version) <= newest:
            self.wrong.append(f"{name} at version {newest} was given {str(value)[:80]!r}")

    # After it.

    async def _assert_calm(self, client: AsyncClient) -> None:
        """Assert that it works again, and that nothing was lost."""
        async with asyncio.timeout(HANGING):
            while not await self._works(client):  # noqa: ASYNC110 - until it does
                await asyncio.sleep(0)
            names = [f"calm.{n}" for n in range(200)]
            assert all(await asyncio.gather(*[client.set(name, name) for name in names]))
            assert await asyncio.gather(*[client.get(name) for name in names]) == names
            (pool,) = client.pools().values()
            while pool.used or pool.waiting or pool.closing or pool.connecting:
                await asyncio.sleep(0)
                (pool,) = client.pools().values()
        assert pool.size == pool.idle <= pool.max_size, f"seed {self.seed}: {pool}"
        assert pool.acquired == pool.released + pool.detached + pool.lost
        assert pool.lost == 0

    async def _works(self, client: AsyncClient) -> bool:
        try:
            return await client.set("calm", "calm") and await client.get("calm") == "calm"
        except CenoteError:
            return False
