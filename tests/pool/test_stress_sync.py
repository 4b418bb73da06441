"""Free-running threads: nothing is lost, nobody starves, whatever the schedule."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from cenote.errors import PoolError
from cenote.pool import Pool, ThreadMappedPool
from tests.pool.links import PATIENCE, Link, Links

pytestmark = pytest.mark.stress


@pytest.fixture(autouse=True)
def nervous_scheduler() -> Iterator[None]:
    """Have threads change over far more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run(number: int, work: Any) -> None:
    """Run so many threads to their end; any error is the test's."""
    errors: list[BaseException] = []

    def guarded(seed: int) -> None:
        try:
            work(random.Random(seed))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive(), "a worker hangs"
    assert not errors, errors


def settled(pool: Pool[Any]) -> None:
    """Assert that the books balance and all there is can be had."""
    held = [pool.acquire(timeout=PATIENCE) for _ in range(pool.stats().max_size)]
    for conn in held:
        pool.release(conn)
    stats = pool.stats()
    assert stats.used == stats.waiting == 0
    assert stats.acquired == stats.released + stats.detached + stats.lost
    assert stats.size <= stats.max_size


@pytest.mark.parametrize("fairness", ["eventual", "strict", "barging"])
@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_no_connection_ever_has_two_owners_and_none_is_lost(fairness: Any, order: Any) -> None:
    leases = 0

    with Pool(Links(), max_size=3, fairness=fairness, order=order, timeout=PATIENCE) as pool:

        def work(rng: random.Random) -> None:
            for _ in range(300):
                with pool.connection() as link, link:
                    if rng.random() < 0.1:
                        time.sleep(0)

        run(12, work)
        leases = pool.stats().acquired
        settled(pool)
    assert leases == 12 * 300


def test_everything_at_once() -> None:
    """Errors, timeouts, dirty links, losses, invalidation and resizing, all in one pool."""

    class Fragile(Links):
        def connect(self, timeout: float) -> Link:
            if random.random() < 0.1:
                raise OSError("refused")
            return super().connect(timeout)

        def is_alive(self, link: Link) -> bool:
            return random.random() > 0.05

        def ping(self, link: Link) -> bool:
            return random.random() > 0.05

        def is_clean(self, link: Link) -> bool:
            return random.random() > 0.1

        def reset(self, link: Link) -> None:
            if random.random() < 0.2:
                raise OSError("can not be reset")

    links = Fragile()
    pool = Pool(
        links, max_size=4, min_size=1, timeout=0.5, check_after=0.0, max_uses=20,
        max_lifetime=0.05, max_idle=0.01, keepalive=0.01, backoff_base=1e-4, backoff_cap=1e-3,
    )  # fmt: skip

    def lease(rng: random.Random) -> None:
        with pool.connection() as link, link:
            if rng.random() < 0.1:
                raise ValueError

    def hurry(rng: random.Random) -> None:
        pool.release(pool.acquire(timeout=rng.choice([0.0, 0.001, 0.5])))

    def invalidate(rng: random.Random) -> None:
        pool.invalidate_all()

    def resize(rng: random.Random) -> None:
        pool.resize(1, rng.randint(2, 5))

    def work(rng: random.Random) -> None:
        for _ in range(120):
            (act,) = rng.choices([lease, hurry, invalidate, resize], [90, 6, 2, 2])
            with suppress(PoolError, ValueError):
                act(rng)

    run(10, work)
    pool.resize(0, 4)
    settled(pool)
    report = pool.close()
    assert report.complete
    assert all(link.closes == 1 for link in links.made)
    stats = pool.stats()
    assert stats.created == sum(stats.closed.values()) == len(links.made)


def test_lost_leases_of_many_threads_never_drain_the_pool() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with Pool(Links(), max_size=2, timeout=PATIENCE) as pool:

            def work(rng: random.Random) -> None:
                for _ in range(30):
                    lease = pool.connection()
                    lease.__enter__()
                    if rng.random() < 0.5:
                        lease.__exit__(None, None, None)
                    del lease

            run(6, work)
            gc.collect()
            settled(pool)
            assert pool.stats().lost > 0


def test_the_longest_wait_is_bounded_when_connections_are_scarce() -> None:
    """8 workers, 4 connections, each held half a millisecond: nobody waits for long.

    A wait is measured in the leases that others ended meanwhile: a busy machine makes none longer.
    About 20 is usual here; unfair pools let some wait for the whole run.
    """
    sys.setswitchinterval(0.005)
    longest = [0] * 8
    turns = [0] * 8

    with Pool(Links(), max_size=4, timeout=PATIENCE) as pool:

        def work(rng: random.Random) -> None:
            me = next(numbers)
            while (before := sum(turns)) < 1000:
                with pool.connection():
                    longest[me] = max(longest[me], sum(turns) - before)
                    time.sleep(0.0005)
                turns[me] += 1

        numbers = iter(range(8))
        run(8, work)
    assert max(longest) < 250
    assert min(turns) > max(turns) / 4


def test_threads_that_come_and_go_share_few_connections() -> None:
    with ThreadMappedPool(Links(), max_size=4, timeout=PATIENCE) as pool:

        def work(rng: random.Random) -> None:
            for _ in range(5):
                with pool.connection() as link, link:
                    pass

        for _ in range(10):
            run(8, work)
        stats = pool.stats()
        assert stats.created <= 8
        assert stats.lost == 0
        assert stats.acquired == 10 * 8 * 5
