"""Tens of thousands of tasks under random cancels, timeouts, faults and restarts of the server.

Nobody is given a wrong value, no connection is lost, nobody waits for ever. ``CENOTE_PROOF=1``
(``make proof``) runs the full form, ``CENOTE_STORMS=20`` more seeds; ``CENOTE_SEED=7`` replays one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
import uvloop

from cenote.testing.memcached import MemcachedServer
from tests.chaos.world import Storm

FULL = os.environ.get("CENOTE_PROOF") == "1"
STORMS = int(os.environ.get("CENOTE_STORMS", "5" if FULL else "1"))
ALONE = os.environ.get("CENOTE_SEED")
SEEDS = [int(ALONE)] if ALONE else range(1, STORMS + 1)
TASKS = 40_000 if FULL else 5_000

pytestmark = [pytest.mark.proof, pytest.mark.stress, pytest.mark.timeout(1800)]


@pytest.fixture
def server() -> Iterator[MemcachedServer]:
    with MemcachedServer() as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_storm_harms_nobody(
    server: MemcachedServer,
    seed: int,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    record_property: Callable[[str, object], None],
) -> None:
    complaints: list[object] = []
    storm = Storm(seed, server, TASKS)
    print(f"seed {seed}")  # noqa: T201 - shown if the test fails
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(storm.run())
    assert complaints == []
    assert storm.requests >= TASKS - storm.writers
    assert storm.ended["answered"] > storm.requests // 20, storm.ended
    assert storm.ended["cancelled"], storm.ended
    assert not storm.ended["ProtocolError"], storm.ended  # no reply ever came out of step
    print(f"{storm.requests} requests: {storm.ended}")  # noqa: T201
    record_property("requests", storm.requests)
    record_property("seed", seed)
