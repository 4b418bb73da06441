"""How goals are judged: ratios within a round, their median, at least or at most."""

from __future__ import annotations

import pytest

from bench import goals
from bench.goals import EVERYBODY, GOALS, Goal, judge
from bench.workloads import GROUPS, group_named


def rates(*figures: float) -> list[dict]:
    return [{"rate": figure} for figure in figures]


def judged(monkeypatch: pytest.MonkeyPatch, goal: Goal, column: dict[str, list[dict]]) -> list:
    monkeypatch.setattr(goals, "GOALS", (goal,))
    return judge(goal.group, {goal.column: column})


def test_a_ratio_is_taken_within_each_round_and_then_the_median(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine was slow in the second round, for both."""
    goal = Goal("get", "single", "get", 2.0, "peer")
    column = {"cenote": rates(200, 22, 210), "peer": rates(100, 10, 100)}
    (verdict,) = judged(monkeypatch, goal, column)
    assert verdict.measured == pytest.approx(2.1)
    assert (verdict.lowest, verdict.highest) == (pytest.approx(2.0), pytest.approx(2.2))
    assert verdict.reached


@pytest.mark.parametrize(("limit", "reached"), [(0.5, True), (0.3, False)])
def test_a_goal_may_be_an_upper_bound(
    monkeypatch: pytest.MonkeyPatch, limit: float, *, reached: bool
) -> None:
    goal = Goal("get", "single", "get", limit, "peer", at_most=True)
    (verdict,) = judged(monkeypatch, goal, {"cenote": rates(40), "peer": rates(100)})
    assert verdict.reached is reached


def test_a_goal_without_a_peer_is_a_figure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = Goal("get", "single", "get", 10, figure="longest_ms", at_most=True, unit="ms")
    (verdict,) = judged(monkeypatch, goal, {"cenote": [{"longest_ms": 4.0}]})
    assert (verdict.measured, verdict.reached) == (4.0, True)


def test_the_best_peer_is_not_one_of_ours_nor_one_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal = Goal("get", "single", "get", 1.0, EVERYBODY)
    column = {
        "cenote": rates(100),
        "cenote (pure)": rates(90),
        "slow": rates(10),
        "good": rates(50),
        "broken": [{"error": "no"}],
    }
    (verdict,) = judged(monkeypatch, goal, column)
    assert (verdict.peer, verdict.measured) == ("good", 2.0)


@pytest.mark.parametrize("missing", ["cenote", "peer"])
def test_a_goal_that_can_not_be_judged_is_left_out(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    goal = Goal("get", "single", "get", 1.0, "peer")
    column = {"cenote": rates(1), "peer": rates(1), missing: [{"error": "ended"}]}
    assert judged(monkeypatch, goal, column) == []


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.work} / {goal.peer}")
def test_every_goal_names_a_column_of_a_group(goal: Goal) -> None:
    assert goal.column in group_named(goal.group).columns


def test_the_middle_half_leaves_outliers_out() -> None:
    assert goals.middle_half([9.0, 1.0, 1.1, 1.2, 0.1]) == (1.0, 1.2)
    assert goals.middle_half([2.0]) == (2.0, 2.0)


def test_every_group_has_a_goal() -> None:
    assert {goal.group for goal in GOALS} == {group.name for group in GROUPS}
