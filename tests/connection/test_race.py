"""Which address is tried when: the decisions of happy eyeballs, on a clock that is an argument."""

from __future__ import annotations

import errno
import math

from cenote.connection.race import STAGGER, Race, alternate

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "whatever the loop says")


def test_families_alternate_in_the_order_given() -> None:
    found = [("v6", "a"), ("v6", "b"), ("v6", "c"), ("v4", "d"), ("v4", "e")]
    assert alternate(found) == ["a", "d", "b", "e", "c"]


def test_one_family_keeps_its_order() -> None:
    assert alternate([("v4", "a"), ("v4", "b")]) == ["a", "b"]


def test_the_first_attempt_is_due_at_once_and_the_next_a_stagger_later() -> None:
    race = Race(["a", "b"])
    assert race.due(100.0) == 0.0
    assert race.start(100.0) == "a"
    assert race.due(100.1) == STAGGER - (100.1 - 100.0)
    assert race.due(100.0 + STAGGER) == 0.0
    assert race.start(100.0 + STAGGER) == "b"


def test_a_failure_makes_the_next_attempt_due_at_once() -> None:
    race = Race(["a", "b"])
    race.start(100.0)
    race.failed("a", REFUSED)
    assert race.due(100.0) == 0.0
    assert not race.lost


def test_nothing_is_due_when_every_address_has_been_started() -> None:
    race = Race(["a"])
    race.start(0.0)
    assert race.due(1000.0) == math.inf
    assert not race.lost


def test_the_race_is_lost_when_the_last_running_attempt_fails() -> None:
    race = Race(["a", "b"])
    race.start(0.0)
    race.start(1.0)
    race.failed("b", REFUSED)
    assert not race.lost
    race.failed("a", REFUSED)
    assert race.lost
    assert race.last_error is REFUSED


def test_a_race_without_addresses_is_lost_from_the_start() -> None:
    race: Race[str] = Race([])
    assert race.lost
    assert str(race.last_error) == "no address to try"


def test_the_text_names_every_attempt() -> None:
    race = Race(["a", "b", "c"])
    assert str(race) == "no address tried"
    race.start(0.0)
    race.failed("a", REFUSED)
    race.start(0.0)
    race.failed("b", OSError("odd"))
    race.start(0.0)
    assert str(race) == "a: Connection refused; b: odd; 1 unanswered"
