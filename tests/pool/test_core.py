"""The decisions of ``PoolCore``, one by one, on a manual clock."""

from __future__ import annotations

import pytest

from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    LeaseError,
    PoolClosed,
    PoolSaturated,
    PoolTimeout,
)
from cenote.pool.actions import Close, Connect
from cenote.pool.fast import DONE, LEASED, NEVER, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.lull import LEAST, MOST
from cenote.pool.observer import Observer
from cenote.pool.waiters import CANCELLED, FAILED, GRANTED, QUEUED, Ticket
from tests.pool.links import HandDriven, Trouble

# Growth.


def test_nothing_is_opened_before_the_pool_is_used() -> None:
    pool = HandDriven(min_size=3)
    assert not pool.core.actions
    assert pool.core.due == float("inf")


def test_opening_the_pool_brings_it_up_to_its_floor() -> None:
    pool = HandDriven(min_size=3, max_connecting=2)
    pool.core.open(pool.now)
    assert len(pool.pending(Connect)) == 2
    pool.core.connects.clear()
    pool.core.settle(pool.now)
    assert pool.connect_all() == 3
    assert pool.core.warm


def test_a_connection_is_opened_for_each_waiter_but_no_more_than_allowed_at_once() -> None:
    pool = HandDriven(max_size=10, max_connecting=2)
    for _ in range(5):
        pool.ask()
    assert pool.stats().connecting == 2


def test_no_more_connections_are_opened_than_callers_wait() -> None:
    pool = HandDriven(max_size=10, max_connecting=5)
    pool.ask()
    pool.core.settle(pool.now)
    assert pool.stats().connecting == 1


def test_the_size_never_passes_its_limit() -> None:
    pool = HandDriven(max_size=3, max_connecting=9)
    for _ in range(9):
        pool.ask()
    pool.connect_all()
    assert pool.stats().size == 3


def test_a_released_connection_may_serve_a_waiter_before_the_one_opened_for_it() -> None:
    pool = HandDriven(max_size=2)
    first = pool.lease()
    waiter = pool.ask()
    pool.give(first)
    assert pool.served(waiter) is first
    assert pool.stats().connecting == 1
    pool.connect_all()
    assert pool.stats().idle == 1


def test_a_slot_is_held_until_close_has_returned() -> None:
    pool = HandDriven(max_size=1)
    entry = pool.lease()
    waiter = pool.ask()
    pool.core.release(entry, pool.now, "discard")
    assert not pool.pending(Connect)
    assert pool.stats().size == 1
    assert pool.close_all() == [("c1", "error")]
    pool.connect_all()
    assert pool.served(waiter) is not None


def test_a_caller_that_gives_up_does_not_abort_the_connection_opened_for_it() -> None:
    pool = HandDriven()
    waiter = pool.ask()
    assert pool.timed_out(waiter) is None
    pool.connect_all()
    assert pool.stats().idle == 1


# Waiting and fairness.


def test_the_head_waiter_is_nudged_while_it_is_young_and_a_newcomer_may_be_faster() -> None:
    pool = HandDriven(max_size=1, fair_after=0.001)
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert waiter.nudged
    assert pool.core.stack.take(pool.now) is entry
    assert pool.served(waiter) is None


def in_a_lull() -> tuple[HandDriven, Entry[str], Ticket[str]]:
    """A pool of one whose only waiter was nudged in vain; returns also what it waits for."""
    pool = HandDriven(max_size=1, fairness="barging")
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert pool.core.stack.take(pool.now) is entry
    assert waiter.nudged
    assert pool.served(waiter) is None
    return pool, entry, waiter


def test_after_a_nudge_in_vain_a_waiter_is_left_alone_and_looks_by_itself() -> None:
    """Waking it for every release would cost a context switch each."""
    pool, entry, waiter = in_a_lull()
    assert pool.core.stack.give(entry, pool.now) == DONE
    assert not waiter.nudged
    pool.now = waiter.again
    assert pool.served(waiter) is entry


def test_each_look_in_vain_doubles_the_lull() -> None:
    pool, _, waiter = in_a_lull()
    for look in range(4):
        assert waiter.again - pool.now == pytest.approx(LEAST * 2**look)
        pool.now = waiter.again
        assert pool.served(waiter) is None


def test_a_lull_ends_by_itself_and_the_next_begins_where_it_stopped() -> None:
    """Where connections are held for long, nobody need look whether one is idle."""
    pool, entry, waiter = in_a_lull()
    while waiter.again < NEVER:
        assert waiter.again - pool.now <= MOST + 1e-9
        pool.now = waiter.again
        assert pool.served(waiter) is None
    pool.give(entry)
    pool.core.stack.take(pool.now)
    assert waiter.nudged
    assert pool.served(waiter) is None
    assert waiter.again - pool.now == pytest.approx(MOST)


def test_a_look_that_finds_a_connection_ends_the_lull() -> None:
    pool, entry, waiter = in_a_lull()
    second, third = pool.ask(), pool.ask()
    pool.give(entry)
    pool.now = waiter.again
    assert pool.served(waiter) is entry
    pool.give(entry)
    assert second.nudged
    assert pool.served(second) is entry
    assert third.again == NEVER


def test_in_a_lull_one_waiter_watches_for_all() -> None:
    pool, entry, waiter = in_a_lull()
    others = [pool.ask() for _ in range(3)]
    assert waiter.again < NEVER
    assert [other.again for other in others] == [NEVER] * 3
    assert pool.core.stack.give(entry, pool.now) == DONE


def test_a_watcher_that_leaves_is_replaced_by_the_next_who_comes() -> None:
    pool, entry, waiter = in_a_lull()
    pool.core.cancel(waiter, pool.now)
    successor = pool.ask()
    assert pool.core.watcher is successor
    assert pool.core.stack.give(entry, pool.now) == DONE
    pool.now = successor.again
    assert pool.served(successor) is entry


def test_while_nobody_watches_a_release_nudges_even_in_a_lull() -> None:
    pool, entry, watcher = in_a_lull()
    waiter = pool.ask()
    pool.core.cancel(watcher, pool.now)
    pool.give(entry)
    assert waiter.nudged


def test_a_watcher_takes_nothing_out_of_turn_but_has_the_head_come() -> None:
    pool, entry, gone = in_a_lull()
    head = pool.ask()
    pool.core.cancel(gone, pool.now)
    watcher = pool.ask()
    assert pool.core.stack.give(entry, pool.now) == DONE
    pool.now = watcher.again
    assert pool.served(watcher) is None
    assert head.nudged
    assert pool.served(head) is entry


def test_a_watcher_that_never_comes_is_not_relied_upon() -> None:
    """It may have been interrupted just there."""
    pool, entry, watcher = in_a_lull()
    pool.now = watcher.again + 0.05
    pool.core.settle(pool.now)
    pool.give(entry)
    assert watcher.nudged


def test_in_an_event_loop_there_is_no_lull() -> None:
    pool = HandDriven(max_size=1, fairness="barging")
    pool.core.eager = True
    entry = pool.lease()
    waiter = pool.ask()
    for _ in range(3):
        pool.give(entry)
        pool.core.stack.take(pool.now)
        assert waiter.nudged
        assert pool.served(waiter) is None
        assert waiter.again == NEVER


def test_a_waiter_whose_turn_has_come_gets_the_next_release() -> None:
    pool = HandDriven(max_size=1, fair_after=0.001)
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    pool.core.stack.take(pool.now)
    assert pool.served(waiter) is None
    pool.now += 0.001
    pool.give(entry)
    assert waiter.entry is entry


def test_a_head_waiter_older_than_fair_after_gets_the_next_release() -> None:
    pool = HandDriven(max_size=1, fair_after=0.001)
    entry = pool.lease()
    waiter = pool.ask()
    pool.now += 0.001
    assert pool.core.stack.take(pool.now) is None
    pool.give(entry)
    assert waiter.state == GRANTED
    assert waiter.entry is entry
    assert pool.stats().handoffs == 1


def test_an_eager_pool_hands_over_at_once() -> None:
    """In an event loop letting a newcomer in would gain nothing: there is no context switch."""
    pool = HandDriven(max_size=1, fair_after=0.001)
    pool.core.eager = True
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert waiter.entry is entry


def test_an_eager_pool_may_still_be_barging() -> None:
    pool = HandDriven(max_size=1, fairness="barging")
    pool.core.eager = True
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert waiter.nudged
    assert pool.core.stack.take(pool.now) is entry


def test_newcomers_are_barred_while_the_head_is_old() -> None:
    pool = HandDriven(max_size=1, fair_after=0.001)
    entry = pool.lease()
    old = pool.ask()
    pool.now += 0.002
    pool.core.stack.idle.append(entry)
    entry.state = 0
    assert pool.core.stack.take(pool.now) is None
    newcomer = pool.ask()
    assert newcomer.entry is None
    assert old.entry is entry


def test_only_one_waiter_is_nudged_at_a_time() -> None:
    pool = HandDriven(max_size=2)
    entries = [pool.lease(), pool.lease()]
    waiters = [pool.ask(), pool.ask()]
    pool.give(entries[0])
    pool.give(entries[1])
    assert [waiter.nudged for waiter in waiters] == [True, False]
    assert pool.served(waiters[0])
    assert waiters[1].nudged
    assert pool.served(waiters[1])


@pytest.mark.parametrize(("waiting", "pace"), [(2, 1.0), (12, 1.0), (24, 0.5), (96, 0.25)])
def test_hand_offs_are_paced_so_that_old_waiters_do_not_form_a_convoy(
    waiting: int, pace: float
) -> None:
    """The queue goes round within ``ROUND`` times ``fair_after``, unless it is very long."""
    pool = HandDriven(max_size=1, fair_after=0.002)
    entry = pool.lease()
    waiters = [pool.ask() for _ in range(waiting)]
    pool.now += 1.0
    pool.give(entry)
    assert waiters[0].entry is entry
    pool.now += 0.002 * pace * 0.99
    pool.give(entry)
    assert waiters[1].entry is None
    assert pool.core.stack.take(pool.now) is entry
    pool.now += 0.002 * pace * 0.02
    pool.give(entry)
    assert waiters[1].entry is entry


def test_strict_serves_in_the_order_of_arrival_and_lets_no_newcomer_pass() -> None:
    pool = HandDriven(max_size=1, fairness="strict")
    entry = pool.lease()
    waiters = [pool.ask() for _ in range(4)]
    for waiter in waiters:
        pool.give(entry)
        assert pool.core.stack.take(pool.now) is None
        assert waiter.entry is entry


def test_barging_never_hands_off() -> None:
    pool = HandDriven(max_size=1, fairness="barging")
    entry = pool.lease()
    waiter = pool.ask()
    pool.now += 100.0
    pool.give(entry)
    assert waiter.entry is None
    assert waiter.nudged
    assert pool.core.stack.take(pool.now) is entry


def test_a_nudged_waiter_that_leaves_passes_the_nudge_on() -> None:
    pool = HandDriven(max_size=1)
    entry = pool.lease()
    first, second = pool.ask(), pool.ask()
    pool.give(entry)
    assert first.nudged
    pool.core.cancel(first, pool.now)
    assert second.nudged
    assert pool.served(second) is entry


def test_a_granted_waiter_that_is_abandoned_passes_its_grant_on() -> None:
    pool = HandDriven(max_size=1, fairness="strict")
    entry = pool.lease()
    first, second = pool.ask(), pool.ask()
    pool.give(entry)
    assert first.state == GRANTED
    pool.core.abandon(first, pool.now)
    assert second.entry is entry
    assert entry.state == LEASED


def test_a_grant_that_ties_with_the_timeout_wins() -> None:
    pool = HandDriven(max_size=1, fairness="strict")
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert pool.timed_out(waiter) is entry
    assert pool.stats().timeouts == 0


def test_a_waiter_is_withdrawn_once_only() -> None:
    pool = HandDriven(max_size=1)
    pool.lease()
    waiter = pool.ask()
    assert pool.timed_out(waiter) is None
    pool.core.abandon(waiter, pool.now)
    assert waiter.state == CANCELLED
    stats = pool.stats()
    assert (stats.timeouts, stats.cancelled, stats.waiting) == (1, 0, 0)


def test_callers_beyond_max_waiting_are_turned_away_at_once() -> None:
    pool = HandDriven(max_size=1, max_waiting=1)
    pool.lease()
    pool.ask()
    with pytest.raises(
        PoolSaturated, match=r"1/1 in use, 1 waiting.*raise max_size or max_waiting"
    ):
        pool.ask()
    assert pool.stats().saturated == 1
    assert pool.stats().waiting == 1


def test_an_idle_connection_is_served_even_where_nobody_may_wait() -> None:
    pool = HandDriven(max_size=1, max_waiting=0)
    pool.core.open(pool.now)
    with pytest.raises(PoolSaturated):
        pool.ask()
    pool.core.resize(1, 1, pool.now)
    pool.connect_all()
    assert pool.lease()


def test_waits_are_counted_after_they_ended() -> None:
    pool = HandDriven(max_size=1, fairness="strict")
    entry = pool.lease()
    before = pool.stats()
    pool.ask()
    pool.now += 2.5
    pool.give(entry)
    stats = pool.stats()
    assert stats.waiting == 0
    assert stats.waited - before.waited == 1
    assert stats.wait_seconds - before.wait_seconds == pytest.approx(2.5)


def test_the_timeout_says_what_happened_the_state_and_what_to_change() -> None:
    pool = HandDriven(max_size=2)
    pool.lease()
    pool.now += 3.2
    pool.lease()
    waiter = pool.ask()
    pool.ask()
    pool.now += 1.0
    assert pool.timed_out(waiter) is None
    error = pool.core.timeout_error(waiter, pool.now)
    assert str(error) == (
        "no connection within 1.0 s: 2/2 in use, 1 waiting, longest held 4.2 s by '?', "
        "1.0 s by '?'; "
        "raise max_size or shorten the hold"
    )
    assert isinstance(error, PoolTimeout)
    assert error.pool == "p"
    assert error.waited == pytest.approx(1.0)
    assert error.stats is not None


# Connect failures.


def test_the_timeout_names_the_last_connect_error_as_its_cause() -> None:
    pool = HandDriven()
    waiter = pool.ask()
    pool.fail_all(Trouble("no route"))
    pool.timed_out(waiter)
    error = pool.core.timeout_error(waiter, pool.now)
    assert "connecting fails with Trouble: no route" in str(error)
    assert isinstance(error.__cause__, Trouble)


def test_after_a_failed_connect_the_next_waits_for_its_jittered_delay() -> None:
    pool = HandDriven(backoff_base=1.0)
    pool.ask()
    pool.fail_all()
    assert not pool.pending(Connect)
    assert pool.now <= pool.core.due <= pool.now + 1.0
    pool.pass_time(1.0)
    assert len(pool.pending(Connect)) == 1


def test_a_success_ends_the_back_off() -> None:
    pool = HandDriven(max_size=5)
    waiters = [pool.ask(), pool.ask()]
    first, second = pool.pending(Connect)
    pool.core.connect_failed(first, Trouble(), pool.now)
    pool.core.connected(second, "c", pool.now)
    assert pool.core.backoff.failures == 0
    assert len(pool.pending(Connect)) == 1
    assert waiters[0].nudged


def test_a_pool_that_is_down_tries_one_connect_at_a_time() -> None:
    pool = HandDriven(max_size=9, max_connecting=4)
    for _ in range(4):
        pool.ask()
    pool.fail_all()
    assert pool.stats().state == "down"
    pool.pass_time(30.0)
    assert pool.stats().connecting == 1


def test_waiters_of_a_pool_that_is_down_wait_on_by_default() -> None:
    pool = HandDriven(max_connecting=3, on_down="wait")
    waiters = [pool.ask() for _ in range(3)]
    pool.fail_all()
    assert all(waiter.state == QUEUED for waiter in waiters)


def test_waiters_and_newcomers_fail_at_once_where_that_was_asked_for() -> None:
    pool = HandDriven(max_connecting=3, on_down="fail")
    waiters = [pool.ask() for _ in range(3)]
    pool.fail_all(Trouble("refused"))
    assert all(waiter.state == FAILED for waiter in waiters)
    with pytest.raises(ConnectFailed, match=r"3 connects in a row failed.*refused") as caught:
        pool.ask()
    assert isinstance(caught.value.__cause__, Trouble)
    assert pool.stats().failed == 3


def test_a_pool_that_failed_its_callers_probes_by_itself_until_it_recovers() -> None:
    pool = HandDriven(max_connecting=3, on_down="fail", connect_timeout=60.0)
    for _ in range(3):
        pool.ask()
    pool.fail_all()
    for _ in range(5):
        pool.pass_time(10.0)
        assert pool.fail_all() == 1
    pool.pass_time(10.0)
    assert pool.connect_all() == 1
    assert pool.stats().state == "ready"
    assert pool.lease()


def test_idle_connections_of_a_pool_that_is_down_are_still_served() -> None:
    pool = HandDriven(max_connecting=3, on_down="fail")
    pool.give(pool.lease())
    held = pool.lease()
    for _ in range(3):
        pool.ask()
    pool.fail_all()
    pool.give(held)
    assert pool.lease() is held


def test_thousands_of_failed_connects_cost_neither_stack_nor_memory() -> None:
    pool = HandDriven(backoff_base=1e-9, backoff_cap=1e-9)
    waiter = pool.ask()
    for _ in range(5_000):
        pool.fail_all()
        pool.now += 1.0
        pool.core.tick(pool.now)
    assert pool.stats().create_errors == 5_000
    assert len(pool.core.connects) == 1
    pool.connect_all()
    assert pool.served(waiter)


def test_a_connect_that_hangs_counts_as_failed_but_holds_its_slot() -> None:
    pool = HandDriven(max_size=2, connect_timeout=5.0, max_connecting=1)
    pool.ask()
    waiter = pool.ask()
    (hanging,) = pool.pending(Connect)
    pool.pass_time(5.5)
    stats = pool.stats()
    assert (stats.overdue, stats.size, stats.create_errors) == (1, 2, 1)
    pool.connect_all()
    assert pool.stats().size == 2
    pool.core.connected(hanging, "late", pool.now)
    assert pool.stats().overdue == 0
    assert pool.served(waiter) or pool.stats().idle == 2


def test_a_hanging_connect_that_fails_in_the_end_is_counted_once() -> None:
    pool = HandDriven(connect_timeout=5.0)
    pool.ask()
    (hanging,) = pool.pending(Connect)
    pool.pass_time(6.0)
    pool.core.connect_failed(hanging, Trouble(), pool.now)
    assert pool.stats().create_errors == 1
    assert pool.stats().overdue == 0


# Checks.


def test_a_connection_idle_for_long_is_reserved_for_a_check() -> None:
    pool = HandDriven(checks=True, check_after=0.5)
    entry = pool.lease()
    pool.give(entry)
    pool.now += 0.4
    assert pool.core.stack.take(pool.now) is entry
    pool.give(entry)
    pool.now += 0.5
    assert pool.core.stack.take(pool.now) is None
    ticket = pool.ask()
    assert ticket.entry is entry
    assert entry.state == RESERVED
    assert pool.stats().reserved == 1
    assert pool.checked(ticket, True)
    assert entry.state == LEASED


def test_a_check_that_fails_costs_the_connection_and_the_caller_keeps_its_place() -> None:
    pool = HandDriven(checks=True, max_size=1, fairness="strict")
    pool.give(pool.lease())
    pool.now += 1.0
    first = pool.ask()
    second = pool.ask()
    assert not pool.checked(first, False)
    pool.core.acquire(first, pool.now)
    assert pool.close_all() == [("c1", "check")]
    pool.connect_all()
    assert first.entry is not None
    assert second.entry is None


def test_a_generation_with_too_many_failed_checks_is_discarded_whole() -> None:
    pool = HandDriven(checks=True, max_size=6)
    for entry in [pool.lease() for _ in range(6)]:
        pool.give(entry)
    pool.now += 1.0
    for _ in range(3):
        assert not pool.checked(pool.ask(), False)
    assert pool.stats().generation == 1
    reasons = [reason for _, reason in pool.close_all()]
    assert reasons.count("check") == 3
    pool.pass_time(0.0)
    assert pool.stats().idle == 0 or pool.core.stack.take(pool.now) is None


def test_an_abandoned_check_discards_the_connection_and_blames_nobody() -> None:
    pool = HandDriven(checks=True, max_size=1)
    pool.give(pool.lease())
    pool.now += 1.0
    ticket = pool.ask()
    pool.core.abandon(ticket, pool.now)
    assert pool.close_all() == [("c1", "check")]
    assert pool.core.bad_checks == 0
    assert pool.stats().cancelled == 1


def test_check_after_zero_checks_always() -> None:
    pool = HandDriven(checks=True, check_after=0.0)
    ticket = pool.ask()
    pool.connect_all()
    pool.served(ticket)
    assert ticket.entry is not None
    assert ticket.entry.state == RESERVED


def test_a_check_nobody_was_asked_for_is_a_lease_error() -> None:
    pool = HandDriven(checks=True)
    ticket = pool.ask()
    with pytest.raises(LeaseError, match="nothing is reserved"):
        pool.core.checked(ticket, True, pool.now)
    pool.core.cancel(ticket, pool.now)
    pool.connect_all()
    with pytest.raises(LeaseError, match="nothing is under way"):
        pool.core.pinged(pool.core.stack.idle[0], True, pool.now)


# Returning.


def test_an_error_that_is_not_ok_costs_the_connection() -> None:
    pool = HandDriven()
    pool.core.release(pool.lease(), pool.now, "discard")
    assert pool.close_all() == [("c1", "error")]


def test_an_error_that_says_the_server_is_gone_invalidates_the_generation() -> None:
    """A hot connection inside the check window must not hide a fail-over (HikariCP #1802)."""
    pool = HandDriven(checks=True, max_size=2)
    first, second = pool.lease(), pool.lease()
    pool.give(second)
    pool.core.release(first, pool.now, "invalidate_all")
    assert pool.core.stack.take(pool.now) is None
    pool.core.tick(pool.now)
    assert sorted(pool.close_all()) == [("c1", "error"), ("c2", "invalidated")]


def test_a_second_error_of_the_same_generation_does_not_invalidate_its_successors() -> None:
    pool = HandDriven(max_size=2)
    first, second = pool.lease(), pool.lease()
    pool.core.release(first, pool.now, "invalidate_all")
    pool.core.release(second, pool.now, "invalidate_all")
    assert pool.stats().generation == 1


def test_none_of_an_older_generation_is_handed_out() -> None:
    pool = HandDriven(max_size=3)
    out, idle = pool.lease(), pool.lease()
    pool.ask()
    (under_way,) = pool.pending(Connect)
    pool.give(idle)
    pool.core.invalidate_all(pool.now)
    pool.core.tick(pool.now)
    pool.give(out)
    pool.core.connected(under_way, "old", pool.now)
    reasons = {reason for _, reason in pool.close_all()}
    assert reasons == {"invalidated"}
    assert pool.stats().closed["invalidated"] == 3


def test_a_connection_past_its_uses_is_retired() -> None:
    pool = HandDriven(max_uses=2)
    pool.give(pool.lease())
    pool.give(pool.lease())
    assert pool.close_all() == [("c1", "uses")]


def test_a_connection_past_its_life_is_retired_on_return_not_during_the_lease() -> None:
    pool = HandDriven(max_lifetime=10.0, max_size=1)
    entry = pool.lease()
    pool.pass_time(20.0)
    assert entry.state == LEASED
    assert not pool.close_all()
    pool.give(entry)
    assert pool.close_all() == [("c1", "lifetime")]


def test_a_dirty_connection_is_reset_before_it_is_used_again() -> None:
    pool = HandDriven(resets=True, max_size=1, fairness="strict")
    entry = pool.lease()
    waiter = pool.ask()
    pool.core.release(entry, pool.now, clean=False)
    assert waiter.entry is None
    assert pool.stats().resetting == 1
    assert pool.to_reset() == [entry]
    pool.core.was_reset(entry, True, pool.now)
    assert waiter.entry is entry


def test_a_connection_that_can_not_be_reset_is_discarded() -> None:
    pool = HandDriven(resets=True)
    entry = pool.lease()
    pool.give(entry)
    pool.to_reset()
    pool.core.was_reset(entry, False, pool.now)
    assert pool.close_all() == [("c1", "reset")]


def test_a_dirty_connection_without_a_reset_is_discarded() -> None:
    pool = HandDriven(is_clean=lambda _: False)
    entry = pool.lease()
    pool.core.release(entry, pool.now, clean=False)
    assert pool.close_all() == [("c1", "reset")]


def test_a_double_release_changes_nothing() -> None:
    pool = HandDriven()
    entry = pool.lease()
    pool.give(entry)
    before = pool.stats()
    with pytest.raises(LeaseError, match="returned twice"):
        pool.core.release(entry, pool.now)
    assert pool.stats() == before


def test_a_foreign_release_changes_nothing() -> None:
    pool, other = HandDriven(), HandDriven()
    entry = other.lease()
    with pytest.raises(LeaseError):
        pool.core.release(entry, pool.now)
    assert entry.state == LEASED
    assert pool.stats().size == 0


def test_a_detached_connection_leaves_its_slot_free() -> None:
    pool = HandDriven(max_size=1)
    entry = pool.lease()
    pool.core.detach(entry, pool.now)
    assert pool.lease() is not entry
    assert pool.stats().detached == 1
    assert not pool.close_all()
    with pytest.raises(LeaseError):
        pool.core.detach(entry, pool.now)


# Time.


def test_lives_are_drawn_between_three_quarters_and_all_of_max_lifetime() -> None:
    pool = HandDriven(max_lifetime=100.0, max_size=50, max_connecting=50)
    entries = [pool.lease() for _ in range(50)]
    lives = [entry.expires - entry.born for entry in entries]
    assert all(75.0 <= life <= 100.0 for life in lives)
    assert max(lives) - min(lives) > 15.0


def test_an_idle_connection_past_its_life_is_closed_by_upkeep() -> None:
    pool = HandDriven(max_lifetime=10.0, max_size=1)
    pool.give(pool.lease())
    pool.pass_time(10.0)
    assert pool.close_all() == [("c1", "lifetime")]
    pool.pass_time(100.0)
    assert pool.stats().size == 0


def test_a_needed_connection_is_replaced_before_it_is_retired() -> None:
    pool = HandDriven(min_size=1, max_size=2, max_lifetime=100.0, connect_timeout=5.0)
    pool.core.open(pool.now)
    pool.connect_all()
    entry = pool.core.stack.idle[0]
    pool.pass_time(entry.expires - pool.now - 5.0)
    assert not pool.close_all()
    assert pool.connect_all() == 1
    assert pool.close_all() == [("c1", "lifetime")]
    assert pool.stats().idle == 1


def test_a_leased_connection_is_replaced_first_and_retired_when_it_comes_back() -> None:
    pool = HandDriven(max_size=2, max_lifetime=100.0, connect_timeout=5.0)
    entry = pool.lease()
    pool.pass_time(99.0)
    assert pool.connect_all() == 1
    assert entry.state == LEASED
    pool.give(entry)
    assert pool.close_all() == [("c1", "lifetime")]
    assert pool.stats().idle == 1


def test_a_replacement_that_fails_is_tried_again_or_the_life_ends() -> None:
    pool = HandDriven(min_size=1, max_size=2, max_lifetime=100.0, connect_timeout=5.0)
    pool.core.open(pool.now)
    pool.connect_all()
    entry = pool.core.stack.idle[0]
    pool.pass_time(entry.expires - pool.now - 5.0)
    assert pool.fail_all() == 1
    pool.pass_time(5.0)
    assert pool.close_all() == [("c1", "lifetime")]
    assert pool.connect_all() == 1
    assert pool.stats().idle == 1


def test_pruning_closes_what_nobody_needed_for_a_period_oldest_first() -> None:
    pool = HandDriven(max_idle=60.0, max_size=5)
    entries = [pool.lease() for _ in range(5)]
    for entry in entries:
        pool.give(entry)
    pool.pass_time(60.0)
    assert not pool.close_all(), "all five were needed in the first period"
    for _ in range(3):
        busy = [pool.lease(), pool.lease()]
        for entry in busy:
            pool.give(entry)
        pool.pass_time(20.0)
    assert [name for name, _ in pool.close_all()] == ["c1", "c2", "c3"]
    assert {reason for _, reason in pool.closes} == {"idle"}


def test_pruning_stops_at_the_floor_and_never_touches_a_lease() -> None:
    pool = HandDriven(max_idle=10.0, min_size=2, max_size=5)
    held = pool.lease()
    pool.connect_all()
    for entry in [pool.lease() for _ in range(3)]:
        pool.give(entry)
    pool.pass_time(200.0)
    pool.close_all()
    stats = pool.stats()
    assert stats.live == 2
    assert stats.used == 1
    assert held.state == LEASED


def test_a_pool_with_nothing_to_do_asks_for_no_ticks() -> None:
    pool = HandDriven(max_idle=10.0)
    pool.give(pool.lease())
    pool.pass_time(30.0)
    pool.close_all()
    pool.pass_time(30.0)
    assert pool.core.due == float("inf")


def test_idle_connections_are_pinged_in_their_turn_and_kept() -> None:
    pool = HandDriven(pings=True, keepalive=10.0)
    entry = pool.lease()
    pool.pass_time(30.0)
    assert not pool.to_ping(), "a lease is never pinged"
    pool.give(entry)
    pool.pass_time(8.9)
    assert not pool.to_ping()
    pool.pass_time(1.1)
    assert pool.to_ping() == [entry]
    assert pool.core.stack.take(pool.now) is None
    pool.core.pinged(entry, True, pool.now)
    assert pool.core.stack.take(pool.now) is entry


def test_a_connection_whose_ping_fails_is_discarded() -> None:
    pool = HandDriven(pings=True, keepalive=10.0)
    entry = pool.lease()
    pool.give(entry)
    pool.pass_time(10.0)
    pool.to_ping()
    pool.core.pinged(entry, False, pool.now)
    assert pool.close_all() == [("c1", "check")]


def test_a_lease_held_too_long_is_reported_once_and_again_when_it_comes_back() -> None:
    pool = HandDriven(leak_after=5.0)
    entry = pool.lease()
    pool.pass_time(20.0)
    pool.pending(Close)
    assert len(pool.warnings) == 1
    assert "has been held 5.0 s by '?'" in pool.warnings[0]
    pool.give(entry)
    pool.pending(Close)
    assert len(pool.warnings) == 2
    assert "came back, held 20.0 s by '?'" in pool.warnings[1]
    assert pool.stats().leaks == 1


def test_a_lease_that_began_after_the_last_look_is_reported_in_time() -> None:
    pool = HandDriven(leak_after=5.0)
    pool.give(pool.lease())
    pool.pass_time(3.0)
    entry = pool.lease()
    pool.pass_time(5.0)
    pool.pending(Close)
    assert len(pool.warnings) == 1
    assert entry.reported


# The pool as a whole.


def test_resize_sheds_the_surplus_as_it_becomes_idle() -> None:
    pool = HandDriven(max_size=4)
    entries = [pool.lease() for _ in range(4)]
    pool.give(entries[0])
    pool.core.resize(0, 2, pool.now)
    assert len(pool.close_all()) == 1
    pool.give(entries[1])
    assert len(pool.close_all()) == 1
    pool.give(entries[2])
    assert not pool.close_all()
    assert pool.stats().size == 2


def test_resize_to_more_serves_those_who_wait() -> None:
    pool = HandDriven(max_size=1)
    pool.lease()
    waiter = pool.ask()
    pool.core.resize(0, 2, pool.now)
    pool.connect_all()
    assert pool.served(waiter)


def test_sizes_out_of_range_change_nothing() -> None:
    pool = HandDriven(max_size=4)
    with pytest.raises(ConfigurationError, match=r"min_size=5.*0 .. max_size"):
        pool.core.resize(5, 4, pool.now)
    assert (pool.core.min_size, pool.core.max_size) == (0, 4)


def test_close_fails_those_who_wait_and_closes_everything_as_it_comes() -> None:
    pool = HandDriven(max_size=2)
    out, idle = pool.lease(), pool.lease()
    pool.give(idle)
    pool.lease()
    waiter = pool.ask()
    pool.core.release(idle, pool.now)
    taken = pool.served(waiter)
    assert taken is idle
    late = pool.ask()
    pool.core.close(pool.now)
    assert late.state == FAILED
    assert isinstance(late.error, PoolClosed)
    with pytest.raises(PoolClosed, match="a closed pool stays closed"):
        pool.ask()
    with pytest.raises(PoolClosed):
        pool.core.open(pool.now)
    pool.give(out)
    pool.give(idle)
    assert pool.close_all() == [("c1", "shutdown"), ("c2", "shutdown")]
    assert pool.stats().size == 0


def test_what_was_granted_before_the_close_is_not_lost_by_asking_again_after_it() -> None:
    """The caller was nudged, and granted an entry before it had come to ask."""
    pool = HandDriven(max_size=1, fair_after=0.001)
    entry = pool.lease()
    waiter = pool.ask()
    pool.give(entry)
    assert waiter.nudged
    pool.now += 1.0
    pool.core.settle(pool.now)
    pool.core.close(pool.now)
    assert pool.core.acquire(waiter, pool.now) is entry
    pool.give(entry)
    assert len(pool.close_all()) == 1
    assert pool.stats().size == 0


def test_a_connection_that_opens_after_close_is_closed_at_once() -> None:
    pool = HandDriven()
    pool.ask()
    (connect,) = pool.pending(Connect)
    pool.core.close(pool.now)
    pool.core.connected(connect, "late", pool.now)
    assert pool.close_all() == [("late", "shutdown")]


def test_a_draining_pool_serves_those_who_wait_and_refuses_newcomers() -> None:
    pool = HandDriven(max_size=1)
    entry = pool.lease()
    waiter = pool.ask()
    pool.core.drain(pool.now)
    with pytest.raises(PoolClosed):
        pool.ask()
    assert not pool.core.drained
    pool.give(entry)
    assert pool.served(waiter) is entry
    assert pool.core.stack.take(pool.now) is None
    pool.give(entry)
    assert pool.core.drained


def test_a_draining_pool_opens_connections_for_those_who_wait_but_not_for_its_floor() -> None:
    pool = HandDriven(max_size=2, min_size=1)
    entry = pool.lease()
    waiter = pool.ask()
    pool.fail_all()
    pool.core.drain(pool.now)
    pool.pass_time(1.0)
    assert pool.connect_all() == 1
    pool.give(entry)
    pool.core.release(pool.served(waiter) or entry, pool.now, "discard")
    pool.close_all()
    assert pool.connect_all() == 0


def test_what_an_interrupted_caller_left_half_done_is_completed_by_the_next() -> None:
    """A head that is settled but still queued is woken again and struck off."""
    pool = HandDriven(max_size=1, fairness="strict")
    entry = pool.lease()
    first, second = pool.ask(), pool.ask()
    first.entry, first.state = entry, GRANTED
    pool.core.woken.clear()
    pool.core.settle(pool.now)
    assert first in pool.core.woken
    assert pool.core.waiters.head is second


def test_a_connect_that_was_ordered_but_not_noted_holds_its_slot() -> None:
    pool = HandDriven(max_size=1)
    ticket: Ticket[str] = Ticket(pool.now)
    pool.core.acquire(ticket, pool.now)
    pool.core.connects.clear()
    pool.core.settle(pool.now)
    assert pool.stats().connecting == 1
    assert pool.connect_all() == 1


def test_the_books_balance() -> None:
    pool = HandDriven(max_size=4, checks=True)
    entries = [pool.lease() for _ in range(4)]
    pool.core.detach(entries[0], pool.now)
    pool.core.release(entries[1], pool.now, "discard")
    pool.give(entries[2])
    pool.close_all()
    stats = pool.stats()
    assert stats.acquired == stats.released + stats.used + stats.detached + stats.lost == 4
    assert stats.created == sum(stats.closed.values()) + stats.live + stats.detached == 4


# Announcements.


class Diary(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def acquired(self, pool: str, waited: float) -> None:
        self.lines.append(f"acquired {waited:g}")

    def released(self, pool: str, held: float) -> None:
        self.lines.append(f"released {held:g}")

    def timed_out(self, pool: str, waited: float) -> None:
        self.lines.append(f"timed out {waited:g}")

    def saturated(self, pool: str) -> None:
        self.lines.append("saturated")

    def connected(self, pool: str, seconds: float) -> None:
        self.lines.append(f"connected {seconds:g}")

    def connect_failed(self, pool: str, error: BaseException, seconds: float) -> None:
        self.lines.append(f"failed {error}")

    def closed(self, pool: str, reason: str) -> None:
        self.lines.append(f"closed {reason}")

    def invalidated(self, pool: str, generation: int) -> None:
        self.lines.append(f"invalidated {generation}")

    def down(self, pool: str, error: BaseException) -> None:
        self.lines.append("down")

    def up(self, pool: str) -> None:
        self.lines.append("up")


def test_an_observer_is_told_what_happens_in_order() -> None:
    diary = Diary()
    pool = HandDriven(observer=diary, max_size=1, max_waiting=1, down_after=1)
    waiter = pool.ask()
    pool.fail_all(Trouble("x"))
    pool.pass_time(1.0)
    pool.connect_all()
    entry = pool.served(waiter)
    assert entry is not None
    blocked = pool.ask()
    with pytest.raises(PoolSaturated):
        pool.ask()
    pool.now += 2.0
    pool.timed_out(blocked)
    pool.core.release(entry, pool.now, "invalidate_all")
    pool.pending(Close)
    assert diary.lines[2].startswith("connected ")
    del diary.lines[2]
    assert diary.lines == [
        "failed x", "down", "up", "saturated", "timed out 2", "released 2", "invalidated 1",
        "closed error",
    ]  # fmt: skip


def test_histograms_count_every_wait_use_and_connect_when_asked_for() -> None:
    pool = HandDriven(histograms=True, max_size=1, fairness="strict")
    entry = pool.lease()
    pool.now += 0.3
    pool.give(entry)
    pool.give(pool.lease())
    stats = pool.stats()
    assert stats.wait_times is not None
    assert stats.use_times is not None
    assert stats.create_times is not None
    assert stats.wait_times.count == stats.acquired == 2
    assert stats.use_times.count == 2
    assert stats.use_times.quantile(1.0) == pytest.approx(0.5)
    assert stats.create_times.count == 1


def test_use_times_are_kept_however_a_lease_ends_and_when_its_connection_is_gone() -> None:
    pool = HandDriven(histograms=True, max_size=1)

    def discard(entry: Entry[str]) -> None:
        pool.core.discard(entry, "error", pool.now)

    for end in (pool.give, discard, pool.give):
        entry = pool.lease()
        pool.now += 0.3
        end(entry)
        pool.close_all()
    use_times = pool.stats().use_times
    assert use_times is not None
    assert use_times.count == pool.stats().released == 3
    assert use_times.total == pytest.approx(0.9)


def test_an_observer_that_hears_of_no_leases_is_not_told_of_them() -> None:
    class Deaf(Observer):
        def down(self, pool: str, error: BaseException) -> None:
            """The only event it heeds."""

    assert not HandDriven(observer=Deaf()).core.stack.watched
    assert HandDriven(observer=Diary()).core.stack.watched


def test_histograms_cost_nothing_unless_asked_for() -> None:
    pool = HandDriven()
    assert not pool.core.stack.watched
    assert not pool.core.stack.timed
    assert pool.stats().wait_times is None
