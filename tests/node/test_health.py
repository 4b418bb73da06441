"""The judgement about one server, and the budget of second tries; with a clock of the test's."""

from __future__ import annotations

from random import Random

import pytest

from cenote.node.budget import A_SECOND, WINDOW, RetryBudget
from cenote.node.health import IN_A_ROW, Figures, Vigil, assess
from cenote.pool import Pool

FINE = [Figures(0.0, 0.001)] * 3


def vigil() -> Vigil:
    return Vigil(3, Random(1))


# Absolute evidence.


def test_requests_that_nobody_answers_in_a_row_are_enough() -> None:
    watched = vigil()
    for count in range(IN_A_ROW):
        assert watched.charge(FINE) is None, count
        watched.failed(100, now=float(count))
    assert watched.charge(FINE) == "3 requests in a row were not answered"
    assert watched.suspect


def test_an_answer_in_between_begins_a_new_row() -> None:
    watched = vigil()
    watched.failed(100, now=0.0)
    watched.failed(100, now=1.0)
    watched.look(101, now=1.5)
    assert not watched.suspect
    watched.failed(101, now=2.0)
    assert watched.charge(FINE) is None
    assert watched.suspect


def test_an_answer_of_the_past_that_is_counted_late_is_no_answer() -> None:
    """Leases are counted by their end, so that the sum may lag behind for a moment."""
    watched = vigil()
    watched.failed(100, now=0.0)
    watched.failed(99, now=1.0)
    watched.failed(100, now=2.0)
    assert watched.charge(FINE) is not None


def test_requests_and_connects_that_fail_are_counted_together() -> None:
    watched = vigil()
    watched.failed(100, now=0.0)
    watched.connect_failed(100, now=0.5)
    assert watched.charge(FINE) is None
    watched.connect_failed(100, now=1.0)
    assert watched.charge(FINE) == "1 requests in a row were not answered, 2 connects failed"


def test_connects_that_fail_are_enough_after_as_many_as_the_pool_has_patience_for() -> None:
    watched = vigil()
    for count in range(3):
        assert watched.charge(FINE) is None, count
        watched.connect_failed(0, now=float(count))
    assert watched.charge(FINE) == "3 connects in a row failed"
    assert watched.unreachable
    watched.connected()
    assert watched.charge(FINE) is None


def test_what_is_lost_when_a_server_is_restarted_ejects_nobody() -> None:
    watched = vigil()
    for _ in range(9):
        watched.failed(1000, now=0.0, lost=True)
    assert watched.charge(FINE) is None


# Relative evidence.


def failing(share: float, now: float = 0.0) -> Vigil:
    """A server of which a share of a thousand requests has failed, with answers in between."""
    watched = vigil()
    watched.failed(0, now=now, count=int(1000 * share))
    watched.look(int(1000 * (1 - share)), now=now)
    return watched


def test_a_server_that_fails_out_of_all_proportion_is_an_outlier() -> None:
    assert failing(0.5).charge(FINE) == "50% of its requests fail, of the other servers' 0%"
    assert failing(0.1).charge(FINE) is None
    assert failing(0.5).charge([Figures(0.3, None)] * 3) is None


def test_failures_of_long_ago_are_forgotten() -> None:
    watched = failing(0.5)
    watched.look(500, now=60.0)
    assert watched.charge(FINE) is None


def test_a_handful_of_failures_says_nothing_about_a_share() -> None:
    watched = vigil()
    for answered in range(9):
        watched.failed(answered, now=0.0)
    assert watched.charge(FINE) is None


def measured(*samples: float) -> Vigil:
    watched = vigil()
    for seconds in samples:
        watched.measured(seconds)
    return watched


def test_a_server_that_is_slow_beside_the_others_is_an_outlier() -> None:
    assert measured(*[0.05] * 10).charge(FINE) == (
        "a request takes 50 ms, with the other servers 1.0 ms"
    )


@pytest.mark.parametrize(
    ("samples", "others"),
    [
        ([0.05] * 3, FINE),  # too few
        ([0.015] * 10, FINE),  # ten times as slow, but nothing is slow below that
        ([0.05] * 10, [Figures(0.0, 0.02)] * 3),  # they all are
        ([0.05] * 10, [Figures(0.0, None)] * 3),  # nothing is known of the others
        ([0.05] * 10, []),
        ([5.0, *[0.001] * 10], FINE),  # once
    ],
    ids=["few", "floor", "all-slow", "unknown", "alone", "once"],
)
def test_a_server_that_is_slow_for_a_reason_of_all_is_none(
    samples: list[float], others: list[Figures]
) -> None:
    assert measured(*samples).charge(others) is None


# Down, probed, and back.


def ejected(now: float = 0.0, *, unreachable: bool = False) -> Vigil:
    watched = vigil()
    for _ in range(3):
        if unreachable:
            watched.connect_failed(0, now=now)
        else:
            watched.failed(0, now=now)
    watched.eject("a reason", now)
    return watched


def test_one_probe_is_made_at_a_time_when_it_is_due() -> None:
    watched = ejected()
    assert watched.down
    assert not watched.probe(watched.probe_at - 0.001)
    assert watched.probe(watched.probe_at)
    assert not watched.probe(watched.probe_at + 100)
    watched.connect_failed(0, now=50.0)
    assert watched.probe_at >= 50.0
    assert watched.probe(watched.probe_at)


def test_the_delays_between_probes_grow_and_are_bounded() -> None:
    watched, now, delays = ejected(), 0.0, []
    for _ in range(200):
        now = watched.probe_at
        assert watched.probe(now)
        watched.connect_failed(0, now)
        delays.append(watched.probe_at - now)
    assert max(delays[:1]) <= 2.0
    assert max(delays) <= 30.0
    assert max(delays[10:]) > 15.0


def test_a_relapse_is_probed_later_than_the_first_time_and_calm_makes_good() -> None:
    watched = ejected()
    for relapse in range(20):
        watched.restore(now=float(relapse))
        watched.eject("again", now=float(relapse))
    now = 1000.0
    watched.restore(now)
    watched.eject("much later", now + 3600)
    assert watched.probe_at - (now + 3600) <= 1.0
    assert watched.ejections == 22


def test_a_server_that_could_be_connected_to_all_the_time_returns_by_a_probe_only() -> None:
    watched = ejected()
    watched.connected()
    assert not watched.may_return(0.0)
    assert watched.probe(watched.probe_at)
    assert watched.may_return(watched.probe_at)


def test_a_server_that_could_not_be_connected_to_returns_with_the_first_connect() -> None:
    watched = ejected(unreachable=True)
    watched.connected()
    assert watched.may_return(0.0)


def test_a_server_that_is_back_has_a_clean_sheet() -> None:
    watched = ejected()
    watched.restore(now=5.0)
    assert (watched.down, watched.suspect, watched.reason) == (False, False, None)
    assert watched.charge(FINE) is None
    assert not watched.may_return(6.0)
    assert watched.figures == Figures(0.0, None)


def test_health_tells_what_the_vigil_knows() -> None:
    with Pool(lambda: open("/dev/null")) as pool:  # noqa: PTH123 - something to close
        stats = pool.stats()
    watched = measured(*[0.002] * 10)
    health = assess("n", stats, retries=0, last_error=None, vigil=watched)
    assert (health.state, health.ejected, health.latency) == ("unknown", False, 0.002)
    watched.failed(0, now=0.0)
    health = assess("n", stats, retries=0, last_error=None, vigil=watched, suspect=True)
    assert health.state == "suspect"
    watched.eject("it burns", now=0.0)
    health = assess("n", stats, retries=0, last_error=None, vigil=watched)
    assert (health.state, health.ejected, health.reason) == ("down", True, "it burns")
    assert (health.failures, health.ejections) == (1, 1)


# The budget.


def test_a_trickle_of_tokens_is_there_without_any_traffic() -> None:
    budget = RetryBudget(0.1, now=0.0)
    paid = sum(budget.spend(0, now=0.0) for _ in range(1000))
    assert paid == A_SECOND * WINDOW
    assert [budget.spend(0, now=1.0) for _ in range(11)] == [True] * 10 + [False]
    assert budget.spent == 110
    assert budget.refused == 901


def test_second_tries_are_a_share_of_the_requests() -> None:
    """Ten thousand requests a second for a minute, every fifth of which would like a second try."""
    budget, paid = RetryBudget(0.1, now=0.0), 0
    for step in range(600):
        for _ in range(200):
            paid += budget.spend(1000 * (step + 1), now=step / 10)
    requests = 600_000
    assert 0.09 * requests <= paid <= 0.1 * requests + A_SECOND * (60 + WINDOW) + 1


def test_what_was_earned_long_ago_is_not_saved_up() -> None:
    budget = RetryBudget(0.1, now=0.0)
    assert budget.spend(1_000_000, now=1.0)
    paid = sum(budget.spend(1_000_000, now=1000.0) for _ in range(1000))
    assert paid <= A_SECOND * WINDOW


def test_a_server_that_takes_its_requests_along_takes_no_tokens() -> None:
    budget = RetryBudget(0.1, now=0.0)
    assert budget.spend(1000, now=0.0)
    assert budget.spend(10, now=0.0)


def test_without_a_share_nothing_is_refused() -> None:
    budget = RetryBudget(None, now=0.0)
    assert all(budget.spend(0, now=0.0) for _ in range(1000))
    assert (budget.spent, budget.refused) == (1000, 0)
