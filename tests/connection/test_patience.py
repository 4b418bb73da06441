"""When the socket's own timeout is set: short of the deadline, and seldom."""

from __future__ import annotations

import math
from importlib import import_module

import pytest

from cenote._implementation import use_compiled
from cenote.connection.patience import (
    LONGEST,
    PRECISE,
    TICKS,
    arm_for,
    poll_milliseconds,
    too_patient,
)


@pytest.mark.parametrize("rest", [PRECISE, 0.1, 1.0, 60.0, 1e9, math.inf])
def test_the_socket_wakes_before_the_deadline_however_late_its_timer_is(rest: float) -> None:
    assert 0 < arm_for(rest) <= rest - TICKS


@pytest.mark.parametrize("rest", [0.1, 1.0, 60.0])
def test_callers_with_the_same_timeout_set_it_once(rest: float) -> None:
    """A later exchange has a little less left, by what the layers above took."""
    assert not too_patient(arm_for(rest), rest - 0.02 * rest)


def test_a_shorter_deadline_sets_it_anew() -> None:
    assert too_patient(arm_for(1.0), 0.5)


def test_a_fresh_socket_waits_for_ever_and_must_be_told() -> None:
    assert too_patient(math.inf, 1.0)


def test_a_wait_without_end_leaves_a_fresh_socket_alone() -> None:
    assert not too_patient(math.inf, math.inf)


@pytest.mark.parametrize(
    ("rest", "milliseconds"), [(0.0, 0), (-1.0, 0), (0.0001, 1), (0.0101, 11), (2.0, 2000)]
)
def test_poll_is_never_told_to_end_early(rest: float, milliseconds: int) -> None:
    assert poll_milliseconds(rest) == milliseconds


@pytest.mark.skipif(not use_compiled("cenote.connection._exchange"), reason="not compiled")
def test_the_compiled_twin_has_the_same_patience() -> None:
    assert import_module("cenote.connection._exchange")._PATIENCE == (PRECISE, TICKS)


def test_the_longest_wait_fits_what_poll_takes() -> None:
    assert poll_milliseconds(math.inf) == LONGEST * 1000 < 2**31
