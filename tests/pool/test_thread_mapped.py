"""``ThreadMappedPool``: one connection a thread, reclaimed when the thread is gone."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from cenote.errors import ConfigurationError, LeaseError, PoolClosed, PoolTimeout
from cenote.pool import Holder, Observer, ThreadMappedPool, debug
from cenote.pool.options import NO_LIMIT
from tests.pool.links import PATIENCE, CheckedLinks, Link, Links, ResettingLinks, fail
from tests.pool.test_pool_sync import await_stats


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a function in a thread that ends with it; returns what it returned."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else None


def use(pool: ThreadMappedPool[Link]) -> Link:
    with pool.connection() as link, link:
        return link


class Resident:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], Any]] = []
        self._changed = threading.Condition()
        self._answers: list[Any] = []
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self) -> None:
        while True:
            with self._changed:
                assert self._changed.wait_for(lambda: self._jobs, PATIENCE)
                job = self._jobs.pop()
            if job is None:
                return
            try:
                answer = job()
            except Exception as error:
                answer = error
            with self._changed:
                self._answers.append(answer)
                self._changed.notify_all()
            del job, answer

    def do(self, job: Callable[[], Any]) -> Any:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._answers, PATIENCE)
            return self._answers.pop()

    def leave(self) -> None:
        with self._changed:
            self._jobs.append(None)  # type: ignore[arg-type]
            self._changed.notify_all()
        self._thread.join(PATIENCE)


@pytest.fixture
def resident():
    thread = Resident()
    yield thread
    thread.leave()


def test_a_thread_keeps_its_connection_and_shares_it_with_none(resident: Resident) -> None:
    with ThreadMappedPool(Links()) as pool:
        mine = use(pool)
        theirs = resident.do(lambda: use(pool))
        assert theirs is not mine
        assert use(pool) is mine
        assert resident.do(lambda: use(pool)) is theirs
        assert pool.stats().created == 2


def test_nested_blocks_of_a_thread_share_its_connection() -> None:
    with ThreadMappedPool(Links()) as pool, pool.connection() as outer:
        with pool.connection() as inner:
            assert inner is outer
        with pool.connection() as inner:
            assert inner is outer


def test_the_connection_of_a_dead_thread_serves_the_next() -> None:
    """pylibmc's and pymemcache's thread-local clients leak it."""
    links = Links()
    with ThreadMappedPool(links) as pool:
        first = in_thread(lambda: use(pool))
        await_stats(pool, lambda: pool.stats().idle == 1)  # type: ignore[arg-type]
        assert in_thread(lambda: use(pool)) is first
        assert pool.stats().lost == 0


def test_what_dead_threads_left_behind_is_pruned_in_time() -> None:
    links = Links()
    with ThreadMappedPool(links, max_idle=0.02) as pool:
        in_thread(lambda: use(pool))
        links.await_until(lambda: len(links.closed) == 1)


def test_threads_beyond_max_size_wait_for_one_to_relinquish(resident: Resident) -> None:
    with ThreadMappedPool(Links(), max_size=1) as pool:
        link = use(pool)

        def impatient() -> object:
            with pool.connection(timeout=0.01):
                return None

        assert isinstance(resident.do(impatient), PoolTimeout)
        pool.relinquish()
        assert resident.do(lambda: use(pool)) is link
        resident.do(pool.relinquish)


def test_the_repr_shows_the_state() -> None:
    with ThreadMappedPool(Links(), name="p") as pool:
        with pool.connection():
            assert repr(pool) == "<ThreadMappedPool 'p' ready: 1, 0 kept>"
        assert repr(pool) == "<ThreadMappedPool 'p' ready: 1, 1 kept>"
    with ThreadMappedPool(Links(), max_size=3, name="q") as limited:
        use(limited)
        assert repr(limited) == "<ThreadMappedPool 'q' ready: 1/3, 1 kept>"


def test_an_error_of_a_pool_without_a_limit_names_none() -> None:
    with ThreadMappedPool(Links(connect=fail)) as pool:
        with pytest.raises(PoolTimeout, match="0 in use") as raised, pool.connection(timeout=0.01):
            raise AssertionError("there is no connection")
        assert str(NO_LIMIT) not in str(raised.value)


def test_relinquishing_inside_a_block_is_a_lease_error() -> None:
    with ThreadMappedPool(Links()) as pool:
        pool.relinquish()
        with pool.connection(), pytest.raises(LeaseError, match="is using"):
            pool.relinquish()


def test_an_error_costs_the_connection_and_the_next_use_opens_another() -> None:
    links = Links()
    with ThreadMappedPool(links) as pool:
        with pytest.raises(ValueError), pool.connection() as bad:
            raise ValueError
        assert use(pool) is not bad
        links.await_until(lambda: links.closed == [bad])


def test_an_error_of_an_inner_block_counts_when_the_outer_one_ends() -> None:
    links = Links()
    with ThreadMappedPool(links) as pool:
        with pool.connection() as outer:
            with pytest.raises(ValueError), pool.connection():
                raise ValueError
            assert not links.closed
        links.await_until(lambda: links.closed == [outer])


def test_an_error_classified_ok_costs_nothing() -> None:
    with ThreadMappedPool(Links(), classify=lambda _: "ok") as pool:
        with pytest.raises(ValueError), pool.connection() as link:
            raise ValueError
        assert use(pool) is link


def test_a_dead_connection_is_found_before_it_is_used() -> None:
    links = CheckedLinks()
    with ThreadMappedPool(links, check_after=0.0) as pool:
        use(pool).alive = False
        assert use(pool).number == 2
        await_stats(pool, lambda: pool.stats().closed["check"] == 1)  # type: ignore[arg-type]


def test_a_dirty_connection_goes_back_to_be_reset() -> None:
    with ThreadMappedPool(ResettingLinks(), max_size=1) as pool:
        with pool.connection() as link:
            link.clean = False
        assert use(pool) is link
        assert link.clean


def test_a_connection_past_its_uses_is_replaced() -> None:
    with ThreadMappedPool(Links(), max_size=1, max_uses=2) as pool:
        assert [use(pool).number for _ in range(4)] == [1, 1, 2, 2]


def test_a_connection_past_its_life_is_replaced() -> None:
    now = [0.0]
    with ThreadMappedPool(Links(), max_size=1, max_lifetime=10.0, clock=lambda: now[0]) as pool:
        numbers = []
        for _ in range(3):
            numbers += [use(pool).number, use(pool).number]
            now[0] += 11.0
    assert numbers == [1, 1, 2, 2, 3, 3]


def test_none_of_an_older_generation_is_used(resident: Resident) -> None:
    links = Links()
    with ThreadMappedPool(links) as pool:
        mine = use(pool)
        theirs = resident.do(lambda: use(pool))
        pool.invalidate_all()
        assert use(pool) is not mine
        assert resident.do(lambda: use(pool)) is not theirs


def test_close_closes_what_other_threads_keep_but_do_not_use(resident: Resident) -> None:
    links = Links()
    pool = ThreadMappedPool(links, name="mapped")
    use(pool)
    resident.do(lambda: use(pool))
    report = pool.close()
    assert report.complete
    assert report.closed == 2
    assert isinstance(resident.do(lambda: use(pool)), PoolClosed)
    assert pool.name == "mapped"


def test_close_leaves_behind_what_is_in_use_and_its_end_closes_it() -> None:
    links = Links()
    pool = ThreadMappedPool(links)
    with pool.connection():
        assert not pool.close(timeout=0.01).complete
    links.await_until(lambda: links.closed == links.made)


def test_a_lease_is_ended_once_and_by_its_own_thread() -> None:
    with ThreadMappedPool(Links()) as pool:
        lease = pool.connection()
        lease.__enter__()
        lease.__exit__(None, None, None)
        with pytest.raises(LeaseError):
            lease.__exit__(None, None, None)


def test_uses_are_counted_and_what_threads_keep_is_idle(resident: Resident) -> None:
    with ThreadMappedPool(Links()) as pool:
        for _ in range(5):
            use(pool)
        resident.do(lambda: use(pool))
        with pool.connection(), pool.connection():
            stats = pool.stats()
            assert (stats.acquired, stats.released) == (7, 6)
            assert (stats.used, stats.idle, stats.kept) == (1, 1, 1)
        stats = pool.stats()
        assert (stats.used, stats.idle, stats.kept) == (0, 2, 2)
        assert stats.acquired == stats.released == 7
        pool.relinquish()
        stats = pool.stats()
        assert (stats.idle, stats.kept, stats.released) == (2, 1, 7)


class Notes(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.leaks: list[Holder] = []
        self.leaked_now = threading.Event()

    def acquired(self, pool: str, waited: float) -> None:
        self.begun.append(waited)

    def released(self, pool: str, held: float) -> None:
        self.ended.append(held)

    def leaked(self, pool: str, holder: Holder) -> None:
        self.leaks.append(holder)
        self.leaked_now.set()


def test_each_use_is_a_lease_to_observers_and_histograms() -> None:
    now, notes = [0.0], Notes()
    with ThreadMappedPool(
        Links(), observer=notes, histograms=True, max_lifetime=None, clock=lambda: now[0]
    ) as pool:
        for held in (1.0, 2.0, 4.0):
            with pool.connection(), pool.connection():
                now[0] += held
            now[0] += 100.0  # kept meanwhile, which is no use
        pool.relinquish()
        stats = pool.stats()
    assert len(notes.begun) == 3
    assert notes.ended == [1.0, 2.0, 4.0]
    assert stats.use_seconds == 7.0
    assert stats.use_seconds_squared == 21.0
    assert stats.use_times is not None
    assert (stats.use_times.count, stats.use_times.total) == (3, 7.0)
    assert stats.wait_times is not None
    assert stats.wait_times.count == 3


def test_holders_are_the_threads_in_a_block(resident: Resident) -> None:
    with ThreadMappedPool(Links()) as pool:
        resident.do(lambda: use(pool))
        assert not pool.holders()
        with pool.connection(), pool.connection():
            (holder,) = pool.holders()
            assert holder.who == threading.current_thread().name
        assert not pool.holders()


def test_who_finds_every_connection_kept_is_told_by_whom(resident: Resident) -> None:
    with ThreadMappedPool(Links(), max_size=1) as pool:
        use(pool)
        me = threading.current_thread().name

        def impatient() -> None:
            with pool.connection(timeout=0.0):
                raise AssertionError("there is no connection")

        error = str(resident.do(impatient))
        assert f"0/1 in use, 1 kept unused by '{me}'" in error
        assert "have threads relinquish()" in error


@pytest.mark.filterwarnings("ignore:.*came back:ResourceWarning")
def test_a_block_that_lasts_too_long_is_reported_by_where_it_began() -> None:
    notes = Notes()
    with ThreadMappedPool(Links(), leak_after=0.02, observer=notes) as pool:
        for _ in range(2):  # first leased from the pool, then kept by the thread
            notes.leaked_now.clear()
            warned = pytest.warns(ResourceWarning, match="a leak, or a hold too long")
            with warned, pool.connection():
                assert notes.leaked_now.wait(PATIENCE)
            use(pool)  # whatever was reported went back to the pool
        assert [holder.where.partition(":")[0] for holder in notes.leaks] == [
            "test_thread_mapped.py"
        ] * 2
        assert pool.stats().leaks == 2


def test_a_connection_that_is_merely_kept_is_no_leak() -> None:
    notes = Notes()
    with ThreadMappedPool(PingedLinks(), leak_after=0.01, keepalive=0.05, observer=notes) as pool:
        use(pool)
        await_stats(pool, lambda: pool.stats().kept == 0)  # type: ignore[arg-type] # it was pinged
    assert not notes.leaks


class PingedLinks(Links):
    """The same, with a ping."""

    def ping(self, link: Link) -> None:
        self._prepare("ping")
        assert link.owner is None, "pinged in somebody's hands"
        if not link.alive:
            fail()


def test_keepalive_pings_what_its_thread_does_not_use(resident: Resident) -> None:
    links = PingedLinks()
    with ThreadMappedPool(links, keepalive=0.01) as pool:
        mine = use(pool)
        await_stats(pool, lambda: pool.stats().kept == 0)  # type: ignore[arg-type]
        await_stats(pool, lambda: pool.stats().idle == 1)  # type: ignore[arg-type]
        mine.alive = False
        links.await_until(lambda: links.closed == [mine])
        assert use(pool) is not mine
        assert pool.stats().closed["check"] == 1
        assert pool.stats().acquired == 2


def test_keepalive_needs_a_ping() -> None:
    with pytest.raises(ConfigurationError, match="ping"):
        ThreadMappedPool(Links(), keepalive=1.0)


def test_what_idle_threads_keep_is_closed_when_invalidated_or_at_the_end_of_its_life(
    resident: Resident,
) -> None:
    links = Links()
    with ThreadMappedPool(links, max_lifetime=0.1, lifetime_jitter=0.0) as pool:
        first = resident.do(lambda: use(pool))
        pool.invalidate_all()
        links.await_until(lambda: links.closed == [first])
        second = resident.do(lambda: use(pool))
        links.await_until(lambda: second in links.closed)


def test_threads_and_upkeep_never_take_the_same_connection() -> None:
    links, stop = PingedLinks(), time.monotonic() + 0.4
    with ThreadMappedPool(links, keepalive=0.0005, histograms=True) as pool:

        def work() -> None:
            rng = Random(threading.get_ident())
            while time.monotonic() < stop:
                with pool.connection() as link, link:
                    pass
                threading.Event().wait(rng.choice([0.0, 0.0005, 0.001]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        stats = pool.stats()
        assert stats.acquired == stats.released
        assert stats.lost == 0
        assert stats.use_times is not None
        assert stats.use_times.count == stats.released
    assert all(link.closes == 1 for link in links.made)


def test_borrow_stacks_are_kept_of_every_use() -> None:
    with ThreadMappedPool(Links(), name="mapped") as pool, debug.borrow_stacks(pool):
        for _ in range(2):
            with pool.connection():
                text = debug.report(pool)
                assert text.startswith("pool 'mapped': 1 connections are out")
                assert text.rstrip().endswith("with pool.connection():")


def test_a_pool_that_is_dropped_unclosed_closes_what_threads_keep_and_needs_no_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr("warnings.warn", lambda message, *_, **__: said.append(str(message)))
    links = Links()
    gc.disable()
    try:
        pool = ThreadMappedPool(links, name="forgotten")
        use(pool)
        del pool
        links.await_until(lambda: links.closed == links.made)
    finally:
        gc.enable()
    assert said == ["pool 'forgotten' was dropped with 1 connections open: close it"]
