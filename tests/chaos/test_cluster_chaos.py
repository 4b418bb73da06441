"""Four servers under kills, freezes, restarts and changes of topology, from threads and tasks.

Nobody is given a wrong value, nothing is lost or hangs, and at the end every key is served again.
``CENOTE_PROOF=1`` (``make proof``) runs the full form, ``CENOTE_STORMS=20`` more seeds;
``CENOTE_SEED=7`` replays one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import uvloop

from cenote.cluster.failover import Failover
from cenote.testing.memcached import MemcachedServer
from tests.chaos.cluster_world import TaskStorm, ThreadStorm

FULL = os.environ.get("CENOTE_PROOF") == "1"
STORMS = int(os.environ.get("CENOTE_STORMS", "5" if FULL else "1"))
ALONE = os.environ.get("CENOTE_SEED")
SEEDS = [int(ALONE)] if ALONE else range(1, STORMS + 1)
REQUESTS = 20_000 if FULL else 2_000

pytestmark = [pytest.mark.proof, pytest.mark.stress, pytest.mark.timeout(1800)]


@pytest.fixture
def processes() -> Iterator[list[MemcachedServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(4)]


def report(storm: TaskStorm | ThreadStorm, record_property: Callable[[str, object], None]) -> None:
    """Assert that it was a storm, and tell of it."""
    ended, acts = storm.ledger.ended, storm.demon.acts
    print(f"{storm.ledger.requests} requests: {ended}; {acts}")  # noqa: T201
    assert storm.ledger.requests >= REQUESTS - 24
    assert ended["answered"] > storm.ledger.requests // 5, ended
    assert not ended["ProtocolError"], ended  # no reply ever came out of step
    assert not ended["PoolClosed"], ended  # nobody was turned away by a server that had left
    assert acts["change"] > 1, acts
    record_property("requests", storm.ledger.requests)
    record_property("seed", storm.ledger.seed)


@pytest.mark.parametrize("failover", ["fail", "rehash"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_storm_over_four_servers_harms_no_task(
    processes: list[MemcachedServer],
    seed: int,
    failover: Failover,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    record_property: Callable[[str, object], None],
) -> None:
    complaints: list[object] = []
    storm = TaskStorm(seed, processes, REQUESTS, failover)
    print(f"seed {seed}")  # noqa: T201 - shown if the test fails
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(storm.run())
        assert not asyncio.all_tasks(runner.get_loop())
    assert complaints == []
    report(storm, record_property)


@pytest.mark.parametrize("failover", ["fail", "rehash"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_over_four_servers_harms_no_thread(
    processes: list[MemcachedServer],
    seed: int,
    failover: Failover,
    record_property: Callable[[str, object], None],
) -> None:
    storm = ThreadStorm(seed, processes, REQUESTS, failover)
    print(f"seed {seed}")  # noqa: T201 - shown if the test fails
    storm.run()
    report(storm, record_property)
