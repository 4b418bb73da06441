"""What ends a shared connection, and what becomes of the requests that are on it."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest
import uvloop

from cenote.errors import (
    ConnectionLost,
    OperationTimeout,
    PoolClosed,
    ProtocolError,
    WrongLoop,
)
from cenote.node.aio import AsyncNode
from cenote.node.sharing import Sharing
from cenote.protocol import get, incr, meta_set, quiet
from cenote.testing.faults import Stall
from cenote.testing.proxy import FaultProxy
from tests.node.peer import Link, Peer, turns, until, world
from tests.node.worlds import async_node_behind, soon

NewLoop = Callable[[], asyncio.AbstractEventLoop]

SHALLOW = Sharing(max_in_flight=4)


def ask(node: AsyncNode, key: bytes, deadline: float | None = None) -> asyncio.Future[object]:
    return node.request(get(key), deadline or soon())  # type: ignore[return-value]


async def warm(peer: Peer, node: AsyncNode) -> Link:
    """Open one connection; from then on the peer answers only when told to."""
    assert await ask(node, b"warm") == (b"warm", 0, 0)
    peer.eager = False
    return peer.links[0]


# Callers that leave.


async def test_callers_that_leave_shift_no_reply_and_cost_no_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await warm(peer, node)
        draw = random.Random(7)
        asked = {b"k%d" % n: ask(node, b"k%d" % n) for n in range(300)}
        await turns(1)
        left = {key for key in asked if draw.random() < 0.5}
        for key in left:
            asked[key].cancel()
        peer.answer()
        for key, pending in asked.items():
            if key not in left:
                assert await pending == (key, 0, 0)
        await until(lambda: node.pool.stats().used == 0)
        assert len(peer.links) == 1
        assert sum(node.pool.stats().closed.values()) == 0


async def test_replies_that_come_too_late_are_swallowed(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        late = [ask(node, b"late%d" % n, monotonic() + 0.2) for n in range(5)]
        patient = [ask(node, b"k%d" % n) for n in range(5)]
        for error in await asyncio.gather(*late, return_exceptions=True):
            assert isinstance(error, OperationTimeout)
        link.answer()
        assert await asyncio.gather(*patient) == [(b"k%d" % n, 0, 0) for n in range(5)]
        await until(lambda: node.pool.stats().used == 0)
        assert link.open


# Replies that do not come.


async def test_nobody_new_waits_behind_a_reply_that_is_overdue(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        with pytest.raises(OperationTimeout):
            await ask(node, b"late", monotonic() + 0.1)
        peer.eager = True
        assert await ask(node, b"new") == (b"new", 0, 0)
        assert link.keys == [b"warm", b"late"]
        link.answer()
        await until(lambda: node.pool.stats().idle == 2)


async def test_a_connection_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    """Its other callers hear of it at once; what does no harm twice is asked elsewhere, once."""
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        late = ask(node, b"late", monotonic() + 0.2)
        gets = [ask(node, b"k%d" % n) for n in range(5)]
        increment = node.request(incr(b"n", 1), soon())
        await until(lambda: len(link.requests) == 8)
        peer.eager = True
        with pytest.raises(OperationTimeout):
            await late
        with pytest.raises(ConnectionLost):
            await increment
        assert await asyncio.gather(*gets) == [(b"k%d" % n, 0, 0) for n in range(5)]
        assert node.health().retries == 5
        assert sum(b"n" in each.keys for each in peer.links) == 1
        assert not link.open


async def test_no_more_is_asked_elsewhere_than_the_budget_pays_for(tmp_path: Path) -> None:
    tokens = [True, True, False, False, False]
    async with world(tmp_path) as (peer, node):
        node.spend = lambda: tokens.pop(0)
        link = await warm(peer, node)
        late = ask(node, b"late", monotonic() + 0.2)
        gets = [ask(node, b"k%d" % n) for n in range(5)]
        await until(lambda: len(link.requests) == 7)
        peer.eager = True
        with pytest.raises(OperationTimeout):
            await late
        replies = await asyncio.gather(*gets, return_exceptions=True)
        assert replies[:2] == [(b"k0", 0, 0), (b"k1", 0, 0)]
        assert [type(reply) for reply in replies[2:]] == [ConnectionLost] * 3
        assert node.health().retries == 2


async def test_it_is_not_given_up_while_its_caller_has_patience(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        patient, hasty = ask(node, b"patient"), ask(node, b"hasty", monotonic() + 0.05)
        with pytest.raises(OperationTimeout):
            await hasty
        with pytest.raises(OperationTimeout):
            await ask(node, b"hasty2", monotonic() + 0.2)
        peer.answer()
        assert await patient == (b"patient", 0, 0)
        assert link.open
        assert len(peer.links) == 1


async def test_when_all_callers_have_left_a_silent_connection_is_given_up_all_the_same(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        pending = ask(node, b"k", monotonic() + 0.1)
        await until(lambda: link.unanswered == 1)
        pending.cancel()
        await until(lambda: node.pool.stats().live == 0)
        await until(lambda: not link.open)


# Connections that end.


async def test_the_end_of_one_connection_does_not_send_requests_to_another_that_ended(
    tmp_path: Path,
) -> None:
    """A server restarts: all its connections are gone, but the loop is told of one at a time."""
    async with world(tmp_path, sharing=SHALLOW, max_size=3) as (peer, node):
        await warm(peer, node)
        asked: list[asyncio.Future[object]] = []
        while node.pool.stats().used < 3:
            asked.append(ask(node, b"k%d" % len(asked)))
            await turns(1)
        while len(asked) < 60:
            asked.append(ask(node, b"k%d" % len(asked)))
            await turns(1)
        await until(lambda: peer.asked() == 61)
        for link in peer.links:
            link.answer(1)
        await turns(10)
        peer.eager = True
        peer.hang_up()
        assert await asyncio.gather(*asked) == [(b"k%d" % n, 0, 0) for n in range(60)]


async def test_a_connection_added_for_nothing_goes_back_when_the_other_ends(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, sharing=SHALLOW, max_size=2) as (peer, node):
        async with node.lease(soon()), node.lease(soon()):
            assert node.pool.stats().used == 2
        await warm(peer, node)
        asked = [node.request(incr(b"n", 1), soon()) for _ in range(10)]
        await until(lambda: peer.asked() == 11)
        assert node.pool.stats().used == 2
        next(link for link in peer.links if link.unanswered).transport.abort()
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, ConnectionLost)
        await until(lambda: node.pool.stats().used == 0)


async def test_a_server_that_closes_after_each_reply_is_bearable(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        peer.hangs_up = True
        for number in range(20):
            key = b"k%d" % number
            assert await ask(node, key) == (key, 0, 0)
        asked = [ask(node, b"k%d" % n) for n in range(10)]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for number, reply in enumerate(replies):
            assert isinstance(reply, ConnectionLost) or reply == (b"k%d" % number, 0, 0)


async def test_bytes_that_nobody_asked_for_harm_nobody(tmp_path: Path) -> None:
    """They end the connection, and no caller is given them."""
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        pending = ask(node, b"mine")
        link.say(b"VALUE foreign 0 1\r\nx\r\nEND\r\n")
        with pytest.raises(ProtocolError, match="foreign"):
            await pending
        peer.eager = True
        assert await ask(node, b"k") == (b"k", 0, 0)
        await until(lambda: not link.open)


# The end of a connection's life.


async def test_a_connection_at_the_end_of_its_life_is_replaced_and_never_cut(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, max_lifetime=0.2, lifetime_jitter=0.0, max_size=2) as (peer, node):
        link = await warm(peer, node)
        old = [ask(node, b"old%d" % n) for n in range(3)]
        await until(lambda: link.unanswered == 3)
        while len(peer.links) == 1:
            old.append(ask(node, b"old%d" % len(old)))
            await turns(20)
        fresh = [ask(node, b"new%d" % n) for n in range(3)]
        await until(lambda: peer.asked() == len(old) + 4)
        assert link.open
        peer.answer()
        assert await asyncio.gather(*old) == [(b"old%d" % n, 0, 0) for n in range(len(old))]
        assert await asyncio.gather(*fresh) == [(b"new%d" % n, 0, 0) for n in range(3)]
        await until(lambda: not link.open)
        assert node.pool.stats().closed["lifetime"] >= 1


async def test_a_connection_whose_life_ends_before_anything_is_waited_for_leaves_no_lease(
    tmp_path: Path,
) -> None:
    """Its successor was leased for nothing: only what nobody waits for had been asked."""
    async with world(tmp_path, max_lifetime=0.5, lifetime_jitter=0.0, max_size=2) as (peer, node):
        async with node.lease(soon()):
            old = monotonic()
            await until(lambda: monotonic() > old + 0.2)
            async with node.lease(soon()):
                pass
        await node.post(quiet(meta_set(b"k", b"v")), soon())
        while monotonic() < old + 0.5:
            pass  # the loop is busy until then: what was asked has not left
        await until(lambda: peer.asked() > 0)
        await until(lambda: node.pool.stats().used == 0)


async def test_the_only_connection_is_renewed_under_constant_load(tmp_path: Path) -> None:
    async with world(tmp_path, max_lifetime=0.1, lifetime_jitter=0.0, max_size=1) as (peer, node):
        stopping = False

        async def load(key: bytes) -> None:
            while not stopping:
                assert await ask(node, key) == (key, 0, 0)

        tasks = [asyncio.create_task(load(b"k%d" % n)) for n in range(10)]
        await until(lambda: len(peer.links) == 3)
        stopping = True
        await asyncio.gather(*tasks)
        assert node.pool.stats().closed["error"] == 0


async def test_when_a_generation_ends_what_is_in_flight_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        asked = [ask(node, b"k%d" % n) for n in range(3)]
        await until(lambda: link.unanswered == 3)
        node.pool.invalidate_all()
        asked.append(ask(node, b"k3"))
        await until(lambda: link.unanswered == 4)
        newer = ask(node, b"newer")
        await until(lambda: len(peer.links) == 2 and peer.links[1].unanswered == 1)
        peer.answer()
        assert await asyncio.gather(*asked) == [(b"k%d" % n, 0, 0) for n in range(4)]
        assert await newer == (b"newer", 0, 0)
        await until(lambda: not link.open)
        assert node.pool.stats().closed["invalidated"] == 1


# The end of the node, and of its loop.


async def test_closing_lets_what_is_in_flight_end(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        asked = [ask(node, b"k%d" % n) for n in range(3)]
        await until(lambda: link.unanswered == 3)
        closing = asyncio.create_task(node.close(20.0))
        await turns(5)
        with pytest.raises(PoolClosed):
            await ask(node, b"late")
        peer.answer()
        assert await asyncio.gather(*asked) == [(b"k%d" % n, 0, 0) for n in range(3)]
        await closing
        assert node.pool.stats().live == 0


async def test_closing_fails_what_does_not_end_in_time(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        link = await warm(peer, node)
        asked = [ask(node, b"k%d" % n) for n in range(3)]
        await until(lambda: link.unanswered == 3)
        await node.close(0.05)
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, ConnectionLost) for each in failed)
        assert len({id(each) for each in failed}) == 3
        assert node.pool.stats().used == 0
        await until(lambda: not link.open)


async def test_a_cancelled_close_leaves_nothing_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await warm(peer, node)
        pending = ask(node, b"k")
        closing = asyncio.create_task(node.close(20.0))
        await turns(5)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConnectionLost):
            await pending
        assert node.pool.stats().used == 0


async def test_a_request_from_another_thread_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await ask(node, b"warm")
        refused: list[BaseException] = []

        def use() -> None:
            for call in (lambda: ask(node, b"k"), lambda: asyncio.run(alone())):
                try:
                    call()
                except WrongLoop as error:
                    refused.append(error)

        async def alone() -> None:
            await ask(node, b"k")

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(refused) == 2
        assert await ask(node, b"k") == (b"k", 0, 0)
        assert peer.links[0].keys == [b"warm", b"k"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the loops', as they should
@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_node_does_not_outlive_its_loop(proxy: FaultProxy, new_loop: NewLoop) -> None:
    """The loop ends with a request in flight: its caller is cancelled, no other loop may go on."""
    node = async_node_behind(proxy)
    callers: list[asyncio.Task[object]] = []

    async def wait() -> object:
        return await ask(node, b"never")

    async def begin() -> None:
        await ask(node, b"warm")
        proxy.replies = Stall()
        callers.append(asyncio.create_task(wait()))
        await turns(5)

    async def use() -> None:
        with pytest.raises(WrongLoop, match="which is closed"):
            await ask(node, b"k")

    for scenario in (begin, use):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(scenario())
    assert callers.pop().cancelled()
    gc.collect()
