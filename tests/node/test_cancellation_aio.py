"""Shared connections under a cancel, and two, at every point where a caller can be cancelled.

Strategy: see ``tests/cancellation.py``; the server (``tests/node/peer.py``) is in the same loop, so
that turns can be counted. In every schedule all others are answered with what they asked for, and
no connection stays out on lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cenote.errors import CenoteError, ConnectionLost, PoolClosed
from cenote.node.aio import AsyncNode
from cenote.node.many_aio import exchange_all
from cenote.node.sharing import Sharing
from cenote.protocol import STORED, get, incr, meta_set, quiet, store
from tests.cancellation import Victim
from tests.conftest import Proof
from tests.node.peer import Peer, turns, world
from tests.node.worlds import TRUSTING, soon

pytestmark = [pytest.mark.proof, pytest.mark.stress]

Work = Callable[[Peer, AsyncNode], Awaitable[object]]

LONG = store("set", b"long", bytes(2000), 0, 0)
FEW = Sharing(max_in_flight=2, long_value=1000)


async def ask(node: AsyncNode, key: bytes) -> object:
    return await node.request(get(key), soon())


async def sharing_it(node: AsyncNode, key: bytes) -> None:
    assert await ask(node, key) == (key, 0, 0)


async def lease(peer: Peer, node: AsyncNode) -> None:
    async with node.lease(soon()) as connection:
        assert await connection.exchange(get(b"leased"), soon()) == (b"leased", 0, 0)


async def batch(peer: Peer, node: AsyncNode) -> None:
    assert await exchange_all([(node, get(b"v"))], soon()) == [(b"v", 0, 0)]


async def several(peer: Peer, node: AsyncNode) -> None:
    asked = [node.request(get(b"v%d" % n), soon()) for n in range(5)]
    assert await asyncio.gather(*asked) == [(b"v%d" % n, 0, 0) for n in range(5)]


WORKS: dict[str, Work] = {
    "a request": lambda _, node: ask(node, b"v"),
    "a long request": lambda _, node: node.request(LONG, soon()),
    "an increment that is refused": lambda _, node: node.request(incr(b"v", 1), soon()),
    "a posted request": lambda _, node: node.post(quiet(meta_set(b"v", b"x")), soon()),
    "a batch": batch,
    "several at once": several,
    "a lease": lease,
    "traits": lambda _, node: node.traits(soon()),
    "open": lambda _, node: node.open(60.0),
}

DONE_AT_ONCE = ("a posted request", "traits", "open")  # where there is a connection


async def done(work: Awaitable[object]) -> None:
    """Wait for a work; an error of the server, or of the connection, is a result, too."""
    try:
        await work
    except CenoteError:
        return


async def play(victim: Victim, folder: Path, work: Work, *, cold: bool, max_size: int = 2) -> None:
    """Let the victim work among others, who come before, with and after it."""
    options = replace(TRUSTING, max_size=max_size, min_size=1 if cold else 0, connect_timeout=60.0)
    async with world(folder, options, FEW) as (peer, node):
        if not cold:
            await ask(node, b"warm")
        others = [asyncio.create_task(sharing_it(node, b"before%d" % n)) for n in range(2)]
        victim.start(done(work(peer, node)))
        others += [asyncio.create_task(sharing_it(node, b"with%d" % n)) for n in range(2)]
        await turns(3)
        others += [asyncio.create_task(sharing_it(node, b"after%d" % n)) for n in range(2)]
        await victim.ended()
        await asyncio.gather(*others)
        await sharing_it(node, b"next")
        assert await node.request(store("set", b"k", b"v", 0, 0), soon()) is STORED


@pytest.mark.parametrize("max_size", [1, 2])
@pytest.mark.parametrize("name", [name for name in WORKS if name not in DONE_AT_ONCE])
def test_a_cancelled_caller_harms_nobody(
    proof: Proof, tmp_path: Path, name: str, max_size: int
) -> None:
    async def scenario(victim: Victim) -> None:
        await play(victim, tmp_path, WORKS[name], cold=False, max_size=max_size)

    proof(scenario)


@pytest.mark.parametrize("max_size", [1, 2])
@pytest.mark.parametrize("name", WORKS)
def test_nor_does_one_in_the_line(proof: Proof, tmp_path: Path, name: str, max_size: int) -> None:
    async def scenario(victim: Victim) -> None:
        await play(victim, tmp_path, WORKS[name], cold=True, max_size=max_size)

    proof(scenario)


def test_nor_does_one_whose_connection_is_lost(proof: Proof, tmp_path: Path) -> None:
    """What may be is asked again elsewhere; the victim leaves before, meanwhile, or after."""

    async def scenario(victim: Victim) -> None:
        async with world(tmp_path, max_size=1) as (peer, node):
            await ask(node, b"warm")
            peer.eager = False
            others = [asyncio.create_task(sharing_it(node, b"before"))]
            victim.start(ask(node, b"v"))
            others.append(asyncio.create_task(sharing_it(node, b"with")))
            await turns(4)
            peer.eager = True
            peer.links[0].transport.abort()
            await victim.ended()
            await asyncio.gather(*others)
            await sharing_it(node, b"next")

    proof(scenario)


def test_nor_does_one_while_the_server_is_down(proof: Proof, tmp_path: Path) -> None:
    """Whoever stands in line then is served by the next connection."""

    async def scenario(victim: Victim) -> None:
        async with world(tmp_path, max_size=1) as (peer, node):
            peer.greets = False
            others = [asyncio.create_task(sharing_it(node, b"before"))]
            victim.start(ask(node, b"v"))
            await turns(8)
            peer.greet()
            others.append(asyncio.create_task(sharing_it(node, b"with")))
            await victim.ended()
            await asyncio.gather(*others)

    proof(scenario)


def test_a_cancelled_close_has_closed_the_node(proof: Proof, tmp_path: Path) -> None:
    async def scenario(victim: Victim) -> None:
        async with world(tmp_path, max_size=2) as (peer, node):
            await ask(node, b"warm")
            peer.eager = False
            asked = [node.request(get(b"k%d" % n), soon()) for n in range(3)]
            await turns(4)
            victim.start(node.close(60.0))
            await turns(4)
            peer.answer()
            await victim.ended()
            for number, reply in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
                assert reply == (b"k%d" % number, 0, 0) or isinstance(reply, ConnectionLost)
            with pytest.raises(PoolClosed):
                await ask(node, b"late")

    proof(scenario)
