"""The rule file and the dashboard, and what a real Prometheus makes of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cenote.node.health import Condition
from cenote.telemetry import RULES, dashboard, rule_file
from cenote.telemetry.alerts import Judge, Rule
from cenote.telemetry.figures import FIGURES, NODE_FIGURES, TIMINGS, Figure
from tests.telemetry.stats import stats

ROOT = Path(__file__).resolve().parents[2]
TOLD: list[Figure[Any]] = [*FIGURES, *NODE_FIGURES]
SERIES = {figure.series for figure in TOLD} | {
    f"{timing.name}{part}" for timing in TIMINGS for part in ("_bucket", "_sum", "_count")
}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)"
)


def promtool(*arguments: str | Path) -> str:
    result = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def expressions() -> list[str]:
    """Every expression of the dashboard, with Grafana's variables filled in."""
    panels = json.loads(dashboard.render())["panels"]
    return [
        target["expr"].replace("$pool", ".*").replace("$__rate_interval", "1m")
        for panel in panels
        for target in panel.get("targets", ())
    ]


def test_the_written_files_are_fresh() -> None:
    command = [sys.executable, "tools/monitoring.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout}: run python tools/monitoring.py"


def test_the_rule_file_has_every_rule_with_its_limit_and_its_durations() -> None:
    (group,) = yaml.safe_load(rule_file.render())["groups"]
    for entry, rule in zip(group["rules"], RULES, strict=True):
        assert entry["alert"] == rule.name
        assert entry["expr"].endswith(f"> {rule.limit:g}")
        assert entry["for"] == f"{rule.hold:g}s"
        assert entry["keep_firing_for"] == f"{rule.keep:g}s"
        assert entry["labels"] == {"severity": rule.severity}


@pytest.mark.parametrize("expression", [*expressions(), *(r.signal.promql for r in RULES)])
def test_only_figures_that_exist_are_asked_for(expression: str) -> None:
    asked = set(re.findall(r"\bcenote_\w+", expression))
    assert asked
    assert asked <= SERIES


def test_the_dashboard_shows_the_four_golden_signals_without_overlaps() -> None:
    made = json.loads(dashboard.render())
    rows = [panel["title"] for panel in made["panels"] if panel["type"] == "row"]
    assert rows == ["Latency", "Traffic", "Errors", "Saturation"]
    ids = [panel["id"] for panel in made["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for panel in made["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_figure_is_on_the_dashboard_or_known_not_to_be() -> None:
    shown = set(re.findall(r"\bcenote_\w+", " ".join(expressions())))
    assert SERIES - shown == {
        "cenote_pool_min_connections",
        "cenote_pool_handoffs_total",
        *(f"{timing.name}{part}" for timing in TIMINGS for part in ("_sum", "_count")),
        "cenote_pool_connect_duration_seconds_bucket",
    }


def test_the_documents_tell_every_figure_and_every_rule() -> None:
    text = (ROOT / "docs/telemetry.md").read_text("utf-8")
    for figure in TOLD:
        labels = f"pool, {figure.label}" if figure.label else "pool"
        assert f"| `{figure.series}` | {labels} | {figure.about} |" in text
    for timing in TIMINGS:
        assert f"| `{timing.name}` | pool | {timing.about} A histogram. |" in text
    for rule in RULES:
        durations = f"{rule.hold:g} s | {rule.keep:g} s | {rule.severity} |"
        assert re.search(rf"`{rule.name}` \| {re.escape(rule.signal.about)} .*{durations}", text)


@needs_promtool
def test_promtool_accepts_the_rule_file(tmp_path: Path) -> None:
    path = tmp_path / "cenote.rules.yml"
    path.write_text(rule_file.render())
    assert f"{len(RULES)} rules found" in promtool("check", "rules", path)


# One history, judged by Prometheus and by Python: they must say the same, minute by minute.

MINUTES = 20
STEP = 15
COUNTS: dict[str, tuple[str, str]] = {
    "waited": ("cenote_pool_queued_total", ""),
    "wait_seconds": ("cenote_pool_queued_seconds_total", ""),
    "timeouts": ("cenote_pool_refusals_total", 'reason="timeout"'),
    "created": ("cenote_pool_connects_total", ""),
    "create_errors": ("cenote_pool_connect_errors_total", ""),
    "leaks": ("cenote_pool_leaks_total", ""),
    "lost": ("cenote_pool_lost_total", ""),
}


def history(rule: Rule) -> list[dict[str, Any]]:
    """Five minutes of peace, seven of trouble, peace: a snapshot every ``STEP`` seconds."""
    grows: dict[str, dict[str, float]] = {
        "CenotePoolSlow": {"waited": 10, "wait_seconds": 5.0},
        "CenotePoolExhausted": {"timeouts": 3},
        "CenotePoolChurns": {"created": 200},
        "CenotePoolFaults": {"create_errors": 30},
        "CenotePoolLeaks": {"leaks": 1},
    }
    told: list[dict[str, Any]] = []
    counts: dict[str, float] = dict.fromkeys(COUNTS, 0)
    for at in range(MINUTES * 60 // STEP + 1):
        trouble = 5 * 60 <= at * STEP < 12 * 60
        if trouble:
            counts = {
                name: count + grows.get(rule.name, {}).get(name, 0)
                for name, count in counts.items()
            }
        down = rule.name == "CenotePoolDown" and trouble
        used = 10 if rule.name == "CenotePoolBusy" and trouble else 1
        node = "down" if rule.name == "CenoteNodeDown" and trouble else "up"
        told.append({**counts, "used": used, "state": "down" if down else "ready", "node": node})
    return told


def by_python(rule: Rule) -> list[bool]:
    """Whether it fires, minute by minute."""
    judge, fires = Judge([rule]), []
    for at, fields in enumerate(history(rule)):
        node = Condition(fields.pop("node"), 0, 0)
        nodes = {"p": node} if rule.name == "CenoteNodeDown" else {}
        judge.judge(float(at * STEP), {"p": stats(**fields)}, nodes)
        if at * STEP % 60 == 0:
            fires.append(bool(judge.firing()))
    return fires


def series(rule: Rule) -> list[dict[str, str]]:
    told = history(rule)

    def line(name: str, labels: str, values: list[float]) -> dict[str, str]:
        labels = ",".join(part for part in ('pool="p"', labels) if part)
        return {"series": f"{name}{{{labels}}}", "values": " ".join(f"{v:g}" for v in values)}

    lines = [line(*COUNTS[name], [each[name] for each in told]) for name in COUNTS]
    closed = [0.0] * len(told)
    lines += [
        line("cenote_pool_closed_total", f'reason="{reason}"', closed)
        for reason in ("error", "check", "reset", "lost", "idle")
    ]
    lines.append(line("cenote_pool_connections", 'state="used"', [each["used"] for each in told]))
    lines.append(line("cenote_pool_max_connections", "", [10.0] * len(told)))
    up = [0.0 if each["state"] == "down" else 1.0 for each in told]
    lines.append(line("cenote_pool_up", "", up))
    if rule.name == "CenoteNodeDown":
        for state in ("up", "down"):
            values = [float(each["node"] == state) for each in told]
            lines.append(line("cenote_node_state", f'state="{state}"', values))
    return lines


@needs_promtool
def test_prometheus_and_python_judge_the_same_history_alike(tmp_path: Path) -> None:
    """They may differ by a minute at either end: rates begin and end a scrape apart."""
    rules = yaml.safe_load(rule_file.render())
    for entry in rules["groups"][0]["rules"]:
        del entry["annotations"]  # promtool would want their words, with the values in them
    (tmp_path / "cenote.rules.yml").write_text(json.dumps(rules))
    tests = []
    for rule in RULES:
        fires = by_python(rule)
        assert any(fires)
        assert not all(fires)
        steady = [
            minute
            for minute in range(1, MINUTES)
            if fires[minute - 1] == fires[minute] == fires[minute + 1]
        ]
        assert len({fires[minute] for minute in steady}) == 2, rule.name
        expected = [{"exp_labels": {"pool": "p", "severity": rule.severity}}]
        tests.append(
            {
                "interval": f"{STEP}s",
                "input_series": series(rule),
                "alert_rule_test": [
                    {
                        "eval_time": f"{minute}m",
                        "alertname": rule.name,
                        "exp_alerts": expected if fires[minute] else [],
                    }
                    for minute in steady
                ],
            }
        )
    written = {
        "rule_files": ["cenote.rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": tests,
    }
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps(written))
    promtool("test", "rules", path)
