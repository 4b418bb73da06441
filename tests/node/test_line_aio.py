"""Where requests stand that no connection takes: how many, how long, and what becomes of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from time import monotonic

import pytest

from cenote.errors import ConnectFailed, OperationTimeout, PoolClosed, PoolSaturated, PoolTimeout
from cenote.node.aio import AsyncNode
from cenote.protocol import STORED, get, store
from tests.node.peer import turns, until, world
from tests.node.worlds import soon

VALUE = bytes(60_000)
SENT_AND_HELD_BACK = 4 << 20  # bytes: both sockets' buffers, the transport's, and what is held back


def ask(node: AsyncNode, key: bytes, deadline: float | None = None) -> asyncio.Future[object]:
    return node.request(get(key), deadline or soon())  # type: ignore[return-value]


async def errors_of(*asked: asyncio.Future[object]) -> list[BaseException]:
    """Wait for requests that all fail."""
    replies = await asyncio.gather(*asked, return_exceptions=True)
    failed = [reply for reply in replies if isinstance(reply, BaseException)]
    assert len(failed) == len(replies)
    return failed


async def test_a_server_that_does_not_read_bounds_what_is_kept_for_it(tmp_path: Path) -> None:
    """What was accepted is carried out once the server reads again, in order."""
    async with world(tmp_path, max_size=1, max_waiting=10) as (peer, node):
        await ask(node, b"warm")
        (link,) = peer.links
        link.transport.pause_reading()
        accepted: list[asyncio.Future[object]] = []
        with pytest.raises(PoolSaturated, match="max_waiting"):
            while len(accepted) < 1000:
                request = store("set", b"k%d" % len(accepted), VALUE, 0, 0)
                accepted.append(node.request(request, soon()))  # type: ignore[arg-type]
                await turns(1)
        assert 10 * len(VALUE) < len(accepted) * len(VALUE) < SENT_AND_HELD_BACK
        link.transport.resume_reading()
        assert await asyncio.gather(*accepted) == [STORED] * len(accepted)
        assert link.keys == [b"warm"] + [b"k%d" % n for n in range(len(accepted))]


async def test_a_cold_start_is_bounded_too(tmp_path: Path) -> None:
    async with world(tmp_path, max_waiting=5) as (_, node):
        asked = [ask(node, b"k%d" % n) for n in range(5)]
        with pytest.raises(PoolSaturated):
            await ask(node, b"one too many")
        assert await asyncio.gather(*asked) == [(b"k%d" % n, 0, 0) for n in range(5)]
        assert node.pool.stats().saturated == 1


async def test_whoever_has_left_the_line_takes_up_no_room(tmp_path: Path) -> None:
    async with world(tmp_path, max_waiting=3) as (peer, node):
        peer.greets = False
        left = [ask(node, b"left") for _ in range(3)]
        for each in left:
            each.cancel()
        stayed = [ask(node, b"k%d" % n) for n in range(3)]
        await until(lambda: bool(peer.links))
        peer.greet()
        assert await asyncio.gather(*stayed) == [(b"k%d" % n, 0, 0) for n in range(3)]
        assert b"left" not in peer.links[0].keys


async def test_whoever_is_too_late_in_the_line_is_told_why(tmp_path: Path) -> None:
    async with world(tmp_path, max_size=1) as (peer, node):
        peer.greets = False
        asked = [ask(node, b"k%d" % n, monotonic() + 0.05) for n in range(3)]
        patient = ask(node, b"patient")
        failed = await errors_of(*asked)
        assert all(isinstance(each, PoolTimeout) for each in failed)
        assert len({id(each) for each in failed}) == 3
        assert re.match(r"no connection within [\d.]+ m?s: 0/1 in use, 1 conn", str(failed[0]))
        peer.greet()
        assert await patient == (b"patient", 0, 0)
        assert peer.links[0].keys == [b"patient"]


async def test_a_deadline_that_has_passed_is_refused_in_the_line(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        with pytest.raises(PoolTimeout):
            await ask(node, b"k", monotonic() - 1.0)
        await ask(node, b"warm")
        peer.eager = False
        waiting = ask(node, b"k")
        with pytest.raises(OperationTimeout):
            await ask(node, b"late", monotonic() - 1.0)
        peer.answer()
        await waiting


async def test_a_request_whose_deadline_passes_as_its_turn_comes_is_not_sent(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (peer, node):
        peer.greets = False
        late, patient = ask(node, b"late", deadline := monotonic() + 0.05), ask(node, b"patient")
        await until(lambda: bool(peer.links))
        while monotonic() < deadline:  # the loop stands still meanwhile
            pass
        peer.greet()
        assert await patient == (b"patient", 0, 0)
        with pytest.raises(PoolTimeout):
            await late
        assert peer.links[0].keys == [b"patient"]


async def test_when_nobody_stands_in_line_any_more_nothing_waits_in_the_pool(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (peer, node):
        peer.greets = False
        late = ask(node, b"late", monotonic() + 0.05)
        await until(lambda: node.pool.stats().waiting == 1)
        await errors_of(late)
        await until(lambda: node.pool.stats().waiting == 0)


async def test_a_connect_that_fails_fails_whoever_stands_in_line(tmp_path: Path) -> None:
    """Each with an error of his own, which names the reason; the next attempt is the next's."""
    async with world(tmp_path, on_down="fail", down_after=1, backoff_base=0.0001) as (peer, node):
        await peer.stop()
        failed = await errors_of(*[ask(node, b"k") for _ in range(3)])
        assert all(isinstance(each, ConnectFailed) for each in failed)
        assert len({id(each) for each in failed}) == 3
        assert isinstance(failed[0].__cause__, OSError)
        await peer.start()
        while True:
            try:
                assert await ask(node, b"again") == (b"again", 0, 0)
                break
            except ConnectFailed:
                await turns(1)


async def test_closing_fails_whoever_stands_in_line(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        peer.greets = False
        asked = [ask(node, b"k") for _ in range(3)]
        await until(lambda: bool(peer.links))
        await node.close()
        assert all(isinstance(each, PoolClosed) for each in await errors_of(*asked))
        with pytest.raises(PoolClosed):
            await ask(node, b"k")


async def test_the_line_goes_on_though_every_task_is_cancelled(tmp_path: Path) -> None:
    """As a framework may: the task that opens connections is not spared."""
    async with world(tmp_path) as (peer, node):
        peer.greets = False
        first = ask(node, b"first")
        await until(lambda: bool(peer.links))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await turns(10)
        peer.greet()
        assert await ask(node, b"next") == (b"next", 0, 0)
        assert await first == (b"first", 0, 0)


async def test_a_lane_that_ends_leaves_the_line_to_the_next(tmp_path: Path) -> None:
    async with world(tmp_path, max_size=1) as (peer, node):
        await ask(node, b"warm")
        peer.links[0].transport.pause_reading()
        sent = [node.request(store("set", b"k", VALUE, 0, 0), soon()) for _ in range(20)]
        await turns(10)
        waiting = ask(node, b"waiting")
        await turns(10)
        peer.links[0].transport.abort()
        assert await waiting == (b"waiting", 0, 0)
        assert await asyncio.gather(*sent) == [STORED] * 20
        assert node.health().retries > 0


async def test_what_is_sent_again_keeps_its_order_and_goes_first(tmp_path: Path) -> None:
    async with world(tmp_path, max_size=1) as (peer, node):
        await ask(node, b"warm")
        peer.eager = False
        lost = [node.request(store("set", b"k", b"%d" % n, 0, 0), soon()) for n in range(20)]
        await until(lambda: peer.links[0].unanswered == 20)
        peer.eager = True
        peer.links[0].transport.abort()
        assert await asyncio.gather(*lost) == [STORED] * 20
        values = [each.split()[-1] for each in peer.links[1].requests]
        assert values == [b"%d" % n for n in range(20)]


async def test_once_a_connection_has_served_the_line_nothing_waits_in_the_pool(
    tmp_path: Path,
) -> None:
    """So it does not give way to a connection that it has made needless."""
    async with (
        world(tmp_path, max_size=2, max_waiting=10) as (peer, node),
        node.pool.connection(),  # the other connection is not to be had
    ):
        await ask(node, b"warm")
        link = peer.links[-1]
        link.transport.pause_reading()
        accepted: list[asyncio.Future[object]] = []
        with pytest.raises(PoolSaturated):
            while len(accepted) < 1000:
                request = store("set", b"k", VALUE, 0, 0)
                accepted.append(node.request(request, soon()))  # type: ignore[arg-type]
                await turns(1)
        assert node.pool.stats().waiting == 1
        link.transport.resume_reading()
        assert await asyncio.gather(*accepted) == [STORED] * len(accepted)
        assert node.pool.stats().waiting == 0
        assert node.pool.stats().handoffs <= 2
