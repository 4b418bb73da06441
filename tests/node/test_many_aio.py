"""A batch over several servers, from asyncio: what it returns, sends again and gives up."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from time import monotonic

import pytest

from cenote.errors import ClientError, OperationTimeout, PoolClosed
from cenote.node.aio import AsyncNode
from cenote.node.many_aio import exchange_all
from cenote.protocol import STORED, get, incr, store
from cenote.testing.faults import Stall
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.node.worlds import async_node_behind, soon

SIZE = 3


@pytest.fixture
def proxies(server: MemcachedServer) -> Iterator[list[FaultProxy]]:
    """Several ways to one server: as good as several servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(FaultProxy(server.endpoint)) for _ in range(SIZE)]


@pytest.fixture
async def nodes(proxies: list[FaultProxy]) -> AsyncIterator[list[AsyncNode]]:
    async with AsyncExitStack() as stack:
        nodes = [async_node_behind(proxy) for proxy in proxies]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


async def put(node: AsyncNode, key: bytes, value: bytes) -> None:
    assert await node.request(store("set", key, value, 0, 0), soon()) is STORED


async def test_replies_come_in_the_order_of_the_requests(nodes: list[AsyncNode]) -> None:
    for number, node in enumerate(nodes):
        await put(node, b"many%d" % number, b"%d" % number)
    asked = [(node, get(b"many%d" % number)) for number, node in enumerate(nodes)]
    assert await exchange_all(asked, soon()) == [(b"%d" % n, 0, 0) for n in range(SIZE)]
    assert await exchange_all([], soon()) == []


async def test_an_error_is_the_answer_of_its_own_server_only(nodes: list[AsyncNode]) -> None:
    await put(nodes[0], b"text", b"no number")
    await nodes[1].close()
    refused, closed, found = await exchange_all(
        [(nodes[0], incr(b"text", 1)), (nodes[1], get(b"text")), (nodes[2], get(b"text"))], soon()
    )
    assert isinstance(refused, ClientError)
    assert isinstance(closed, PoolClosed)
    assert found == (b"no number", 0, 0)


async def test_each_request_whose_idle_connection_was_closed_is_sent_again(
    nodes: list[AsyncNode], proxies: list[FaultProxy]
) -> None:
    for node, proxy in zip(nodes, proxies, strict=True):
        await put(node, b"again", b"v")
        proxy.hang_up()
    replies = await exchange_all([(node, get(b"again")) for node in nodes], soon())
    assert replies == [(b"v", 0, 0)] * SIZE


async def test_a_server_that_hangs_does_not_keep_the_others(
    nodes: list[AsyncNode], proxies: list[FaultProxy]
) -> None:
    for node in nodes:
        await put(node, b"k", b"v")
    proxies[0].replies = Stall()
    silent, *found = await exchange_all([(n, get(b"k")) for n in nodes], monotonic() + 0.3)
    assert isinstance(silent, OperationTimeout)
    assert found == [(b"v", 0, 0)] * 2


async def test_cancelled_it_leaves_nothing_behind(
    nodes: list[AsyncNode], proxies: list[FaultProxy]
) -> None:
    """Neither somebody else's reply for the next, nor an error that nobody has looked at."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    for number, node in enumerate(nodes):
        await put(node, b"many%d" % number, b"%d" % number)
    replied = proxies[0].replied
    proxies[0].replies = Stall()
    proxies[2].refuse()
    proxies[2].reset()
    asked = [(node, get(b"many%d" % number)) for number, node in enumerate(nodes)]
    batch = asyncio.ensure_future(exchange_all(asked, soon()))
    await asyncio.to_thread(proxies[0].wait_for, lambda proxy: proxy.replied > replied)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    proxies[0].heal()
    for node in nodes[:2]:
        assert await node.request(get(b"many2"), soon()) == (b"2", 0, 0)
    del batch
    gc.collect()
    assert not complaints
