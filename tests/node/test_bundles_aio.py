"""The gets of one turn leave as one request: whose reply is whose, and what passes what."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from time import monotonic

import pytest

from cenote.errors import ConnectionLost, OperationTimeout, OutOfMemory, ProtocolError
from cenote.node.aio import AsyncNode
from cenote.protocol import Request, flush_all, get, get_many, incr, store
from tests.node.peer import Link, Peer, until, world
from tests.node.worlds import soon


def ask(node: AsyncNode, request: Request) -> asyncio.Future[object]:
    return node.request(request, soon())  # type: ignore[return-value]


def put(key: bytes) -> Request:
    return store("set", key, b"v", 0, 0)


async def silent(peer: Peer, node: AsyncNode) -> Link:
    """Open one connection; from then on the peer answers only when told to."""
    await ask(node, get(b"warm"))
    peer.eager = False
    link = peer.links[0]
    link.requests.clear()
    link.answered = 0
    return link


async def heard(link: Link, count: int) -> list[bytes]:
    """Wait until so many requests have come; return them."""
    await until(lambda: len(link.requests) >= count)
    return link.requests


async def test_each_get_is_given_the_item_of_its_own_key_or_none(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        peer.values = {b"b": None, b"d": None}
        asked = [ask(node, get(key)) for key in (b"a", b"b", b"c", b"d")]
        assert await heard(link, 4) == [b"get a", b"get b", b"get c", b"get d\r\n"]
        link.answer()
        assert await asyncio.gather(*asked) == [(b"a", 0, 0), None, (b"c", 0, 0), None]


async def test_identical_gets_are_one_on_the_wire(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(key)) for key in (b"a", b"b", b"a", b"a")]
        assert await heard(link, 2) == [b"get a", b"get b\r\n"]
        link.answer()
        assert [item and item[0] for item in await asyncio.gather(*asked)] == [  # type: ignore[index]
            b"a", b"b", b"a", b"a",
        ]  # fmt: skip


async def test_very_many_gets_leave_as_several_requests(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(b"%d" % n)) for n in range(300)]
        assert sum(each.endswith(b"\n") for each in await heard(link, 300)) == 5
        link.answer()
        assert await asyncio.gather(*asked) == [(b"%d" % n, 0, 0) for n in range(300)]


async def test_gets_pass_what_is_about_other_keys_only(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        requests = [get(b"a"), put(b"b"), get(b"c"), put(b"a"), get(b"a"), get(b"d")]
        asked = [ask(node, each) for each in requests]
        assert [each.split()[:2] for each in await heard(link, 6)] == [
            [b"get", b"a"], [b"get", b"c"], [b"set", b"b"], [b"set", b"a"],
            [b"get", b"a"], [b"get", b"d"],
        ]  # fmt: skip
        link.answer()
        await asyncio.gather(*asked)


async def test_nothing_passes_what_may_be_about_every_key(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, each) for each in (get(b"a"), flush_all(), get(b"b"), get(b"c"))]
        verbs = [each.split()[0] for each in await heard(link, 4)]
        assert verbs == [b"get", b"flush_all", b"get", b"get"]
        link.say(b"VALUE a 0 1\r\nA\r\nEND\r\nOK\r\nEND\r\n")
        link.answered = len(link.requests)
        assert await asyncio.gather(*asked[:1]) == [(b"A", 0, 0)]
        assert await asyncio.gather(*asked[2:]) == [None, None]


@pytest.mark.parametrize("seed", range(8))
async def test_requests_about_one_key_arrive_in_the_order_asked(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        for _ in range(25):
            link.requests.clear()
            link.answered = 0
            requests = [
                draw.choice((get, get, get, put))(b"%d" % draw.randrange(6))
                for _ in range(draw.randrange(2, 90))
            ]
            asked = [ask(node, each) for each in requests]
            asked.append(ask(node, incr(b"last", 1)))
            await until(lambda: b"last" in link.keys)
            for n in range(6):
                key = b"%d" % n
                arrived = [each.split()[0] for each in link.requests if each.split()[1] == key]
                verbs = [each.verb.encode() for each in requests if each.key == key]
                assert _without_repeats(arrived) == _without_repeats(verbs)
            link.answer()
            await asyncio.gather(*asked, return_exceptions=True)


def _without_repeats(verbs: list[bytes]) -> list[bytes]:
    return [verb for n, verb in enumerate(verbs) if not n or verb != verbs[n - 1]]


async def test_an_error_for_all_reaches_each_as_an_error_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(key)) for key in (b"a", b"b", b"c")]
        link.answered = len(await heard(link, 3))
        link.say(b"SERVER_ERROR out of memory writing get response\r\n")
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error) for error in errors] == [OutOfMemory] * 3
        assert len(set(map(id, errors))) == 3
        peer.eager = True
        assert await ask(node, get(b"next")) == (b"next", 0, 0)
        assert len(peer.links) == 1


async def test_the_item_of_a_key_not_asked_for_is_believed_by_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(key)) for key in (b"a", b"b")]
        link.answered = len(await heard(link, 2))
        link.say(b"VALUE a 0 1\r\nA\r\nVALUE x 0 1\r\nX\r\nEND\r\n")
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, ProtocolError)
        await until(lambda: not link.open)
        assert node.pool.stats().used == 0


async def test_callers_that_leave_take_no_reply_with_them(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(b"%d" % n)) for n in range(50)]
        late = node.request(get(b"late"), monotonic() + 0.05)
        await heard(link, 51)
        for pending in asked[::3]:
            pending.cancel()
        with pytest.raises(OperationTimeout):
            await late
        peer.eager = True
        behind = ask(node, get(b"behind"))
        for n, pending in enumerate(asked):
            if n % 3:
                assert await pending == (b"%d" % n, 0, 0)
        assert await behind == (b"behind", 0, 0)
        assert len(peer.links) == 1


async def test_cut_short_in_the_middle_all_of_it_is_lost_and_nothing_else(tmp_path: Path) -> None:
    """Part of a reply has arrived: those gets are not sent again, those behind them are."""
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        together = [ask(node, get(key)) for key in (b"a", b"b", b"c")]
        await heard(link, 3)
        behind = [ask(node, get(key)) for key in (b"d", b"e")]
        await heard(link, 5)
        peer.eager = True
        link.say(b"VALUE a 0 1\r\nA\r\nVALUE b 0 1")
        link.transport.close()
        for error in await asyncio.gather(*together, return_exceptions=True):
            assert isinstance(error, ConnectionLost)
        assert await asyncio.gather(*behind) == [(b"d", 0, 0), (b"e", 0, 0)]


async def test_lost_before_any_reply_each_is_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(key)) for key in (b"a", b"b", b"c")]
        await heard(link, 3)
        peer.eager = True
        link.transport.close()
        assert await asyncio.gather(*asked) == [(b"a", 0, 0), (b"b", 0, 0), (b"c", 0, 0)]
        assert len(peer.links) == 2


async def test_one_long_value_among_short_ones_is_known_by_its_key(tmp_path: Path) -> None:
    """Asked again it travels apart, and the others do not wait behind it."""
    async with world(tmp_path, max_size=3) as (peer, node):
        await ask(node, get(b"warm"))
        peer.values = {b"big": bytes(300_000)}
        for _ in range(2):
            replies = await asyncio.gather(*[ask(node, get(key)) for key in (b"a", b"big", b"b")])
            assert replies == [(b"a", 0, 0), (bytes(300_000), 0, 0), (b"b", 0, 0)]
        asked = [each for link in peer.links for each in link.requests if b"big" in each]
        assert asked == [b"get big", b"get big\r\n"]


async def test_other_reads_travel_as_they_are(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, each) for each in (get(b"a"), get_many([b"b", b"c"]), incr(b"n", 1))]
        requests = [b"get a\r\n", b"get b", b"get c\r\n", b"incr n 1\r\n"]
        assert await heard(link, 4) == requests
        link.answer()
        await asyncio.gather(*asked, return_exceptions=True)


async def test_a_read_that_nobody_waits_for_travels_as_it_is(tmp_path: Path) -> None:
    """And when it is answered, the connection goes back."""
    async with world(tmp_path) as (peer, node):
        link = await silent(peer, node)
        asked = [ask(node, get(b"a"))]
        await node.post(get(b"posted"), soon())
        asked.append(ask(node, get(b"b")))
        assert await heard(link, 3) == [b"get a", b"get b\r\n", b"get posted\r\n"]
        link.answer()
        assert await asyncio.gather(*asked) == [(b"a", 0, 0), (b"b", 0, 0)]
        await until(lambda: node.pool.stats().used == 0)


async def test_a_connection_leased_by_one_caller_sends_what_he_asks(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await silent(peer, node)
        peer.eager = True
        async with node.pool.connection() as connection:
            link = peer.links[0]
            link.requests.clear()
            link.answered = 0
            replies = await connection.converse([get(b"a"), get(b"b")], soon())
            assert replies == [(b"a", 0, 0), (b"b", 0, 0)]
            assert link.requests == [b"get a\r\n", b"get b\r\n"]
