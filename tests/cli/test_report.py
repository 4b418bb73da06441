"""What comes out of a session: figures, a row of a table, JSON."""

from __future__ import annotations

import json

import pytest

from cenote.cli.demo.report import COLUMNS, as_json, cells, report
from cenote.cli.demo.session import SessionResult
from tests.cli.results import SETTING, phase, sample, tally


def test_rates_are_compared_with_the_first_phase() -> None:
    first, second = sample().figures
    assert (first.rate, second.rate) == (50.0, 500.0)
    assert (first.gain, second.gain) == (1.0, 10.0)


def test_the_hit_ratio_is_the_share_of_lookups_the_cache_answered() -> None:
    assert [phase.hit_ratio for phase in sample().figures] == [0.98, 0.98]


def test_waits_are_those_of_the_pool_and_blank_without_one() -> None:
    first, second = sample().figures
    assert (first.waits, second.waits) == (None, 3)
    assert cells(first)[-1] == "-"


def test_latencies_are_those_of_the_tally() -> None:
    (figures, _) = sample().figures
    assert figures.p50 == pytest.approx(0.001, rel=1 / 16)
    assert figures.p99 == pytest.approx(0.001, rel=1 / 16)


def test_a_row_has_a_cell_for_every_column() -> None:
    assert len(cells(sample().figures[0])) == len(COLUMNS)


def test_a_phase_that_found_nobody_divides_by_nothing() -> None:
    made = report(SETTING, "1.6.18", 0.1, SessionResult((phase("x", tally(0)),), interrupted=True))
    assert cells(made.figures[0])[:3] == ("x", "0", "0.0x")


def test_a_session_without_a_phase_has_an_empty_report() -> None:
    made = report(SETTING, "1.6.18", 0.1, SessionResult((), interrupted=True))
    assert (made.figures, made.lookups, made.mismatches) == ((), 0, 0)


def test_the_report_survives_json() -> None:
    read = json.loads(json.dumps(as_json(sample())))
    assert [one["name"] for one in read["phases"]] == [
        "a connection a request",
        "one pooled client",
    ]
    assert read["pools"]["one pooled client"]["waited"] == 3
    assert read["pools"]["one pooled client"]["closed"] == {"idle": 2, "error": 0}
    assert (read["workers"], read["interrupted"], read["mismatches"]) == (16, False, 0)


def test_mismatches_of_all_phases_are_counted() -> None:
    assert sample(mismatches=2).mismatches == 2
