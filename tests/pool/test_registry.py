"""Pools are found by their labels, and looked at without being disturbed."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import logging
import threading
from dataclasses import replace

import pytest

from cenote import AsyncPool, Observer, Pool, PoolTimeout
from cenote.pool import registry
from cenote.pool.observer import Audience
from cenote.pool.registry import Watchable


class Thing:
    def close(self) -> None:
        pass


class Heard(Observer):
    """Notes what it is told; of a connection it may be told while that is used already."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.knows = threading.Event()

    def connected(self, pool: str, seconds: float) -> None:
        self.events.append(f"connected {pool}")
        self.knows.set()

    def timed_out(self, pool: str, waited: float) -> None:
        self.events.append(f"timed out {pool}")

    def closed(self, pool: str, reason: str) -> None:
        self.events.append(f"closed {reason}")


class HeardAll(Heard):
    """Notes single leases too."""

    def acquired(self, pool: str, waited: float) -> None:
        self.events.append("acquired")


def labels_of(*pools: Watchable) -> list[str]:
    return [label for label, pool in registry.pools().items() if pool in pools]


def test_pools_of_one_name_have_labels_of_their_own() -> None:
    with Pool(Thing, name="same") as first, Pool(Thing, name="same") as second:
        assert labels_of(first, second) == ["same", "same-2"]
        assert (first.name, second.name) == ("same", "same")


def test_pools_of_both_kinds_are_found() -> None:
    pools: tuple[Watchable, ...] = (Pool(Thing, name="threads"), AsyncPool(_thing, name="tasks"))
    assert labels_of(*pools) == ["threads", "tasks"]


async def _thing() -> Thing:
    return Thing()


def test_a_pool_that_is_collected_is_gone_and_its_label_free() -> None:
    pool = Pool(Thing, name="brief")
    assert "brief" in registry.pools()
    del pool
    gc.collect()
    assert "brief" not in registry.pools()
    with Pool(Thing, name="brief") as again:
        assert labels_of(again) == ["brief"]


def test_a_pool_that_follows_a_closed_one_has_its_label() -> None:
    """A client that is closed and made anew must go on as the same series."""
    with Pool(Thing, name="again") as first:
        pass
    with Pool(Thing, name="again") as second:
        assert labels_of(first, second) == ["again"]
        del first
        gc.collect()
        assert labels_of(second) == ["again"]


def test_a_glance_is_what_stats_say_while_nothing_moves() -> None:
    with Pool(Thing, histograms=True) as pool, pool.connection():
        glance, stats = registry.glance(pool), pool.stats()
    assert replace(glance, at=stats.at) == stats


def test_a_glance_needs_no_lock() -> None:
    with Pool(Thing, name="held-up") as pool, pool.connection():
        with pool._lock:
            assert registry.glance(pool).used == 1
            (holder,) = registry.holders(pool, 5)
        assert holder.who == threading.current_thread().name


def test_holders_are_as_many_as_asked_for_and_the_oldest() -> None:
    clock = itertools.count().__next__  # each look takes a second
    with (
        Pool(Thing, max_size=3, clock=lambda: float(clock())) as pool,
        pool.connection(),
        pool.connection(),
        pool.connection(),
    ):
        everybody, oldest = registry.holders(pool, 9), registry.holders(pool, 2)
    assert [holder.seconds - 1 for holder in oldest] == [holder.seconds for holder in everybody[:2]]
    assert oldest[0].seconds > oldest[1].seconds


async def test_a_pool_of_a_loop_is_looked_at_from_another_thread() -> None:
    async with AsyncPool(_thing, name="elsewhere") as pool, pool.connection():
        stats, told = await asyncio.to_thread(
            lambda: (registry.glance(pool), registry.holders(pool, 5))
        )
        assert (stats.used, stats.acquired) == (1, 1)
        current = asyncio.current_task()
        assert current is not None
        assert [holder.who for holder in told] == [current.get_name()]


@pytest.mark.stress
def test_totals_never_shrink_while_connections_come_and_go() -> None:
    """A counter that is read as less than before would be taken for one that began anew."""
    over = threading.Event()
    with Pool(Thing, max_size=4, max_uses=2, timeout=30) as pool:

        def work() -> None:
            while not over.is_set():
                with pool.connection():
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        before = registry.glance(pool)
        try:
            for _ in range(2000):
                after = registry.glance(pool)
                assert after.acquired >= before.acquired
                assert after.created >= before.created
                before = after
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_who_listens_is_told_of_events_but_not_of_single_leases() -> None:
    heard = HeardAll()
    with Pool(Thing, name="p", max_size=1, timeout=0) as pool:
        registry.listen(pool, heard)
        with pool.connection(5), pytest.raises(PoolTimeout):
            assert heard.knows.wait(5)
            pool.acquire()
        pool.close()
    assert heard.events == ["connected p", "timed out p", "closed shutdown"]


def test_the_pools_own_observer_goes_on_hearing_everything() -> None:
    own, other = HeardAll(), HeardAll()
    with Pool(Thing, name="p", observer=own) as pool:
        registry.listen(pool, other)
        with pool.connection():
            assert other.knows.wait(5)
        registry.unlisten(pool, other)
    assert sorted(own.events) == ["acquired", "closed shutdown", "connected p"]
    assert other.events == ["connected p"]


def test_when_the_last_listener_leaves_nobody_is_called_any_more() -> None:
    heard = Heard()
    with Pool(Thing) as pool:
        registry.listen(pool, heard)
        assert registry.is_heard(pool, heard)
        registry.unlisten(pool, heard)
        assert not registry.is_heard(pool, heard)
        assert pool._core.observer is None


class Raises(Observer):
    def connected(self, pool: str, seconds: float) -> None:
        raise RuntimeError("a listener broke")


def test_a_listener_that_raises_keeps_nothing_from_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()
    with caplog.at_level(logging.ERROR, "cenote.pool"), Pool(Thing, name="p") as pool:
        registry.listen(pool, Raises())
        registry.listen(pool, heard)
        with pool.connection():
            assert heard.knows.wait(5)
    assert heard.events == ["connected p", "closed shutdown"]
    assert "a pool's observer raised" in caplog.text


def test_a_pool_made_anew_with_its_audience_is_not_watched_at_each_lease() -> None:
    """As in a forked child, whose pools keep their observers."""
    with Pool(Thing, observer=Audience(Heard()).joined_by(HeardAll())) as pool:
        assert not pool.stack.watched
    with Pool(Thing, observer=Audience(HeardAll()).joined_by(Heard())) as pool:
        assert pool.stack.watched


def test_an_audience_passes_every_event_on() -> None:
    """An event that is added to ``Observer`` must reach who listens."""
    events = {name for name in vars(Observer) if not name.startswith("_")}
    told: list[str] = []

    class Everything(Observer):
        pass

    for name in events:
        setattr(Everything, name, lambda self, *args, name=name: told.append(name))
    audience = Audience(None).joined_by(Everything())
    for name in events:
        wanted = inspect.signature(getattr(Observer, name)).parameters
        getattr(audience, name)(*["anything"] * (len(wanted) - 1))
    assert set(told) == events - {"acquired", "released"}
