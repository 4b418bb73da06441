"""Callers share connections: which one a request takes, and how many there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cenote.errors import ClientError
from cenote.node.aio import AsyncNode
from cenote.node.sharing import Sharing
from cenote.protocol import STORED, get, incr, store
from tests.node.peer import Link, Peer, turns, until, world
from tests.node.worlds import soon

SHALLOW = Sharing(max_in_flight=4)
SHORT = Sharing(long_value=1000)
LONG = store("set", b"long", bytes(2000), 0, 0)


def ask(node: AsyncNode, key: bytes) -> asyncio.Future[object]:
    return node.request(get(key), soon())  # type: ignore[return-value]


async def warm(peer: Peer, node: AsyncNode) -> Link:
    """Open one connection; from then on the peer answers only when told to."""
    assert await ask(node, b"warm") == (b"warm", 0, 0)
    peer.eager = False
    return peer.links[0]


def carrier(peer: Peer, key: bytes) -> Link:
    """The one connection on which a key was asked for."""
    (link,) = (link for link in peer.links if key in link.keys)
    return link


async def test_requests_of_one_turn_share_a_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        keys = [b"k%d" % n for n in range(200)]
        await ask(node, b"warm")
        replies = await asyncio.gather(*[ask(node, key) for key in keys])
        assert replies == [(key, 0, 0) for key in keys]
        assert len(peer.links) == 1
        assert node.pool.stats().acquired == 1  # who was woken asked before it was given back


async def test_a_thousand_requests_at_a_cold_start_open_few_connections(tmp_path: Path) -> None:
    """They stand in line for the first; that one is deep, so there may be a second."""
    async with world(tmp_path, max_size=10) as (peer, node):
        keys = [b"k%d" % n for n in range(1000)]
        replies = await asyncio.gather(*[ask(node, key) for key in keys])
        assert replies == [(key, 0, 0) for key in keys]
        assert len(peer.links) <= 2


async def test_no_connection_is_added_while_one_is_shallow(tmp_path: Path) -> None:
    async with world(tmp_path, sharing=SHALLOW) as (peer, node):
        link = await warm(peer, node)
        asked = [ask(node, b"k%d" % n) for n in range(4)]
        await until(lambda: link.unanswered == 4)
        await turns(20)
        assert len(peer.links) == 1
        peer.answer()
        await asyncio.gather(*asked)


async def test_connections_are_added_while_all_are_deep_and_not_over_the_pools_size(
    tmp_path: Path,
) -> None:
    """Each request takes the one with the fewest in flight, so they end up even."""
    async with world(tmp_path, sharing=SHALLOW, max_size=3) as (peer, node):
        await warm(peer, node)
        asked: list[asyncio.Future[object]] = []
        while node.pool.stats().used < 3:
            asked.append(ask(node, b"k%d" % len(asked)))
            await turns(1)
        while len(asked) < 300:
            asked.append(ask(node, b"k%d" % len(asked)))
            await turns(1)
        await until(lambda: peer.asked() == len(asked) + 1)
        assert len(peer.links) == 3
        depths = [link.unanswered for link in peer.links]
        assert max(depths) - min(depths) <= 1
        peer.answer()
        replies = await asyncio.gather(*asked)
        assert replies == [(b"k%d" % n, 0, 0) for n in range(300)]


async def test_what_is_drained_goes_back_to_the_pool(tmp_path: Path) -> None:
    async with world(tmp_path, sharing=SHALLOW, max_size=3) as (peer, node):
        await warm(peer, node)
        asked: list[asyncio.Future[object]] = []
        while node.pool.stats().used < 3:
            asked.append(ask(node, b"k%d" % len(asked)))
            await turns(1)
        peer.answer()
        await asyncio.gather(*asked)
        await until(lambda: node.pool.stats().used == 0)
        assert node.pool.stats().idle == 3


async def test_small_requests_do_not_wait_behind_a_long_one(tmp_path: Path) -> None:
    async with world(tmp_path, sharing=SHORT) as (peer, node):
        await warm(peer, node)
        long = asyncio.ensure_future(node.request(LONG, soon()))
        small = ask(node, b"small")
        await until(lambda: peer.asked() == 3)
        assert carrier(peer, b"long") is not carrier(peer, b"small")
        carrier(peer, b"small").answer()
        assert await small == (b"small", 0, 0)
        assert not long.done()
        peer.answer()
        assert await long is STORED


async def test_a_key_whose_value_was_long_does_not_hold_up_others(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        peer.values[b"big"] = bytes(1 << 20)
        assert await ask(node, b"big") == (bytes(1 << 20), 0, 0)
        await warm(peer, node)
        for link in peer.links:
            link.requests.clear()
            link.answered = 0
        big, small = ask(node, b"big"), ask(node, b"small")
        await until(lambda: peer.asked() == 2)
        assert carrier(peer, b"big") is not carrier(peer, b"small")
        carrier(peer, b"small").answer()
        assert await small == (b"small", 0, 0)
        peer.answer()
        assert await big == (bytes(1 << 20), 0, 0)


async def test_a_key_that_is_stored_short_is_not_long_any_more(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        peer.values[b"k"] = bytes(1 << 20)
        await ask(node, b"k")
        stored = node.request(store("set", b"k", b"short", 0, 0), soon())
        assert await stored == STORED
        link = await warm(peer, node)
        link.requests.clear()
        link.answered = 0
        asked = [ask(node, key) for key in (b"k", b"small")]
        await until(lambda: peer.asked() >= 2)
        assert carrier(peer, b"k") is carrier(peer, b"small")
        peer.answer()
        await asyncio.gather(*asked)


async def test_many_long_requests_leave_a_connection_to_the_others(tmp_path: Path) -> None:
    async with world(tmp_path, sharing=SHORT, max_size=3) as (peer, node):
        await warm(peer, node)
        longs = []
        for _ in range(30):
            longs.append(node.request(LONG, soon()))
            await turns(3)
        small = ask(node, b"small")
        await until(lambda: peer.asked() == 32)
        assert b"long" not in carrier(peer, b"small").keys
        carrier(peer, b"small").answer()
        assert await small == (b"small", 0, 0)
        peer.answer()
        assert await asyncio.gather(*longs) == [STORED] * 30


async def test_long_requests_that_are_not_read_leave_a_connection_to_the_others(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, sharing=SHORT, max_size=3) as (peer, node):
        await warm(peer, node)
        peer.chokes_on = b"set long"
        huge, longs = store("set", b"long", bytes(1 << 20), 0, 0), []
        for _ in range(12):
            longs.append(node.request(huge, soon()))
            await turns(10)
        small = ask(node, b"small")
        await until(lambda: any(b"small" in link.keys for link in peer.links))
        carrier(peer, b"small").answer()
        assert await small == (b"small", 0, 0)
        peer.answer()
        assert await asyncio.gather(*longs) == [STORED] * 12


async def test_with_one_connection_long_and_short_requests_share_it(tmp_path: Path) -> None:
    async with world(tmp_path, sharing=SHORT, max_size=1) as (peer, node):
        replies: tuple[object, ...] = await asyncio.gather(
            ask(node, b"a"), node.request(LONG, soon()), ask(node, b"b")
        )
        assert [*replies] == [(b"a", 0, 0), STORED, (b"b", 0, 0)]
        assert len(peer.links) == 1


async def test_a_long_request_gets_its_turn_though_short_ones_have_every_connection(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, sharing=Sharing(max_in_flight=1, long_value=1000), max_size=2) as (
        peer,
        node,
    ):
        stopping = False

        async def load(key: bytes) -> None:
            while not stopping:
                assert await ask(node, key) == (key, 0, 0)

        tasks = [asyncio.create_task(load(b"k%d" % n)) for n in range(20)]
        await until(lambda: node.pool.stats().used == 2)
        for _ in range(10):
            assert await node.request(LONG, soon()) is STORED
        stopping = True
        await asyncio.gather(*tasks)
        assert len(peer.links) == 2


async def test_an_error_reply_reaches_its_own_caller_only(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await ask(node, b"warm")
        asked = [
            node.request(incr(b"n", 1), soon()) if n % 3 == 0 else ask(node, b"k%d" % n)
            for n in range(30)
        ]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        refused = [reply for reply in replies[::3] if isinstance(reply, ClientError)]
        assert len({id(each) for each in refused}) == 10
        assert [replies[n] for n in range(30) if n % 3] == [
            (b"k%d" % n, 0, 0) for n in range(30) if n % 3
        ]
        assert len(peer.links) == 1


@pytest.mark.parametrize("max_size", [1, 3])
async def test_a_connection_to_oneself_is_had_under_constant_load(
    tmp_path: Path, max_size: int
) -> None:
    async with world(tmp_path, sharing=Sharing(max_in_flight=1), max_size=max_size) as (peer, node):
        stopping = False

        async def load(key: bytes) -> None:
            while not stopping:
                assert await ask(node, key) == (key, 0, 0)

        tasks = [asyncio.create_task(load(b"k%d" % n)) for n in range(20)]
        await until(lambda: peer.asked() > 100)
        for _ in range(10):
            async with node.lease(soon()) as connection:
                peer.values[b"mine"] = b"1"
                assert await connection.exchange(get(b"mine"), soon()) == (b"1", 0, 0)
        stopping = True
        await asyncio.gather(*tasks)
        assert len(peer.links) <= max_size
