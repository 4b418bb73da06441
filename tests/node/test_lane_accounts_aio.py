"""What must come out even on a shared connection: deadlines, leases, and who harms whom."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from cenote.errors import OperationTimeout, PoolTimeout, WrongLoop
from cenote.node.many_aio import exchange_all
from cenote.node.sharing import DEFAULTS, Sharing
from cenote.node.witness_aio import AsyncWitness
from cenote.protocol import STORED, get, meta_set, quiet, store
from tests.node.peer import until, world
from tests.node.worlds import TRUSTING, soon

ONE = replace(TRUSTING, max_size=1)
HEDGED = replace(DEFAULTS, hedge_after=0.02)


class Tally(AsyncWitness):
    """Adds up what it is told of requests that were not answered."""

    def __init__(self) -> None:
        self.failures = 0

    def failed(self, count: int = 1, *, lost: bool = False) -> None:
        self.failures += count


async def test_time_spent_in_line_is_not_given_a_second_time(tmp_path: Path) -> None:
    async with world(tmp_path, ONE) as (peer, node):
        peer.greets = False
        began = monotonic()
        waiting = node.request(get(b"k"), began + 2.0)
        await until(lambda: monotonic() > began + 1.9)  # in line: no handshake, no lane
        peer.eager = False
        peer.greet()
        with pytest.raises(OperationTimeout):
            await waiting
        assert 2.0 <= monotonic() - began < 3.9


async def test_a_request_that_comes_too_late_leaves_no_lease_behind(tmp_path: Path) -> None:
    async with world(tmp_path, ONE) as (_, node):
        await node.request(get(b"warm"), soon())
        await until(lambda: node.pool.stats().used == 0)
        with pytest.raises(OperationTimeout):
            await node.request(get(b"k"), 0.0)
        with pytest.raises(OperationTimeout):
            await node.post(store("set", b"k", b"v", 0, 0), 0.0)
        assert node.pool.stats().used == 0
        async with node.lease(soon()):
            assert node.pool.stats().used == 1


async def test_a_close_from_another_thread_closes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, ONE) as (_, node):
        await node.request(get(b"warm"), soon())
        with pytest.raises(WrongLoop):
            await asyncio.to_thread(asyncio.run, node.close())
        node.pool.invalidate_all()
        assert await node.request(get(b"k"), soon()) == (b"k", 0, 0)


async def test_what_a_cancelled_batch_has_in_line_is_never_sent(tmp_path: Path) -> None:
    async with world(tmp_path, ONE) as (peer, node):
        peer.greets = False
        batch = [(node, get(b"first")), (node, get(b"second"))]
        task = asyncio.create_task(exchange_all(batch, soon()))
        await until(lambda: len(peer.links) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        peer.greet()
        assert await node.request(get(b"k"), soon()) == (b"k", 0, 0)
        assert peer.links[0].keys == [b"k"]


async def test_a_caller_in_haste_does_not_end_the_connection_of_the_others(tmp_path: Path) -> None:
    async with world(tmp_path) as (peer, node):
        await node.request(get(b"warm"), soon())
        peer.eager = False
        hasty = node.request(get(b"hasty"), monotonic() + 0.005)
        patient = node.request(get(b"patient"), soon())
        with pytest.raises(OperationTimeout):
            await hasty
        late = monotonic()
        await until(lambda: monotonic() > late + 0.05)  # ten times as long as it had
        peer.answer()
        assert await patient == (b"patient", 0, 0)
        assert sum(node.pool.stats().closed.values()) == 0


async def test_what_stands_in_line_is_served_beside_newcomers(tmp_path: Path) -> None:
    async with world(tmp_path, ONE) as (_, node):
        await node.request(get(b"warm"), soon())
        big = [node.request(store("set", b"k", b"x" * 60_000, 0, 0), soon()) for _ in range(40)]
        busy = True

        async def newcomers() -> None:
            while busy:
                await node.request(get(b"k"), soon())

        crowd = [asyncio.create_task(newcomers()) for _ in range(8)]
        assert await asyncio.gather(*big) == [STORED] * 40
        busy = False
        await asyncio.gather(*crowd)


async def test_posted_requests_that_are_not_read_do_not_keep_the_loop_busy(tmp_path: Path) -> None:
    """A connection with posted requests only is clean, but not one to give back and lease again."""
    async with world(tmp_path, ONE) as (peer, node):
        await node.request(get(b"warm"), soon())
        await until(lambda: node.pool.stats().used == 0)
        peer.chokes_on = b"ms"
        note = quiet(meta_set(b"k", b"x" * 60_000))
        with pytest.raises(PoolTimeout):  # once the connection takes no more
            while True:
                with suppress(OperationTimeout):  # it came too late to be sent
                    await node.post(note, monotonic() + 0.3)
        leases = node.pool.stats().acquired
        assert await node.request(get(b"k"), soon()) == (b"k", 0, 0)
        assert node.pool.stats().acquired - leases < 10


@pytest.mark.parametrize(("sharing", "failures"), [(DEFAULTS, 5), (HEDGED, 1)])
async def test_what_is_late_is_held_against_the_server_once(
    sharing: Sharing, failures: int, tmp_path: Path
) -> None:
    """Not again when its connection is given up, and not if another connection has answered it."""
    async with world(tmp_path, sharing=sharing) as (peer, node):
        await node.request(get(b"warm"), soon())
        tally = Tally()
        node.watched_by(tally)
        before = node.hedged
        link, peer.eager = peer.links[0], False
        deadline = monotonic() + 1.0
        asked = [asyncio.ensure_future(node.request(get(b"%d" % n), deadline)) for n in range(5)]
        await until(lambda: link.unanswered == 5)
        peer.eager = True
        await asyncio.gather(*asked, return_exceptions=True)
        assert node.hedged - before == (5 if sharing is HEDGED else 0)
        await until(lambda: not link.open)
        assert tally.failures == failures
