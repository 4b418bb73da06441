"""Every command under a cancel, and two, at every point where its task can be cancelled.

Strategy: see ``tests/cancellation.py``; the server is a real one (``tests/relay.py``). In every
schedule those who share the victim's connections are answered with what they asked for, so is
whoever comes next, and no connection stays out on lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from cenote.client.aio import AsyncClient
from cenote.client.sync import Client
from cenote.connection import ProtocolChoice
from cenote.testing.memcached import MemcachedServer
from tests.cancellation import Victim
from tests.conftest import Proof
from tests.relay import relaying

pytestmark = [pytest.mark.proof, pytest.mark.stress]

Command = Callable[[AsyncClient], Awaitable[object]]

PATIENT: dict[str, Any] = {
    "timeout": 60.0, "connect_timeout": 60.0, "check_after": 1000.0, "max_idle": None,
    "max_lifetime": None,
}  # fmt: skip
THEIRS = {f"their {n}".replace(" ", "_"): f"value of their {n}" for n in range(4)}


async def compute() -> str:
    await asyncio.sleep(0)
    return "computed"


async def cas(client: AsyncClient) -> None:
    item = await client.gets("mine")
    assert item is not None
    await client.cas("mine", "swapped", item.cas)


async def lease(client: AsyncClient) -> None:
    async with client._cluster.topology.members[0].node.lease(monotonic() + 60.0) as own:
        assert not own.closed
        await asyncio.sleep(0)


COMMANDS: dict[str, Command] = {
    "get": lambda client: client.get("mine"),
    "get a miss": lambda client: client.get("missing"),
    "gets": lambda client: client.gets("mine"),
    "gat": lambda client: client.gat("mine", 60),
    "touch": lambda client: client.touch("mine", 60),
    "set": lambda client: client.set("mine", "x"),
    "set without a reply": lambda client: client.set("mine", "x", noreply=True),
    "add": lambda client: client.add("missing", "x"),
    "replace": lambda client: client.replace("mine", "x"),
    "append": lambda client: client.append("mine", "x"),
    "prepend": lambda client: client.prepend("mine", "x"),
    "cas": cas,
    "delete": lambda client: client.delete("mine"),
    "incr": lambda client: client.incr("number"),
    "incr a miss": lambda client: client.incr("missing", initial=5, ttl=60),
    "decr": lambda client: client.decr("number"),
    "get_many": lambda client: client.get_many(["mine", "missing", "number"]),
    "gat_many": lambda client: client.gat_many(["mine", "missing", "number"], 60),
    "set_many": lambda client: client.set_many({"mine": 1, "missing": 2}),
    "delete_many": lambda client: client.delete_many(["mine", "missing"]),
    "get_or_compute a hit": lambda client: client.get_or_compute("mine", compute, 60),
    "get_or_compute": lambda client: client.get_or_compute("missing", compute, 60, lease_ttl=1),
    "get_or_compute, stale": lambda client: client.get_or_compute(
        "missing", compute, 60, stale_for=60, lease_ttl=1
    ),
    "flush_all": lambda client: client.flush_all(delay=1000),
    "stats": lambda client: client.stats(),
    "version": lambda client: client.version(),
    "open": lambda client: client.open(),
    "a lease": lease,
}


SENT_AT_ONCE = ("set without a reply", "open")  # where there is a connection, nothing is awaited


class World:
    """A client, those who share its connections, and whoever comes next."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.neighbours: list[asyncio.Task[object]] = []

    def crowd(self) -> None:
        """Have others ask in this turn of the loop."""
        for key in list(THEIRS)[len(self.neighbours) :][:2]:
            self.neighbours.append(asyncio.create_task(self.client.get(key)))

    async def assert_unharmed(self) -> None:
        found = await asyncio.gather(*self.neighbours)
        assert found == list(THEIRS.values())[: len(found)]
        assert await self.client.get_many(list(THEIRS)) == THEIRS
        assert await self.client.incr("theirs") == 42
        async with asyncio.timeout(20):
            while any(pool.used for pool in self.client.pools().values()):  # noqa: ASYNC110
                await asyncio.sleep(0)
        for pool in self.client.pools().values():
            assert pool.size == pool.idle
            assert pool.acquired == pool.released
            assert pool.waiting == 0


@pytest.fixture
def unix_sockets(server: MemcachedServer, tmp_path: Path) -> tuple[str, Path]:
    assert isinstance(server.endpoint, str)
    return server.endpoint, tmp_path


def prove_command(
    proof: Proof,
    sockets: tuple[str, Path],
    protocol: ProtocolChoice,
    command: Command,
    *,
    cold: bool,
    servers: int = 1,
) -> None:
    upstream, folder = sockets
    with Client(upstream, protocol=protocol) as direct:

        async def scenario(victim: Victim) -> None:
            direct.delete("missing")
            direct.set_many({"mine": "value of mine", "number": 7, "theirs": 41, **THEIRS})
            async with AsyncExitStack() as closing:
                paths = [
                    await closing.enter_async_context(relaying(upstream, folder / f"s{n}"))
                    for n in range(servers)
                ]
                client = AsyncClient(paths, protocol=protocol, min_size=2, **PATIENT)
                closing.push_async_callback(client.close)
                world = World(client)
                if not cold:
                    await client.version()
                world.crowd()
                victim.start(_as_coroutine(command, client))
                world.crowd()
                await victim.ended()
                await world.assert_unharmed()

        proof(scenario)
        direct.flush_all()


async def _as_coroutine(command: Command, client: AsyncClient) -> None:
    await command(client)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SENT_AT_ONCE])
def test_a_cancelled_command_harms_nobody(proof: Proof, unix_sockets, protocol, name) -> None:
    prove_command(proof, unix_sockets, protocol, COMMANDS[name], cold=False)


@pytest.mark.parametrize(
    "name", ["get", "set", "set without a reply", "incr", "get_many", "stats", "open", "a lease"]
)
def test_nor_does_one_that_waits_for_the_first_connection(
    proof: Proof, unix_sockets, protocol, name
) -> None:
    prove_command(proof, unix_sockets, protocol, COMMANDS[name], cold=True)


@pytest.mark.parametrize(
    "name", ["get", "get_many", "set_many", "delete_many", "flush_all", "version"]
)
def test_nor_does_one_that_asks_several_servers(proof: Proof, unix_sockets, protocol, name) -> None:
    prove_command(proof, unix_sockets, protocol, COMMANDS[name], cold=False, servers=2)


def test_a_cancelled_close_has_closed_the_client(proof: Proof, unix_sockets, protocol) -> None:
    """Whoever is in flight is answered, or told that the connection was lost."""
    upstream, folder = unix_sockets

    async def scenario(victim: Victim) -> None:
        async with relaying(upstream, folder / "s", turns=5) as path:
            client = AsyncClient(path, protocol=protocol, **PATIENT)
            await client.version()
            asked = [asyncio.create_task(client.get(key)) for key in THEIRS]
            await asyncio.sleep(0)
            victim.start(client.close())
            await victim.ended()
            found = await asyncio.gather(*asked, return_exceptions=True)
            for reply, value in zip(found, THEIRS.values(), strict=True):
                assert reply == value or isinstance(reply, ConnectionError)
            (pool,) = client.pools().values()
            assert (pool.used, pool.state) == (0, "closed")
            await client.close()

    with Client(upstream, protocol=protocol) as direct:
        direct.set_many(THEIRS)
    proof(scenario)


def test_a_cancelled_block_closes_its_client(proof: Proof, unix_sockets, protocol) -> None:
    upstream, folder = unix_sockets

    async def scenario(victim: Victim) -> None:
        async with relaying(upstream, folder / "s") as path:
            client = AsyncClient(path, protocol=protocol, min_size=2, **PATIENT)

            async def work() -> None:
                async with client:
                    await client.get("mine")

            victim.start(work())
            await victim.ended()
            async with asyncio.timeout(20):
                while client.pools()[path].live:  # noqa: ASYNC110 - the pool tells nobody
                    await asyncio.sleep(0)

    proof(scenario)
