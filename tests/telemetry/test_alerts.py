"""Alerts: when they fire, when they clear, and who is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from cenote import ConfigurationError, Pool, PoolTimeout
from cenote.node.health import Condition, State
from cenote.telemetry import RULES, Alert, Alerts, Rule, signals
from cenote.telemetry.alerts import Judge
from tests.telemetry.conftest import Thing
from tests.telemetry.stats import stats

BUSY, SLOW, EXHAUSTED, CHURNS, FAULTS, DOWN, NODE_DOWN, LEAKS = RULES


def judged(rule: Rule, *history: tuple[float, Mapping[str, object]]) -> list[tuple[float, str]]:
    """Return when the rule fires and clears for a pool with this history."""
    judge = Judge([rule])
    return [
        (now, alert.change)
        for now, fields in history
        for alert in judge.judge(now, {"p": stats(**fields)})
    ]


def test_it_fires_once_the_limit_has_been_passed_for_long_enough() -> None:
    history = [(float(now), {"used": 9}) for now in range(0, 601, 60)]
    assert judged(BUSY, *history) == [(300, "fires")]


def test_a_moment_below_the_limit_begins_anew() -> None:
    used = [9, 9, 9, 9, 2, 9, 9, 9, 9, 9, 9]
    history = [(60.0 * at, {"used": each}) for at, each in enumerate(used)]
    assert judged(BUSY, *history) == [(600, "fires")]


def test_what_hovers_about_the_limit_is_told_once() -> None:
    used = [9] * 6 + [7, 9, 7, 9, 7, 9]
    history = [(60.0 * at, {"used": each}) for at, each in enumerate(used)]
    assert judged(BUSY, *history) == [(300, "fires")]


def test_it_clears_once_the_limit_has_not_been_passed_for_long_enough() -> None:
    used = [9] * 6 + [1, 1, 1]
    history = [(60.0 * at, {"used": each}) for at, each in enumerate(used)]
    assert judged(BUSY, *history) == [(300, "fires"), (420, "clears")]


def test_waits_are_judged_by_their_mean_over_the_last_minute() -> None:
    slow = [{"waited": 10 * at, "wait_seconds": 2.0 * at} for at in range(30)]
    assert judged(SLOW, *[(10.0 * at, each) for at, each in enumerate(slow)]) == [(130, "fires")]
    quick = [{"waited": 10 * at, "wait_seconds": 0.5 * at} for at in range(30)]
    assert judged(SLOW, *[(10.0 * at, each) for at, each in enumerate(quick)]) == []


def test_a_single_caller_turned_away_fires_at_once_and_clears_two_minutes_after() -> None:
    counts = [0, 0, 1] + [1] * 30
    history = [(10.0 * at, {"saturated": each}) for at, each in enumerate(counts)]
    assert judged(EXHAUSTED, *history) == [(20, "fires"), (190, "clears")]


def test_a_pool_that_opens_connections_all_the_time_churns() -> None:
    history = [(10.0 * at, {"created": 60 * at}) for at in range(20)]
    assert judged(CHURNS, *history) == [(130, "fires")]


def test_only_what_nobody_planned_counts_as_a_fault() -> None:
    def closed(reason: str) -> list[tuple[float, dict[str, object]]]:
        return [(10.0 * at, {"closed": {reason: 5 * at}}) for at in range(20)]

    assert judged(FAULTS, *closed("error")) == [(70, "fires")]
    assert judged(FAULTS, *closed("idle")) == []


def test_a_pool_that_is_down_fires_soon_and_clears_when_it_is_up() -> None:
    states = ["ready", "down", "down", "down", "down", "ready", "ready", "ready"]
    history = [(10.0 * at, {"state": each}) for at, each in enumerate(states)]
    assert judged(DOWN, *history) == [(30, "fires"), (60, "clears")]


def test_a_server_that_is_down_fires_though_its_pool_is_well() -> None:
    """Ejected because it hangs: connecting to it has never failed."""
    history: list[State] = ["up", "suspect", "down", "down", "down", "up", "up", "up"]
    judge = Judge([DOWN, NODE_DOWN])
    changes = [
        (10 * at, alert.change, alert.rule.name)
        for at, state in enumerate(history)
        for alert in judge.judge(10.0 * at, {"p": stats()}, {"p": Condition(state, 3, 1)})
    ]
    assert changes == [(40, "fires", "CenoteNodeDown"), (60, "clears", "CenoteNodeDown")]


def test_a_server_that_can_not_be_connected_to_is_told_once() -> None:
    judge = Judge([DOWN, NODE_DOWN])
    for now in (0.0, 20.0):
        nodes = {"p": Condition("down", failures=0, ejections=0)}
        judge.judge(now, {"p": stats(state="down")}, nodes)
    assert [alert.rule.name for alert in judge.firing()] == ["CenoteNodeDown"]


def test_leaks_fire_at_once() -> None:
    history = [(10.0 * at, {"leaks": int(at > 2)}) for at in range(5)]
    assert judged(LEAKS, *history) == [(30, "fires")]


def test_a_counter_that_began_anew_is_no_rate() -> None:
    """As in a forked child: the pool there counts from nothing."""
    history = [(0.0, {"timeouts": 50}), (10.0, {"timeouts": 0}), (20.0, {"timeouts": 0})]
    assert judged(EXHAUSTED, *history) == []


def test_what_fires_for_a_pool_that_has_gone_clears() -> None:
    judge = Judge([DOWN])
    for now in (0.0, 20.0):
        judge.judge(now, {"p": stats(state="down")})
    assert [str(alert) for alert in judge.firing()] == [
        "pool 'p' is down: connecting keeps failing"
    ]
    (gone,) = judge.judge(30.0, {})
    assert str(gone) == "no longer: pool 'p' is down: connecting keeps failing"
    assert judge.firing() == []


def test_pools_are_judged_apart() -> None:
    judge = Judge([DOWN])
    for now in (0.0, 20.0):
        judge.judge(now, {"well": stats(), "ill": stats(state="down")})
    assert [alert.pool for alert in judge.firing()] == ["ill"]


def test_an_alert_says_how_much_in_the_unit_of_its_signal() -> None:
    says = {
        rule.name: str(Alert("fires", rule, "p", value, 0.0))
        for rule, value in zip(RULES, (0.9, 0.25, 2, 1250.0, 0.5, 1, 1, 0.02), strict=True)
    }
    assert says["CenotePoolBusy"] == "90% of the connections of pool 'p' are in use"
    assert says["CenotePoolSlow"] == "callers of pool 'p' wait 250 ms for a connection"
    assert says["CenotePoolChurns"] == "pool 'p' opens 1,250/s connections: it hardly pools"


def test_rules_of_ones_own_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(ConfigurationError, match="identifier"):
        replace(BUSY, name="two words")
    with pytest.raises(ConfigurationError, match="seconds >= 0"):
        replace(BUSY, hold=-1)
    with pytest.raises(ConfigurationError, match="same name"):
        Judge([BUSY, replace(BUSY, limit=0.5)])
    with pytest.raises(ConfigurationError, match="signal=3 of rule CenotePoolBusy is no Signal"):
        replace(BUSY, signal=3)  # type: ignore[arg-type]


def test_what_can_not_be_told_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tell=3 can not be called"):
        Alerts(tell=3)  # type: ignore[arg-type]


def test_whoever_is_told_may_raise_and_ask(
    pool: Pool[Thing], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Alert] = []
    now = [0.0]

    def tell(alert: Alert) -> None:
        told.extend(alerts.firing())
        raise RuntimeError("the pager is broken")

    alerts = Alerts(pool, tell=tell, rules=[EXHAUSTED], clock=lambda: now[0])
    alerts.check()
    with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
        pool.acquire()
    now[0] = 1.0
    with caplog.at_level(logging.ERROR, "cenote.telemetry"):
        (change,) = alerts.check()
    assert (change.change, change.pool, change.value) == ("fires", "things", 1.0)
    assert told == alerts.firing()
    assert "who was told of an alert raised" in caplog.text


def test_alerts_are_checked_by_themselves(pool: Pool[Thing]) -> None:
    told = threading.Event()
    own = Rule("Anything", signals.UTILISATION, -1.0, 0, 0, "warning", "{pool} {value}", "")
    with Alerts(pool, tell=lambda _alert: told.set(), rules=[own]).every(0.001):
        assert told.wait(10)
