"""The report of a run: goals, tables, what was absent and what failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.environment import environment


@pytest.fixture
def run() -> dict:
    return {
        "environment": environment(),
        "quick": True,
        "absent": {"emcache": "emcache"},
        "groups": {
            "fairness": {
                "8 workers": {
                    "cenote": [
                        {"rate": 5000.0, "longest_ms": 4.0},
                        {"rate": 7000.0, "longest_ms": 6.0},
                    ],
                    "queue.LifoQueue": [{"rate": 5000.0, "longest_ms": 600.0}] * 2,
                    "broken": [{"error": "OSError: gone"}] * 2,
                }
            }
        },
    }


def test_a_goal_has_a_row_with_its_median_range_and_verdict(run: dict) -> None:
    text = report.markdown(run)
    assert (
        "| throughput, 8 workers on 4 | queue.LifoQueue | at least 1.00 x | **1.20 x** "
        "| 1.00 x to 1.40 x | reached |"
    ) in text
    assert "at most 10.0 ms | **5.0 ms** | 4.0 ms to 6.0 ms | reached |" in text


def test_a_contender_has_a_row_with_its_medians(run: dict) -> None:
    assert "| cenote | 6,000 | 5.00 |" in report.markdown(run)


def test_what_failed_and_what_is_absent_is_said(run: dict) -> None:
    text = report.markdown(run)
    assert "| broken | failed | failed |" in text
    assert "broken, 8 workers: OSError: gone" in text
    assert "absent: emcache is not installed (`pip install emcache`)" in text


def test_the_machine_the_date_and_the_versions_are_named(run: dict) -> None:
    text = report.markdown(run)
    where = run["environment"]
    assert where["date"] in text
    assert where["cpu"] in text
    assert f"memcached {where['memcached']}" in text
    assert "cenote 0." in text


def test_both_files_are_written(run: dict, tmp_path: Path) -> None:
    report.write(run, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == run
    assert (tmp_path / "RESULTS.md").read_text("utf-8") == report.markdown(run)
