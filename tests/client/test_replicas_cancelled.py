"""A write to replicas whose caller is cancelled: all of them have it, or it had not begun."""

from __future__ import annotations

import asyncio
import gc

import pytest

from cenote import AsyncClient, Replicas
from cenote.testing.faults import Stall
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy


@pytest.mark.parametrize("many", [False, True])
async def test_a_cancelled_write_is_carried_to_its_end(many: bool) -> None:
    with (
        MemcachedServer() as first,
        MemcachedServer() as second,
        FaultProxy(second.endpoint) as proxy,
    ):
        both = Replicas([first.url, "{}:{}".format(*proxy.address)])
        async with AsyncClient([both], timeout=20.0) as client, AsyncClient(second.url) as alone:
            assert await client.set("key", "old") is True
            before, proxy.replies = proxy.replied, Stall()
            write = client.set_many({"key": "new"}) if many else client.set("key", "new")
            task = asyncio.ensure_future(write)
            while await alone.get("key") != "new":
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            proxy.heal()
            await asyncio.to_thread(proxy.wait_for, lambda proxy: proxy.replied > before)
            assert await client.get("key") == "new"
            assert client.client_stats().ejections == 0
            assert await client.set("key", "newer") is True
            assert await alone.get("key") == "newer"


async def test_a_cancelled_write_that_fails_later_is_no_error_of_the_loop() -> None:
    """Nobody is left to be told of it: the loop would log that it was never retrieved."""
    told: list[object] = []
    down = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with (
        MemcachedServer() as first,
        MemcachedServer() as second,
        FaultProxy(first.endpoint) as proxy,
    ):
        both = Replicas(["{}:{}".format(*proxy.address), second.url])
        async with (
            AsyncClient([both], timeout=20.0, on_node_down=lambda *_: down.set()) as client,
            AsyncClient(first.url) as alone,
        ):
            assert await client.set("key", 1) is True
            proxy.replies = Stall()
            task = asyncio.ensure_future(client.incr("key"))
            while await alone.get("key") != 2:
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(proxy.reset)
            await down.wait()
            await asyncio.sleep(0)
            gc.collect()
    assert told == []
