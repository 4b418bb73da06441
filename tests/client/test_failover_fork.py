"""What a forked child does with a client of which a server is down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from cenote import AsyncClient, CenoteError, Client
from cenote.testing.memcached import MemcachedServer
from tests.client.test_discovery_fork import in_child
from tests.patience import PATIENCE, until

PATIENT = 20.0
KEYS = [f"key:{number}" for number in range(20)]


@pytest.fixture
def two() -> Iterator[list[MemcachedServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(2)]


def ejected(client: Client | AsyncClient) -> bool:
    return any(node.ejected for node in client.nodes().values())


async def ask(client: AsyncClient, *, down: bool) -> None:
    """Read until a server is down, or none is any more."""
    async with asyncio.timeout(PATIENT):
        while ejected(client) != down:
            for key in KEYS:
                with suppress(CenoteError):
                    await client.get(key)
            await asyncio.sleep(0.005)


def test_a_child_probes_what_was_down_when_it_was_forked(two: list[MemcachedServer]) -> None:
    with Client([server.url for server in two], failover="rehash", **PATIENCE) as client:

        def notices(*, down: bool) -> bool:
            for key in KEYS:
                with suppress(CenoteError):
                    client.get(key)
            return ejected(client) == down

        client.get_many(KEYS)
        two[0].kill()
        until(lambda: notices(down=True))

        def check() -> None:
            two[0].start()
            until(lambda: notices(down=False))
            assert client.set_many(dict.fromkeys(KEYS, "1")) == []
            client.close()

        in_child(check)


def test_a_child_probes_in_its_own_loop(two: list[MemcachedServer]) -> None:
    async def check(client: AsyncClient) -> None:
        two[0].start()
        await ask(client, down=False)
        assert await client.set_many(dict.fromkeys(KEYS, "1")) == []
        await client.close()

    with asyncio.Runner() as runner:
        client = AsyncClient([server.url for server in two], failover="rehash", **PATIENCE)
        two[0].kill()
        runner.run(ask(client, down=True))
        in_child(lambda: asyncio.run(check(client)))
        runner.run(client.close())
