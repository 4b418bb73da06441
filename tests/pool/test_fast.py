"""The lock-free path by itself: what it takes, what it refuses, and what its finalizers do."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from cenote.pool.fast import (
    ALWAYS,
    CLOSED,
    DONE,
    IDLE,
    LEASED,
    NEVER,
    REFUSED,
    RESERVED,
    SETTLE,
)
from cenote.pool.fast_path import Entry, IdleStack
from cenote.pool.fast_path_sync import Front, Lease
from cenote.pool.leaks import borrowed_at
from cenote.pool.stats import BOUNDS


class Thing:
    """A resource that can be referenced weakly."""


def open_stack(**options: Any) -> IdleStack[Any]:
    defaults: dict[str, Any] = {
        "fifo": False, "check_after": NEVER, "max_uses": NEVER, "who": lambda: "me",
        "is_clean": None,
    }  # fmt: skip
    stack: IdleStack[Any] = IdleStack(**(defaults | options))
    stack.barrier = stack.alert = NEVER
    return stack


def idle_entry(stack: IdleStack[Any], serial: int = 1, resource: object = None) -> Entry[Any]:
    entry = Entry(stack, resource or Thing(), serial, 0.0, NEVER)
    entry.state = IDLE
    stack.idle.append(entry)
    return entry


@pytest.fixture
def stack():
    stack = open_stack()
    yield stack
    for entry in stack.idle:
        entry.state = CLOSED


def test_a_new_stack_lets_nobody_pass() -> None:
    stack: IdleStack[Any] = IdleStack(
        fifo=False, check_after=NEVER, max_uses=NEVER, who=lambda: None, is_clean=None
    )
    assert stack.barrier == ALWAYS
    assert stack.take(0.0) is None


def test_the_newest_is_taken_first_or_the_oldest(stack: IdleStack[Any]) -> None:
    idle_entry(stack, 1)
    newest = idle_entry(stack, 2)
    assert stack.take(1.0) is newest
    fifo = open_stack(fifo=True)
    oldest = idle_entry(fifo, 1)
    idle_entry(fifo, 2)
    assert fifo.take(1.0) is oldest
    newest.state = oldest.state = CLOSED
    fifo.idle[0].state = CLOSED


def test_a_lease_is_written_into_its_entry(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack)
    assert stack.take(3.0) is entry
    assert (entry.state, entry.uses, entry.leased_at, entry.holder) == (LEASED, 1, 3.0, "me")
    assert stack.give(entry, 4.0) == DONE
    assert (entry.state, entry.uses, entry.idle_since) == (IDLE, 1, 4.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("generation", 7), ("expires", 1.0)],
    ids=["older generation", "past its life"],
)
def test_a_stale_entry_is_put_back_where_it_was(
    stack: IdleStack[Any], name: str, value: Any
) -> None:
    idle_entry(stack, 1)
    stale = idle_entry(stack, 2)
    setattr(stale, name, value)
    assert stack.take(1.0) is None
    assert stack.idle[-1] is stale
    fifo = open_stack(fifo=True)
    stale = idle_entry(fifo, 1)
    setattr(stale, name, value)
    idle_entry(fifo, 2)
    assert fifo.take(1.0) is None
    assert fifo.idle[0] is stale
    for entry in fifo.idle:
        entry.state = CLOSED


def test_an_entry_idle_for_long_is_left_to_be_checked() -> None:
    stack = open_stack(check_after=0.5)
    entry = idle_entry(stack)
    assert stack.take(0.5) is None
    assert stack.take(0.4) is entry
    entry.state = CLOSED


def test_the_barrier_stops_newcomers_from_its_time_on(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack)
    stack.barrier = 2.0
    assert stack.take(2.0) is None
    assert stack.take(1.9) is entry
    entry.state = CLOSED


def test_whoever_gives_after_the_alert_must_settle(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack)
    stack.take(0.0)
    stack.alert = 2.0
    assert stack.give(entry, 1.9) == DONE
    stack.take(0.0)
    assert stack.give(entry, 2.0) == SETTLE
    assert entry in stack.idle


@pytest.mark.parametrize(
    ("name", "value"),
    [("state", RESERVED), ("state", IDLE), ("generation", 3), ("expires", 0.0), ("uses", 99)],
)
def test_what_is_not_good_to_go_is_refused(name: str, value: Any) -> None:
    stack = open_stack(max_uses=99.0)
    entry = idle_entry(stack)
    stack.take(-1.0)
    setattr(entry, name, value)
    assert stack.give(entry, 0.0) == REFUSED
    assert not stack.idle
    entry.state = CLOSED


def test_an_entry_of_another_stack_is_refused(stack: IdleStack[Any]) -> None:
    other = open_stack()
    entry = idle_entry(other)
    other.take(0.0)
    assert stack.give(entry, 0.0) == REFUSED
    entry.state = CLOSED


def test_a_resource_that_is_not_clean_is_refused() -> None:
    asked: list[object] = []

    def is_clean(resource: object) -> bool:
        asked.append(resource)
        return len(asked) > 1

    stack = open_stack(is_clean=is_clean)
    entry = idle_entry(stack)
    stack.take(0.0)
    assert stack.give(entry, 0.0) == REFUSED
    assert stack.give(entry, 0.0) == DONE
    entry.state = CLOSED


def test_the_low_watermark_is_the_fewest_left_idle(stack: IdleStack[Any]) -> None:
    for serial in range(3):
        idle_entry(stack, serial)
    stack.low = 3
    taken = [stack.take(0.0), stack.take(0.0)]
    for entry in taken:
        assert entry is not None
        stack.give(entry, 0.0)
    assert stack.low == 1


def test_a_lost_entry_is_put_aside_alive_and_the_driver_poked(stack: IdleStack[Any]) -> None:
    pokes: list[int] = []
    stack.poke = lambda: pokes.append(1)
    idle_entry(stack, 5)
    stack.take(0.0)
    assert [entry.serial for entry in stack.lost] == [5]
    assert pokes == [1]
    stack.lost[0].state = CLOSED


def test_a_closed_entry_dies_in_silence(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack)
    stack.idle.clear()
    entry.state = CLOSED
    del entry
    assert not stack.lost


def test_a_lent_resource_is_found_again_by_identity(stack: IdleStack[Any]) -> None:
    thing = Thing()
    entry = idle_entry(stack, 1, thing)
    stack.take(0.0)
    assert stack.lend(entry) is thing
    assert entry.resource is None
    assert stack.reclaim(Thing()) is None
    assert stack.reclaim(thing) is entry
    assert entry.resource is thing
    assert stack.reclaim(thing) is None
    entry.state = CLOSED


def test_an_object_with_the_identity_of_a_dead_loan_is_foreign(stack: IdleStack[Any]) -> None:
    """Identities are used again at once; the loan stays to be buried."""
    entry = idle_entry(stack, 1)
    stack.take(0.0)
    stack.lend(entry)
    gc.collect()
    foreign = Thing()
    stack.lent = {id(foreign): entry}
    assert stack.reclaim(foreign) is None
    assert stack.lent == {id(foreign): entry}
    assert list(stack.mourned) == [entry.ref, entry.ref]  # again: it may have been looked for
    assert entry.resource is None
    entry.state = CLOSED


def test_a_lent_resource_that_dies_is_mourned_by_its_reference(stack: IdleStack[Any]) -> None:
    pokes: list[int] = []
    stack.poke = lambda: pokes.append(1)
    entry = idle_entry(stack, 1)
    stack.take(0.0)
    stack.lend(entry)
    gc.collect()
    assert list(stack.mourned) == [entry.ref]
    assert pokes == [1]
    entry.state = CLOSED


def test_a_resource_that_can_not_be_referenced_weakly_is_kept(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack, 1, resource=object())
    stack.take(0.0)
    resource = stack.lend(entry)
    assert entry.ref is None
    assert entry.resource is resource
    entry.state = CLOSED


def attended(**asked: Any) -> IdleStack[Any]:
    stack = open_stack()
    defaults: dict[str, Any] = {
        "acquired": None, "released": None, "sites": False, "timed": False,
    }  # fmt: skip
    stack.attend("mine", **(defaults | asked))
    return stack


def test_who_asked_is_told_when_a_lease_begins_and_ends() -> None:
    told: list[tuple[str, str, float]] = []
    stack = attended(
        acquired=lambda pool, waited: told.append(("acquired", pool, waited)),
        released=lambda pool, held: told.append(("released", pool, held)),
    )
    entry = idle_entry(stack)
    stack.take(1.0)
    assert stack.give(entry, 3.5) == DONE
    assert told == [("acquired", "mine", 0.0), ("released", "mine", 2.5)]
    entry.state = CLOSED


def test_the_end_of_a_lease_is_told_when_the_entry_is_for_the_taking() -> None:
    seen: list[int] = []
    watched: IdleStack[Any] = attended(released=lambda pool, held: seen.append(len(watched.idle)))
    entry = idle_entry(watched)
    watched.take(0.0)
    watched.give(entry, 1.0)
    assert seen == [1]
    entry.state = CLOSED


def test_the_error_of_a_listener_is_logged_and_the_lease_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(pool: str, seconds: float) -> None:
        raise ValueError("of the listener")

    stack = attended(acquired=fail, released=fail)
    entry = idle_entry(stack)
    assert stack.take(0.0) is entry
    assert stack.give(entry, 1.0) == DONE
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    entry.state = CLOSED


def test_a_listener_that_is_interrupted_leaves_nobody_waiting() -> None:
    """It never says that somebody waits; the driver is poked, and sees to it."""

    def interrupt(pool: str, held: float) -> None:
        raise KeyboardInterrupt

    pokes: list[int] = []
    stack = attended(released=interrupt)
    stack.poke = lambda: pokes.append(1)
    entry = idle_entry(stack)
    stack.take(0.0)
    stack.alert = ALWAYS
    with pytest.raises(KeyboardInterrupt):
        stack.give(entry, 1.0)
    assert list(stack.idle) == [entry]
    assert pokes == [1]
    entry.state = CLOSED


def borrow(stack: IdleStack[Any]) -> Entry[Any] | None:
    return stack.take(0.0)


def test_an_entry_notes_where_it_was_borrowed_when_asked_to() -> None:
    stack = attended(sites=True)
    entry = idle_entry(stack)
    assert borrowed_at(entry.site) == ""
    borrow(stack)
    line = borrow.__code__.co_firstlineno + 1
    assert borrowed_at(entry.site) == f"test_fast.py:{line}"
    stack.give(entry, 1.0)
    stack.take(0.0)
    assert borrowed_at(entry.site).startswith("test_fast.py:")
    assert borrowed_at(entry.site) != f"test_fast.py:{line}"
    entry.state = CLOSED


def test_an_entry_counts_how_long_it_was_held_when_asked_to() -> None:
    stack = attended(timed=True)
    entry = idle_entry(stack)
    for held in (0.3, 0.4, 100.0):
        stack.take(1.0)
        stack.give(entry, 1.0 + held)
    assert entry.times is not None
    counts, total = entry.times.counted()
    assert (counts[BOUNDS.index(0.5)], counts[-1], sum(counts)) == (2, 1, 3)
    assert total == pytest.approx(100.7)
    entry.state = CLOSED


def test_what_is_refused_is_not_counted() -> None:
    stack = attended(timed=True)
    entry = idle_entry(stack)
    stack.take(1.0)
    entry.reported = True
    assert stack.give(entry, 2.0) == REFUSED
    assert entry.times is not None
    assert sum(entry.times.counted()[0]) == 0
    entry.state = CLOSED


def test_nobody_asked_nothing_is_noted(stack: IdleStack[Any]) -> None:
    entry = idle_entry(stack)
    assert not stack.watched
    assert entry.site is None
    assert entry.times is None


def test_a_lease_that_was_reported_ends_in_the_core(stack: IdleStack[Any]) -> None:
    """So that its return is reported too."""
    entry = idle_entry(stack, 4)
    stack.take(0.0)
    entry.reported = True
    assert stack.give(entry, 0.0) == REFUSED
    entry.state = CLOSED


def test_the_face_without_its_slow_half_serves_what_is_idle(stack: IdleStack[Any]) -> None:
    front: Front[Any] = Front(stack, lambda: 1.0)
    with pytest.raises(NotImplementedError):
        front.acquire()
    thing = Thing()
    entry = idle_entry(stack, 1, thing)
    with front.connection() as leased:
        assert leased is thing
    conn = front.acquire()
    front.release(conn)
    assert front.checkout_nowait() is entry
    front.checkin(entry)
    assert entry.uses == 3
    front.checkout_nowait()
    stack.alert = ALWAYS
    with pytest.raises(NotImplementedError):
        front.checkin(entry)
    with pytest.raises(NotImplementedError):
        front.checkin(entry)
    with pytest.raises(NotImplementedError):
        front.checkin(entry, ValueError())


def test_generic_classes_can_be_subscripted() -> None:
    assert Entry[int] is not None
    assert Lease[int] is not None
    assert repr(Entry(open_stack(), "r", 3, 0.0, NEVER)).startswith("<Entry #3 of 'r'")
