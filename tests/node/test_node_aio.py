"""A node from asyncio: what it retries, what it destroys, and what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import pytest

from cenote.connection import OPEN, Access, UnixAddress
from cenote.errors import (
    ClientError,
    ConnectFailed,
    ConnectionLost,
    OperationTimeout,
    PoolClosed,
)
from cenote.node.aio import AsyncNode, AsyncServerConnector
from cenote.node.witness_aio import AsyncWitness
from cenote.pool import PoolOptions
from cenote.protocol import STORED, get, incr, meta_set, quiet, store
from cenote.testing.faults import Stall
from cenote.testing.proxy import FaultProxy
from tests.node.worlds import TRUSTING, address_of, async_node_behind, soon


@asynccontextmanager
async def node_of(proxy: FaultProxy, options: PoolOptions = TRUSTING) -> AsyncIterator[AsyncNode]:
    node = async_node_behind(proxy, options)
    try:
        yield node
    finally:
        await node.close()


async def put(node: AsyncNode, key: bytes, value: bytes) -> None:
    assert await node.request(store("set", key, value, 0, 0), soon()) is STORED


async def all_returned(node: AsyncNode) -> None:
    """Let the loop run until no connection is out on lease."""
    async with asyncio.timeout(5):
        while node.pool.stats().used:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0)


async def test_a_request_whose_idle_connection_was_closed_is_sent_again(proxy: FaultProxy) -> None:
    """The loop has not been told of the end yet: the request itself finds out."""
    async with node_of(proxy) as node:
        await put(node, b"again", b"v")
        proxy.hang_up()
        assert await node.request(get(b"again"), soon()) == (b"v", 0, 0)
        assert node.health().retries == 1


async def test_an_increment_is_not_sent_again(proxy: FaultProxy) -> None:
    async with node_of(proxy) as node:
        await put(node, b"count", b"1")
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            await node.request(incr(b"count", 1), soon())
        assert await node.request(get(b"count"), soon()) == (b"1", 0, 0)
        assert node.health().retries == 0


async def test_a_connection_that_ends_in_its_first_use_is_an_error(proxy: FaultProxy) -> None:
    async with node_of(proxy, replace(TRUSTING, min_size=1)) as node:
        await node.open(5.0)
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            await node.request(get(b"k"), soon())


async def test_one_ended_connection_condemns_its_siblings(proxy: FaultProxy) -> None:
    """Else each of them would cost a caller its one retry."""
    async with node_of(proxy) as node:
        async with node.lease(soon()), node.lease(soon()), node.lease(soon()):
            assert node.pool.stats().used == 3
        await put(node, b"k", b"v")
        proxy.hang_up()
        assert await node.request(get(b"k"), soon()) == (b"v", 0, 0)
        assert await node.request(get(b"k"), soon()) == (b"v", 0, 0)
        assert node.health().retries == 1


async def test_an_error_reply_costs_no_connection(proxy: FaultProxy) -> None:
    async with node_of(proxy) as node:
        await put(node, b"word", b"x")
        with pytest.raises(ClientError):
            await node.request(incr(b"word", 1), soon())
        assert await node.request(get(b"word"), soon()) == (b"x", 0, 0)
        assert node.pool.stats().created == 1


async def test_a_request_that_times_out_costs_no_connection(proxy: FaultProxy) -> None:
    """Its reply is swallowed when it comes; meanwhile nobody new waits behind it."""
    async with node_of(proxy) as node:
        await put(node, b"k", b"v")
        await put(node, b"other", b"w")
        proxy.replies = Stall()
        began = monotonic()
        with pytest.raises(OperationTimeout):
            await node.request(get(b"k"), began + 0.5)
        proxy.heal()
        assert await node.request(get(b"other"), soon()) == (b"w", 0, 0)
        await all_returned(node)
        assert sum(node.pool.stats().closed.values()) == 0


async def test_a_cancelled_request_costs_no_connection(proxy: FaultProxy) -> None:
    """The next caller is answered with what he asked for, on the same connection."""
    async with node_of(proxy) as node:
        await put(node, b"mine", b"1")
        await put(node, b"yours", b"2")
        proxy.replies = Stall()
        task = asyncio.ensure_future(node.request(get(b"mine"), soon()))
        arrived = proxy.requested
        await asyncio.sleep(0)
        await asyncio.to_thread(proxy.wait_for, lambda seen: seen.requested > arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.heal()
        assert await node.request(get(b"yours"), soon()) == (b"2", 0, 0)
        await all_returned(node)
        assert node.pool.stats().created == 1


async def test_a_posted_request_is_carried_out(proxy: FaultProxy) -> None:
    async with node_of(proxy) as node:
        await node.post(quiet(meta_set(b"posted", b"v")), soon())
        assert await node.request(get(b"posted"), soon()) == (b"v", 0, 0)
        assert node.pool.stats().created == 1


async def test_traits_are_asked_for_once(proxy: FaultProxy) -> None:
    async with node_of(proxy) as node:
        traits = await node.traits(soon())
        assert traits.meta
        assert await node.traits(0.0) is traits


async def test_health_names_the_last_error_until_a_connect_succeeds(proxy: FaultProxy) -> None:
    async with node_of(proxy) as node:
        assert node.health().state == "unknown"
        proxy.stop()
        with pytest.raises((ConnectFailed, TimeoutError)):
            await node.request(get(b"k"), monotonic() + 0.5)
        assert node.health().state == "down"
        assert "refused" in str(node.health().last_error).lower()
        proxy.start()
        await put(node, b"k", b"v")
        assert (node.health().state, node.health().last_error) == ("up", None)


async def test_a_closed_node_stays_closed(proxy: FaultProxy) -> None:
    node = async_node_behind(proxy)
    await put(node, b"k", b"v")
    await node.close()
    with pytest.raises(PoolClosed):
        await node.request(get(b"k"), soon())
    assert repr(node) == "<AsyncNode n>"


@pytest.mark.parametrize("protocol", ["meta", "classic"])
async def test_a_ping_is_a_round_trip(proxy: FaultProxy, protocol) -> None:
    async with node_of(proxy) as node:
        connector = AsyncServerConnector(node._connector._address, Access(protocol=protocol), 5.0)
        connection = await connector.connect(5.0)
        await connector.ping(connection)
        assert connector.is_alive(connection)
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            await connector.ping(connection)
        connector.abort(connection)
        assert connection.closed


class Interrupted(AsyncWitness):
    """What a user's callback raises comes out of here."""

    def connected(self) -> None:
        raise Told


class Told(BaseException):
    """No mere error."""


async def test_a_connection_whose_witness_is_interrupted_is_closed(proxy: FaultProxy) -> None:
    connector = AsyncServerConnector(address_of(proxy), OPEN, 5.0)
    connector.witness = Interrupted()
    with pytest.raises(Told):
        await connector.connect(5.0)
    await asyncio.to_thread(
        proxy.wait_for, lambda seen: seen.accepted == 1 and not seen.connections
    )


async def test_a_connector_remembers_why_it_could_not_connect(tmp_path) -> None:
    connector = AsyncServerConnector(UnixAddress(str(tmp_path / "nobody")), OPEN, 1.0)
    with pytest.raises(OSError, match="nobody"):
        await connector.connect(1.0)
    assert "nobody" in str(connector.last_error)
