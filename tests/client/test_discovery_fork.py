"""What a forked child does with a client whose servers are found, or have been changed."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic, sleep

import pytest

from cenote import AsyncClient, Client
from cenote.testing.endpoint import ConfigurationEndpoint
from cenote.testing.memcached import MemcachedServer

PATIENT = 10.0


def in_child(check: Callable[[], object]) -> None:
    """Fork, run the check in the child, and fail if it failed."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def nodes() -> Iterator[list[tuple[str, str, int]]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(MemcachedServer()) for _ in range(2)]
        yield [("localhost", "127.0.0.1", server.port) for server in servers]


def test_a_child_looks_for_servers_by_itself(nodes: list[tuple[str, str, int]]) -> None:
    with (
        ConfigurationEndpoint(nodes[:1]) as endpoint,
        Client(endpoint.url, discovery="elasticache", timeout=PATIENT) as client,
    ):
        client.set("a", "1")
        endpoint.nodes, endpoint.version = nodes, 2  # the parent will look in a minute

        def check() -> None:
            assert client.get_many(["a"]) == {"a": "1"}
            deadline = monotonic() + PATIENT
            while len(client.nodes()) < 2:
                assert monotonic() < deadline, "it never looked"
                sleep(0.005)
            assert client.set("a", "2")
            client.close()

        in_child(check)
        assert len(client.nodes()) == 1
        assert client.set("a", "3")


def test_a_child_looks_for_servers_in_its_own_loop(nodes: list[tuple[str, str, int]]) -> None:
    async def look(client: AsyncClient) -> None:
        assert await client.set("a", "2")
        async with asyncio.timeout(PATIENT):
            while len(client.nodes()) < 2:  # noqa: ASYNC110 - until it has looked
                await asyncio.sleep(0.005)
        assert await client.set("a", "2")
        await client.close()

    with ConfigurationEndpoint(nodes[:1]) as endpoint, asyncio.Runner() as runner:
        client = AsyncClient(endpoint.url, discovery="elasticache", timeout=PATIENT)
        runner.run(client.set("a", "1"))
        endpoint.nodes, endpoint.version = nodes, 2
        in_child(lambda: asyncio.run(look(client)))
        assert runner.run(client.set("a", "3"))
        assert len(client.nodes()) == 1
        runner.run(client.close())


def test_a_child_can_change_the_servers(nodes: list[tuple[str, str, int]]) -> None:
    first, second = [f"127.0.0.1:{port}" for _, _, port in nodes]
    with Client([first, second], timeout=PATIENT) as client:
        client.set("a", "1")

        def check() -> None:
            client.remove_node(first)
            assert list(client.nodes()) == [second]
            assert client.set("a", "2")
            client.close()

        in_child(check)
        assert list(client.nodes()) == [first, second]
