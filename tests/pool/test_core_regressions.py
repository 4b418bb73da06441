"""Mistakes of the core that random sequences of calls brought to light, each at its shortest."""

from __future__ import annotations

import gc

from cenote.pool import AsyncPool, Pool
from cenote.pool.actions import Connect
from cenote.pool.thread_mapped_sync import ThreadMappedPool
from tests.pool.links import HandDriven, Trouble


def test_a_newcomer_in_the_back_off_is_remembered_when_it_ends() -> None:
    """Nobody waited when the last tick computed the next: the newcomer brings it forward."""
    driven = HandDriven(backoff_base=0.5)
    core, given_up = driven.core, driven.ask()
    (connect,) = driven.pending(Connect)
    core.connect_failed(connect, Trouble("refused"), driven.now)
    driven.timed_out(given_up)
    core.tick(driven.now)
    driven.ask()
    assert core.due <= core.backoff.retry_at
    driven.now = core.backoff.retry_at
    core.tick(driven.now)
    assert driven.connect_all() == 1


def test_a_lease_lost_in_a_reference_cycle_does_not_make_counters_shrink() -> None:
    """The collector clears weak references before finalizers run: the roster renews its own."""
    driven = HandDriven()
    entry = driven.lease()
    assert driven.core.snapshot(driven.now).acquired == 1
    driven.core.woken.clear()  # the ticket it was granted to
    entry.holder = [entry]
    del entry
    gc.collect()
    stats = driven.core.snapshot(driven.now)
    assert (stats.acquired, stats.lost, stats.released) == (1, 1, 0)


def test_a_connection_that_was_reported_as_leaked_is_watched_again_when_it_is_back() -> None:
    pool = HandDriven(leak_after=3.0)
    for leaks in (1, 2, 3):
        lease = pool.lease()
        pool.pass_time(4.0)
        assert pool.stats().leaks == leaks
        pool.give(lease)


def test_a_burst_that_is_due_is_due_whatever_is_lost_in_adding_up_times() -> None:
    """Reckoned in two ways it was due, and not yet called for: so nobody came back for it."""
    driven = HandDriven(max_size=1, burst=1, burst_after=0.01)
    driven.now = 1004.7065
    driven.lease()
    assert driven.now + 0.01 - driven.now < 0.01
    driven.ask()
    driven.pass_time(0.02)
    assert driven.connect_all() == 1


def test_no_driver_gives_its_core_more_attributes_than_the_interpreter_is_fast_with() -> None:
    """CPython 3.11 finds attributes and methods of an object with 30 or more the slow way."""

    async def connect() -> Trouble:
        return Trouble("never used")

    of_threads, of_tasks = Pool(Trouble), AsyncPool(connect)
    for core in (of_threads._core, ThreadMappedPool(Trouble)._pool._core, of_tasks._core):
        core.bad_checks = 1
        assert len(vars(core)) < 30
