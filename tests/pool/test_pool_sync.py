"""``Pool`` with real threads: who gets what, when, and on which thread the work is done."""

from __future__ import annotations

import _thread
import gc
import logging
import re
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest

from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    LeaseError,
    PoolClosed,
    PoolSaturated,
    PoolTimeout,
)
from cenote.pool import Observer, Pool, PoolOptions, crew_sync, driver_sync, keeper_sync
from cenote.pool.keeper_sync import KEEPER
from tests.pool.virtual_time import ManualClock
from tests.pool.links import (
    PATIENCE,
    CheckedLinks,
    Gate,
    Link,
    Links,
    ResettingLinks,
    Trouble,
    fail,
)


@contextmanager
def callers() -> Iterator[Callable[..., Future[Any]]]:
    """Run functions each in a thread of its own; all of them end with the block."""
    with ThreadPoolExecutor(32) as executor:
        yield executor.submit


def await_waiting(pool: Pool[Any], number: int) -> None:
    """Wait until so many callers are queued."""
    await_stats(pool, lambda: pool.stats().waiting == number)


def await_stats(pool: Pool[Any], condition: Callable[[], bool]) -> None:
    """Wait until the pool's own figures say so."""
    await_that(condition, pool.stats)


def await_that(condition: Callable[[], bool], describe: Callable[[], object] = object) -> None:
    """Wait until something that tells nobody when it changes is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, describe()
        threading.Event().wait(0.001)


def await_no_keeper() -> None:
    """Wait until the keeper has left, for want of pools to keep."""
    for thread in threading.enumerate():
        if thread.name == "cenote-keeper":
            thread.join(PATIENCE)


# Leasing.


def test_a_connection_is_reused_by_the_next() -> None:
    links = Links()
    with Pool(links) as pool:
        with pool.connection() as first:
            pass
        with pool.connection() as second:
            assert second is first
    assert links.closed == links.made


def test_no_thread_is_started_and_nothing_opened_before_first_use() -> None:
    links = Links()
    before = threading.active_count()
    pool = Pool(links, min_size=2)
    assert threading.active_count() == before
    assert not links.made
    pool.close()


def test_connecting_and_closing_are_never_done_by_the_caller() -> None:
    links = Links()
    with Pool(links, name="p") as pool:
        with pytest.raises(ValueError), pool.connection():
            raise ValueError
        links.await_until(lambda: bool(links.closed))
    assert links.threads == {"connect in p-opener", "close in p-opener"}


def test_a_plain_callable_is_connector_enough() -> None:
    made: list[Link] = []

    class Closeable(Link):
        def close(self) -> None:
            self.closes += 1

    def connect() -> Closeable:
        made.append(Closeable(1))
        return made[-1]  # type: ignore[return-value]

    with Pool(connect) as pool, pool.connection() as conn:
        assert conn is made[0]
    assert made[0].closes == 1


def test_acquire_and_release_by_hand() -> None:
    with Pool(Links()) as pool:
        conn = pool.acquire()
        assert pool.stats().used == 1
        pool.release(conn)
        assert pool.acquire() is conn
        pool.release(conn)


def test_a_connection_may_be_released_by_another_thread() -> None:
    with Pool(Links()) as pool, callers() as call:
        conn = pool.acquire()
        call(pool.release, conn).result(PATIENCE)
        assert pool.stats().idle == 1


def test_a_double_release_is_a_lease_error_and_changes_nothing() -> None:
    with Pool(Links()) as pool:
        conn = pool.acquire()
        pool.release(conn)
        with pytest.raises(LeaseError, match="released twice"):
            pool.release(conn)
        assert pool.stats().idle == 1


def test_a_foreign_release_is_a_lease_error_and_changes_nothing() -> None:
    with Pool(Links()) as one, Pool(Links()) as other:
        conn = one.acquire()
        with pytest.raises(LeaseError):
            other.release(conn)
        one.release(conn)


def test_a_lease_is_for_one_block_at_a_time() -> None:
    with Pool(Links()) as pool:
        lease = pool.connection()
        with lease, pytest.raises(LeaseError, match="for each with block"):
            lease.__enter__()
        with pytest.raises(LeaseError, match="ended already"):
            lease.__exit__(None, None, None)
        with lease:
            assert pool.stats().used == 1


def test_entries_for_layers_above_come_and_go() -> None:
    with Pool(Links()) as pool:
        assert pool.checkout_nowait() is None
        entry = pool.checkout(pool.clock() + PATIENCE)
        assert entry.uses == 1
        pool.checkin(entry)
        again = pool.checkout_nowait()
        assert again is entry
        assert entry.uses == 2
        pool.checkin(entry, ValueError("broken"))
        with pytest.raises(LeaseError):
            pool.checkin(entry)
        with Pool(Links()) as other, pytest.raises(LeaseError):
            other.checkin(entry, ValueError("and of another pool"))


def test_try_acquire_does_not_wait_but_has_a_connection_opened() -> None:
    links = Links()
    with Pool(links, max_size=1) as pool:
        assert pool.try_acquire() is None
        links.await_until(lambda: len(links.made) == 1)
        await_stats(pool, lambda: pool.stats().idle == 1)
        conn = pool.try_acquire()
        assert conn is not None
        assert pool.try_acquire() is None
        pool.release(conn)
    with pytest.raises(PoolClosed):
        pool.try_acquire()


def test_try_acquire_checks_what_was_idle_for_long() -> None:
    links = CheckedLinks()
    with Pool(links, check_after=0.0) as pool:
        with pool.connection():
            pass
        links.made[0].alive = False
        assert pool.try_acquire() is None


# Waiting.


def test_timeout_zero_does_not_wait() -> None:
    with Pool(Links(), max_size=1) as pool, pool.connection(), pytest.raises(PoolTimeout):
        pool.acquire(timeout=0)


def test_a_wait_ends_by_its_deadline_and_says_who_holds_what() -> None:
    with Pool(Links(), max_size=1) as pool, pool.connection():
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=0.02)
        assert "1/1 in use, longest held" in str(caught.value)
        assert f"by {threading.current_thread().name!r} (test_pool_sync.py:" in str(caught.value)
        assert "raise max_size or shorten the hold" in str(caught.value)
        assert caught.value.waited >= 0.02
        assert caught.value.pool == pool.name


def test_without_a_limit_a_waiter_waits_until_it_is_served() -> None:
    with Pool(Links(), max_size=1, timeout=None) as pool, callers() as call:
        conn = pool.acquire()
        waiter = call(pool.acquire)
        await_waiting(pool, 1)
        pool.release(conn)
        assert waiter.result(PATIENCE) is conn
        pool.release(conn)


def test_the_timeout_includes_a_connect_that_never_ends() -> None:
    gate = Gate()
    with Pool(Links(connect=gate)) as pool:
        with pytest.raises(PoolTimeout, match="1 connecting"):
            pool.acquire(timeout=0.02)
        gate.let_pass()
        await_stats(pool, lambda: pool.stats().idle == 1)


def test_a_connect_that_hangs_does_not_block_the_others() -> None:
    """One stuck adder must not drain the pool (HikariCP #2161)."""
    gate = Gate()

    def hang_once() -> None:
        links.before.clear()
        gate()

    links = Links(connect=hang_once)
    with Pool(links, max_size=3, max_connecting=1, connect_timeout=0.02) as pool:
        conn = pool.acquire(PATIENCE)
        assert pool.stats().overdue == 1
        assert pool.stats().size == 2
        gate.let_pass()
        await_stats(pool, lambda: pool.stats().overdue == 0)
        pool.release(conn)


def test_a_close_that_hangs_does_not_block_release_nor_the_other_closes() -> None:
    gate = Gate()
    links = Links(close=gate)
    with Pool(links, max_size=2) as pool:
        for _ in range(2):
            with pytest.raises(ValueError), pool.connection():
                raise ValueError
            gate.await_arrival()
        assert pool.stats().closing == 2
        with pytest.raises(PoolTimeout, match="2 closing"):
            pool.acquire(timeout=0.01)
        links.before.clear()
        gate.let_pass(2)
        pool.release(pool.acquire())


def test_callers_beyond_max_waiting_fail_at_once() -> None:
    with Pool(Links(), max_size=1, max_waiting=1) as pool, callers() as call:
        conn = pool.acquire()
        waiter = call(pool.acquire)
        await_waiting(pool, 1)
        with pytest.raises(PoolSaturated):
            pool.acquire()
        pool.release(conn)
        pool.release(waiter.result(PATIENCE))


def test_strict_waiters_are_served_in_the_order_of_arrival() -> None:
    with Pool(Links(), max_size=1, fairness="strict") as pool, callers() as call:
        conn = pool.acquire()
        served: list[int] = []

        def use(number: int) -> None:
            with pool.connection():
                served.append(number)

        for number in range(5):
            call(use, number)
            await_waiting(pool, number + 1)
        pool.release(conn)
    assert served == [0, 1, 2, 3, 4]


def test_a_waiter_that_gives_up_leaves_its_turn_to_the_next() -> None:
    with Pool(Links(), max_size=1, fairness="strict") as pool, callers() as call:
        conn = pool.acquire()
        with pytest.raises(PoolTimeout):
            pool.acquire(timeout=0.01)
        waiter = call(pool.acquire)
        await_waiting(pool, 1)
        pool.release(conn)
        assert waiter.result(PATIENCE) is conn
        pool.release(conn)


# Failures.


def test_a_failed_connect_is_retried_within_the_callers_deadline() -> None:
    attempts: list[int] = []

    def fail_twice() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise Trouble("refused")

    with Pool(Links(connect=fail_twice), backoff_base=0.001) as pool, pool.connection():
        assert pool.stats().create_errors == 2


def test_a_pool_without_its_server_times_out_with_the_cause() -> None:
    with Pool(Links(connect=fail), min_size=1, backoff_base=0.001) as pool:
        pool.open()
        await_stats(pool, lambda: pool.stats().create_errors > 0)
        with pytest.raises(PoolTimeout, match="connecting fails with Trouble: refused") as caught:
            pool.acquire(timeout=0.02)
        assert isinstance(caught.value.__cause__, Trouble)


def test_a_pool_that_fails_when_down_lets_nobody_wait_and_recovers_by_itself() -> None:
    links = Links(connect=fail)
    with Pool(links, on_down="fail", backoff_base=0.001, backoff_cap=0.01) as pool:
        with pytest.raises(ConnectFailed, match="is down") as caught:
            pool.acquire(timeout=PATIENCE)
        assert isinstance(caught.value.__cause__, Trouble)
        with pytest.raises(ConnectFailed):
            pool.acquire(timeout=PATIENCE)
        links.before.clear()
        links.await_until(lambda: bool(links.made))
        await_stats(pool, lambda: pool.stats().state == "ready")
        pool.release(pool.acquire())


def test_a_connector_that_raises_even_system_exit_loses_no_slot() -> None:
    def leave() -> None:
        raise SystemExit

    links = Links(connect=leave)
    with Pool(links, max_size=1, backoff_base=0.001) as pool:
        with pytest.raises(PoolTimeout):
            pool.acquire(timeout=0.02)
        links.before.clear()
        pool.release(pool.acquire())


def test_a_close_that_raises_frees_the_slot_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    links = Links(close=fail)
    with caplog.at_level(logging.WARNING, "cenote.pool"), Pool(links, max_size=1) as pool:
        with pytest.raises(ValueError), pool.connection():
            raise ValueError
        pool.release(pool.acquire())
    assert "closing a connection" in caplog.text


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_lease_that_ends_with_an_error_costs_the_connection_but_no_slot(
    error: type[BaseException],
) -> None:
    """pymemcache's pool loses a slot for each BaseException."""
    links = Links()
    with Pool(links, max_size=1) as pool:
        for _ in range(5):
            with pytest.raises(error), pool.connection():
                raise error
        with pool.connection() as conn:
            assert conn.number == 6
        await_stats(pool, lambda: pool.stats().closed["error"] == 5)


def test_an_error_classified_ok_costs_nothing() -> None:
    with Pool(Links(), classify=lambda _: "ok") as pool:
        with pytest.raises(KeyError), pool.connection() as first:
            raise KeyError
        with pool.connection() as second:
            assert second is first
        with pytest.raises(KeyboardInterrupt), pool.connection():
            raise KeyboardInterrupt
        await_stats(pool, lambda: pool.stats().closed["error"] == 1)


def test_an_error_that_invalidates_all_spares_no_idle_connection() -> None:
    links = Links()
    with Pool(links, classify=lambda _: "invalidate_all", max_size=3) as pool:
        held = [pool.acquire() for _ in range(3)]
        pool.release(held[0])
        with pytest.raises(OSError), pool.connection():
            raise OSError
        links.await_until(lambda: len(links.closed) == 1)
        pool.release(held[1])
        pool.release(held[2])
        links.await_until(lambda: len(links.closed) == 3)
        await_stats(pool, lambda: pool.stats().closed["invalidated"] == 2)


def test_invalidate_all_closes_idle_connections_now_and_leased_ones_on_return() -> None:
    links = Links()
    with Pool(links) as pool:
        with pool.connection():
            pool.release(pool.acquire())
            pool.invalidate_all()
            links.await_until(lambda: len(links.closed) == 1)
        links.await_until(lambda: len(links.closed) == 2)
        assert pool.stats().generation == 1


# Checks and resets.


def test_a_dead_connection_is_found_before_it_is_handed_out() -> None:
    links = CheckedLinks()
    with Pool(links, check_after=0.0) as pool:
        with pool.connection():
            pass
        links.made[0].alive = False
        with pool.connection() as conn:
            assert conn.number == 2
        await_stats(pool, lambda: pool.stats().closed["check"] == 1)


def test_a_check_that_raises_is_a_no() -> None:
    links = CheckedLinks()
    with Pool(links, check_after=0.0) as pool:
        with pool.connection():
            links.before["check"] = fail
        with pytest.raises(PoolTimeout):
            pool.acquire(timeout=0.05)
        links.before.clear()
        pool.release(pool.acquire())


def test_a_check_can_be_replaced_or_switched_off() -> None:
    links = CheckedLinks()
    asked: list[Link] = []

    def check(link: Link) -> bool:
        asked.append(link)
        return True

    with Pool(links, check=check, check_after=0.0) as pool:
        pool.release(pool.acquire())
        pool.release(pool.acquire())
    assert set(asked) == set(links.made)
    clock = ManualClock()
    with Pool(links, check=False, clock=clock) as pool:
        pool.release(pool.acquire())
        clock.advance(100.0)
        pool.release(pool.acquire())
    assert not any(each.startswith("check") for each in links.threads)


def test_a_dirty_connection_is_reset_by_the_pool_before_the_next_use() -> None:
    links = ResettingLinks()
    with Pool(links, max_size=1, name="p") as pool:
        with pool.connection() as first:
            first.clean = False
        with pool.connection() as second:
            assert second is first
            assert second.clean
    assert "reset in p-opener" in links.threads


def test_a_connection_that_can_not_be_reset_is_replaced() -> None:
    links = ResettingLinks(reset=fail)
    with Pool(links, max_size=1) as pool:
        with pool.connection() as first:
            first.clean = False
        with pool.connection() as second:
            assert second is not first
        await_stats(pool, lambda: pool.stats().closed["reset"] == 1)


def test_closes_that_hang_hold_up_no_reset() -> None:
    gate = Gate()
    links = ResettingLinks(close=gate)
    with Pool(links, max_size=crew_sync._MOST + 1, max_connecting=crew_sync._MOST) as pool:
        held = [pool.checkout(pool.clock() + PATIENCE) for _ in range(crew_sync._MOST)]
        for entry in held:
            pool.discard(entry, "error")
        for _ in held:
            gate.await_arrival()
        with pool.connection() as link:
            link.clean = False
        with pool.connection(timeout=PATIENCE) as again:
            assert again is link
            assert link.clean
        gate.let_pass(len(links.made))


def test_idle_connections_are_kept_alive() -> None:
    pinged = threading.Event()

    class Pinged(Links):
        def ping(self, link: Link) -> None:
            pinged.set()

    with Pool(Pinged(), keepalive=0.01) as pool:
        with pool.connection():
            pass
        assert pinged.wait(PATIENCE)


def test_a_ping_that_answers_false_or_fails_costs_the_connection() -> None:
    class Pinged(Links):
        def ping(self, link: Link) -> bool:
            return False

    links = Pinged()
    with Pool(links, keepalive=0.01) as pool:
        with pool.connection():
            pass
        links.await_until(lambda: bool(links.closed))
        await_stats(pool, lambda: pool.stats().closed["check"] == 1)


# Lost leases.


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ResourceWarnings of pools, whichever thread issues them."""
    messages: list[str] = []

    def warn(message: str, category: type[Warning], **_: object) -> None:
        assert category is ResourceWarning
        messages.append(message)

    monkeypatch.setattr(warnings, "warn", warn)
    return messages


def test_a_lease_that_is_garbage_collected_frees_its_slot(said: list[str]) -> None:
    links = Links()
    with Pool(links, max_size=1) as pool:
        lease = pool.connection()
        lease.__enter__()
        del lease
        gc.collect()
        with pool.connection() as conn:
            assert conn.number == 2
        stats = pool.stats()
        assert stats.lost == 1
        assert stats.closed["lost"] == 1
        assert stats.acquired == stats.released + stats.lost
    assert links.made[0].closes == 1
    assert "was dropped without being returned" in said[0]


def test_an_acquired_connection_that_is_garbage_collected_frees_its_slot(said: list[str]) -> None:
    with Pool(Closing, max_size=1) as pool:
        pool.acquire()
        gc.collect()
        pool.release(pool.acquire())
        assert pool.stats().lost == 1
        assert pool.stats().closed["lost"] == 1
    assert len(said) == 1


class Closing:
    """A resource that can be referenced weakly."""

    def close(self) -> None:
        pass


def test_an_entry_that_is_garbage_collected_frees_its_slot(said: list[str]) -> None:
    with Pool(Links(), max_size=1) as pool:
        pool.checkout(pool.clock() + PATIENCE)
        gc.collect()
        pool.release(pool.acquire())
        assert pool.stats().lost == 1
    assert len(said) == 1


def test_a_lost_lease_serves_those_who_wait_already(said: list[str]) -> None:
    with Pool(Links(), max_size=1) as pool, callers() as call:
        lease = pool.connection()
        lease.__enter__()
        waiter = call(pool.acquire, PATIENCE)
        await_waiting(pool, 1)
        del lease
        gc.collect()
        pool.release(waiter.result(PATIENCE))
    assert len(said) == 1


def test_a_lease_lost_in_a_reference_cycle_is_found_by_the_collector(said: list[str]) -> None:
    with Pool(Links(), max_size=1) as pool:
        cycle: list[object] = []
        lease = pool.connection()
        lease.__enter__()
        cycle += [lease, cycle]
        del lease, cycle
        gc.collect()
        pool.release(pool.acquire())
        assert pool.stats().lost == 1
    assert len(said) == 1


def test_a_finalizer_that_runs_under_the_pools_own_lock_does_not_deadlock(said: list[str]) -> None:
    with Pool(Links(), max_size=2) as pool:
        lease = pool.connection()
        lease.__enter__()
        with pool._lock:
            del lease
            gc.collect()
        pool.release(pool.acquire())
        assert pool.stats().lost == 1


def test_a_pool_that_is_being_dropped_is_not_looked_after_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it is finalized the keeper can still get hold of it, and would keep it."""
    pools = [Pool(Links())]
    with pools[0].connection():
        pass
    pools[0].invalidate_all()
    await_stats(pools[0], lambda: pools[0].stats().size == 0)
    dropped = weakref.ref(pools[0])
    answers: Queue[float | None] = Queue()

    def poke() -> None:
        revived = dropped()
        assert revived is not None
        answers.put(revived.visit())

    with monkeypatch.context() as patch:
        patch.setattr(KEEPER, "poke", poke)
        pools.clear()
        assert answers.get(timeout=PATIENCE) is None
    KEEPER.poke()


def test_a_resource_that_can_not_be_referenced_weakly_can_be_leased_all_the_same() -> None:
    class Slotted:
        __slots__ = ()

        def close(self) -> None:
            pass

    with Pool(Slotted) as pool:
        conn = pool.acquire()
        pool.release(conn)
        assert pool.acquire() is conn
        pool.release(conn)


def test_a_lease_held_too_long_is_reported_with_where_it_was_borrowed(
    said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    reported = threading.Event()

    class Listener(Observer):
        def leaked(self, pool: str, holder: object) -> None:
            reported.set()

    with Pool(Links(), leak_after=0.01, observer=Listener()) as pool:
        with pool.connection():
            assert reported.wait(PATIENCE)
        assert pool.stats().leaks == 1
    held, returned = said
    borrowed = r"s by 'MainThread' \(test_pool_sync\.py:\d+\)"
    assert re.search(rf"has been held .*{borrowed}, now at .*test_pool_sync\.py:\d+ < ", held)
    assert re.search(rf"came back, held .*{borrowed}$", returned)
    assert "has been held" in caplog.text


def test_warnings_turned_into_errors_hurt_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    with Pool(Links(), max_size=1) as pool:
        pool.checkout(pool.clock() + PATIENCE)
        gc.collect()
        pool.release(pool.acquire())
        assert "dropped without being returned" in caplog.text


# Opening, closing, resizing.


def test_open_warms_the_pool_up() -> None:
    with Pool(Links(), min_size=3) as pool:
        pool.open(wait=True, timeout=PATIENCE)
        assert pool.stats().idle == 3


def test_open_says_why_the_pool_stays_cold() -> None:
    cold = pytest.raises(PoolTimeout, match=r"0 of min_size=2.*Trouble: refused")
    with Pool(Links(connect=fail), min_size=2) as pool:
        pool.open()
        await_stats(pool, lambda: pool.stats().create_errors > 0)
        with cold:
            pool.open(wait=True, timeout=0.02)


def test_open_does_not_wait_for_a_server_that_is_down_if_nobody_is_to_wait() -> None:
    down = pytest.raises(ConnectFailed, match=r"connects in a row failed\. The last: Trouble: ref")
    with Pool(Links(connect=fail), min_size=2, on_down="fail", backoff_base=0.001) as pool, down:
        pool.open(wait=True, timeout=PATIENCE)


def test_open_ends_when_the_pool_is_closed_meanwhile() -> None:
    with callers() as call:
        pool = Pool(Links(connect=fail), min_size=1)
        opening = call(pool.open, wait=True, timeout=PATIENCE)
        await_stats(pool, lambda: pool.stats().create_errors > 0)
        pool.close()
        with pytest.raises(PoolClosed):
            opening.result(PATIENCE / 2)


def test_the_floor_is_kept_up() -> None:
    links = Links()
    with Pool(links, min_size=1) as pool:
        with pytest.raises(ValueError), pool.connection():
            raise ValueError
        links.await_until(lambda: len(links.made) == 2)


def test_close_waits_for_leases_and_says_so() -> None:
    links = Links()
    pool = Pool(links)
    with callers() as call:
        conn = pool.acquire()
        closing = call(pool.close, PATIENCE)
        await_stats(pool, lambda: pool.stats().state == "closed")
        pool.release(conn)
        report = closing.result(PATIENCE)
    assert report.complete
    assert report.closed == 1
    assert links.closed == links.made


def test_close_ends_by_its_timeout_and_the_rest_is_closed_when_it_comes_back() -> None:
    """asyncpg's close waits for ever for what is leased."""
    links = Links()
    pool = Pool(links)
    with pool.connection():
        report = pool.close(timeout=0.02)
        assert not report.complete
        assert report.abandoned == 1
        assert "test_pool_sync.py" in str(report.holders[0])
        assert pool.close().closed == 0
    links.await_until(lambda: links.closed == links.made)


def test_close_ends_by_its_timeout_even_if_a_close_never_does() -> None:
    gate = Gate()
    pool = Pool(Links(close=gate))
    pool.release(pool.acquire())
    report = pool.close(timeout=0.02)
    assert report.abandoned == 1
    gate.let_pass()
    await_stats(pool, lambda: pool.stats().size == 0)


def test_close_fails_all_who_wait_and_all_who_come() -> None:
    pool = Pool(Links(), max_size=1)
    with callers() as call, pool.connection():
        waiters = [call(pool.acquire) for _ in range(3)]
        await_waiting(pool, 3)
        pool.close(timeout=0)
        for waiter in waiters:
            with pytest.raises(PoolClosed):
                waiter.result(PATIENCE)
        with pytest.raises(PoolClosed, match="make a new one"):
            pool.acquire()
        with pytest.raises(PoolClosed):
            pool.open()


def test_a_closed_pool_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with Pool(Links(), min_size=2) as pool:
        pool.open(wait=True)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_drain_serves_those_who_wait_and_ends_when_all_is_back() -> None:
    with Pool(Links(), max_size=1) as pool, callers() as call:
        conn = pool.acquire()
        waiter = call(pool.acquire)
        await_waiting(pool, 1)
        assert not pool.drain(timeout=0.01)
        with pytest.raises(PoolClosed):
            pool.acquire()
        pool.release(conn)
        draining = call(pool.drain, PATIENCE)
        pool.release(waiter.result(PATIENCE))
        assert draining.result(PATIENCE)


def test_drain_ends_by_its_timeout_however_slowly_it_comes_to_look_at_the_clock() -> None:
    late = [0.0]

    def clock() -> float:
        late[0] += 0.03
        return time.monotonic() + late[0]

    with Pool(Links(), clock=clock) as pool, pool.connection():
        assert [pool.drain(timeout=0.01 * n) for n in range(10)] == [False] * 10


def test_detach_gives_a_connection_away() -> None:
    links = Links()
    with Pool(links, max_size=1) as pool:
        conn = pool.acquire()
        assert pool.detach(conn) is conn
        with pytest.raises(LeaseError):
            pool.release(conn)
        with pytest.raises(LeaseError):
            pool.detach(conn)
        with pool.connection() as leased:
            pool.detach(leased)
        assert pool.stats().detached == 2
    assert not links.closed


def test_resize_takes_effect_at_once() -> None:
    links = Links()
    with Pool(links, max_size=1) as pool, callers() as call:
        conn = pool.acquire()
        waiter = call(pool.acquire)
        await_waiting(pool, 1)
        pool.resize(0, 2)
        other = waiter.result(PATIENCE)
        pool.resize(0, 1)
        pool.release(other)
        links.await_until(lambda: links.closed == [other])
        pool.release(conn)
        with pytest.raises(ConfigurationError):
            pool.resize(3, 2)


def test_a_pool_that_is_dropped_unclosed_warns_and_closes_what_it_had(said: list[str]) -> None:
    links = Links()
    pool = Pool(links, name="forgotten")
    pool.release(pool.acquire())
    del pool
    links.await_until(lambda: links.closed == links.made)
    assert said == ["pool 'forgotten' was dropped with 1 connections open: close it"]


def test_a_pool_that_is_dropped_as_soon_as_it_is_closed_closes_what_it_had() -> None:
    links = Links()
    pool = Pool(links)
    pool.release(pool.acquire())
    assert pool.close(timeout=0.0).abandoned == 1
    del pool
    links.await_until(lambda: links.closed == links.made)


def test_what_comes_back_to_a_closed_pool_is_closed_though_the_pool_is_dropped() -> None:
    links = Links()
    pool = Pool(links)
    conn = pool.acquire()
    pool.shut()
    pool.release(conn)
    del pool
    links.await_until(lambda: links.closed == links.made)


def test_holders_say_who_holds_what_for_how_long() -> None:
    with Pool(Links()) as pool, pool.connection():
        (holder,) = pool.holders()
        assert holder.who == threading.current_thread().name
        assert holder.where.startswith("test_pool_sync.py:")
        assert holder.stack.startswith(holder.where + " < ")
        assert holder.seconds >= 0.0
    assert pool.holders() == []


def test_the_repr_shows_the_state() -> None:
    with Pool(Links(), name="p", max_size=3) as pool:
        pool.release(pool.acquire())
        assert repr(pool) == "<Pool 'p' ready: 1/3, 1 idle>"


def test_a_pool_can_be_made_from_options() -> None:
    pool = Pool.from_options(Links(), PoolOptions(max_size=3), name="p")
    assert pool.stats().max_size == 3
    assert pool.name == "p"
    pool.close()


def test_an_observer_that_raises_is_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Observer):
        def acquired(self, pool: str, waited: float) -> None:
            raise RuntimeError("from the observer")

    with Pool(Links(), observer=Bad()) as pool:
        pool.release(pool.acquire())
        pool.release(pool.acquire())
    assert "from the observer" in caplog.text


class Stop(BaseException):
    """What pytest.fail and sys.exit are kin of."""


class Stopping(Observer):
    """Raises, once each, what no ``except Exception`` stops, in threads of the pool."""

    def __init__(self) -> None:
        self.reasons = {"connected": "in the crew", "leaked": "in the keeper"}

    def connected(self, pool: str, seconds: float) -> None:
        self.stop("connected")

    def leaked(self, pool: str, holder: object) -> None:
        self.stop("leaked")

    def stop(self, event: str) -> None:
        if event in self.reasons:
            raise Stop(self.reasons.pop(event))


def test_whatever_an_observer_raises_the_pools_own_threads_live_on(
    caplog: pytest.LogCaptureFixture, said: list[str]
) -> None:
    """The caller asks the pool nothing meanwhile, lest it be the one to make the announcement."""
    with Pool(Links(), min_size=1, max_size=2, observer=Stopping(), leak_after=0.01) as pool:
        await_that(lambda: "in the crew" in caplog.text)
        conn = pool.acquire()
        await_that(lambda: "in the keeper" in caplog.text)
        with pool.connection(timeout=PATIENCE):
            pool.release(conn)


def test_an_observer_may_use_the_pool_for_it_is_called_without_the_lock() -> None:
    seen: list[int] = []

    class Curious(Observer):
        def released(self, pool: str, held: float) -> None:
            seen.append(the_pool.stats().acquired)

    with Pool(Links(), observer=Curious()) as the_pool:
        the_pool.release(the_pool.acquire())
    assert seen == [1]


def test_upkeep_prunes_and_retires_without_being_asked() -> None:
    links = Links()
    with Pool(links, max_idle=0.02, max_lifetime=0.05) as pool:
        pool.release(pool.acquire())
        links.await_until(lambda: links.closed == links.made)


def test_one_keeper_serves_all_pools_and_leaves_with_the_last() -> None:
    with Pool(Links()) as one, Pool(Links()) as other:
        one.release(one.acquire())
        other.release(other.acquire())
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("cenote-keeper") == 1
    await_no_keeper()
    assert not KEEPER._running


@pytest.mark.stress
def test_memory_of_an_idle_connection_is_small() -> None:
    import tracemalloc

    with Pool(Closing, max_size=1000, max_connecting=50) as pool:
        tracemalloc.start()
        pool.resize(1000, 1000)
        pool.open(wait=True, timeout=20 * PATIENCE)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert used / 1000 < 2048


# When threads themselves are scarce.


def scarce(kind: str) -> type[threading.Thread]:
    """A Thread class of which two of a kind can not be started."""
    refused: list[str] = []

    class Scarce(threading.Thread):
        def start(self) -> None:
            if self.name.endswith(kind) and len(refused) < 2:
                refused.append(self.name)
                raise RuntimeError("can't start new thread")
            super().start()

    return Scarce


def test_a_thread_that_can_not_be_had_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cenote.pool.crew_sync.threading.Thread", scarce("opener"))
    with Pool(Links()) as pool, pool.connection(timeout=PATIENCE):
        pass
    assert "can start no thread to connect" in caplog.text


def test_a_keeper_that_can_not_be_had_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_sync, "_RECALL", 0.01)
    monkeypatch.setattr("cenote.pool.keeper_sync.threading.Thread", scarce("keeper"))
    with Pool(Links()) as pool, pool.connection(timeout=PATIENCE):
        pass


def test_a_raw_thread_that_can_not_be_had_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver_sync, "_RECALL", 0.01)
    start = _thread.start_new_thread
    refused: list[tuple[Any, ...]] = []

    def scarce_start(*args: Any) -> int:
        if len(refused) < 2:
            refused.append(args)
            raise RuntimeError("can't start new thread")
        return start(*args)

    await_no_keeper()
    with monkeypatch.context() as patch:
        patch.setattr("cenote.pool.keeper_sync._thread.start_new_thread", scarce_start)
        with Pool(Links()) as pool, pool.connection(timeout=PATIENCE):
            pass
    assert len(refused) == 2


def test_a_farewell_that_no_thread_can_be_had_for_is_said_later(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(keeper_sync, "_RETRY", 0.001)
    links = Links()
    pool = Pool(links)
    pool.release(pool.acquire())
    monkeypatch.setattr("cenote.pool.keeper_sync.threading.Thread", scarce("farewell"))
    del pool
    links.await_until(lambda: links.closed == links.made)
    with Pool(Links()) as other, other.connection(timeout=PATIENCE):
        assert len(said) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_keeper_that_died_is_replaced_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, visits, died = keeper_sync.Keeper(), threading.Semaphore(0), threading.Event()

    class Kept:
        def visit(self) -> float | None:
            visits.release()
            return None

    def die() -> float | None:
        monkeypatch.undo()
        died.set()
        raise SystemExit

    kept = Kept()
    monkeypatch.setattr(keeper, "_pause", die)
    keeper.call(kept)
    assert died.wait(PATIENCE)
    await_that(lambda: not keeper._running)
    assert visits.acquire(timeout=PATIENCE)
    keeper.call(kept)
    assert visits.acquire(timeout=PATIENCE)


def test_upkeep_that_fails_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper_sync, "_RETRY", 0.001)
    visits: list[int] = []
    done = threading.Event()

    class Troubled:
        def visit(self) -> float | None:
            visits.append(1)
            if len(visits) < 3:
                raise Trouble("from upkeep")
            done.set()
            return None

    troubled = Troubled()
    KEEPER.call(troubled)
    assert done.wait(PATIENCE)
    assert "from upkeep" in caplog.text
