"""The tables, for the terminal and ``RESULTS.md``; every round's figures in ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench.goals import Verdict, judge
from bench.runner import Figures, Results
from bench.workloads import Group, group_named

HERE = Path(__file__).resolve().parent
Run = dict[str, Any]  # what results.json holds

EXTRA = {"longest_ms": "longest, ms", "times_alone": "times its p99 alone"}


def write(run: Run, folder: Path = HERE) -> None:
    """Write ``results.json`` and ``RESULTS.md``."""
    (folder / "results.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    (folder / "RESULTS.md").write_text(markdown(run), "utf-8")


def markdown(run: Run) -> str:
    """Return the report of a run; ``run`` is what ``results.json`` holds."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    where = run["environment"]
    yield "# cenote beside its peers"
    yield ""
    yield (
        f"Measured on {where['date']}: {where['cpu']}, {where['cores']} cores, "
        f"Python {where['python']}, memcached {where['memcached']}. Written by "
        "`python -m bench`."
    )
    yield ""
    yield (
        "Absolute figures drift with the machine and the hour; what holds is the ratios, each the "
        "median over the rounds of the ratio within a round. Waits are the longest of a round: "
        "the machine's own stalls hit everybody, now and then."
    )
    yield ""
    yield from _goal_table(run)
    for name, results in run["groups"].items():
        yield from _group_table(group_named(name), results)
    yield from _notes(run)


def verdicts(run: Run) -> list[Verdict]:
    """Return what came out for every goal that was measured."""
    return [verdict for name, results in run["groups"].items() for verdict in judge(name, results)]


def _goal_table(run: Run) -> Iterator[str]:
    yield "## Goals"
    yield ""
    yield "| work | against | goal | measured | middle half of the rounds | |"
    yield "|---|---|---|---|---|---|"
    for verdict in verdicts(run):
        yield _goal_row(verdict)
    yield ""


def _goal_row(verdict: Verdict) -> str:
    goal = verdict.goal
    bound = "at most" if goal.at_most else "at least"
    return (
        f"| {goal.work} | {verdict.peer} | {bound} {_amount(goal.limit, goal.unit)} "
        f"| **{_amount(verdict.measured, goal.unit)}** "
        f"| {_amount(verdict.lowest, goal.unit)} to {_amount(verdict.highest, goal.unit)} "
        f"| {'reached' if verdict.reached else 'not reached'} |"
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} x" if unit == "x" else f"{value:,.{1 if unit == 'ms' else 0}f} {unit}"


def _group_table(group: Group, results: Results) -> Iterator[str]:
    extra = [name for name in EXTRA if _has(results, name)]
    heads = [
        head for column in group.columns for head in (column, *(EXTRA[name] for name in extra))
    ]
    yield f"## {group.title}"
    yield ""
    yield f"| | {' | '.join(heads)} |"
    yield "|---" + "|---:" * len(heads) + "|"
    for name in results[group.columns[0]]:
        cells = [
            cell
            for column in group.columns
            for cell in _cells(results[column][name], (group.figure, *extra))
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _has(results: Results, figure: str) -> bool:
    return any(
        figure in one for column in results.values() for rounds in column.values() for one in rounds
    )


def _cells(rounds: list[Figures], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if any("error" in one for one in rounds):
            yield "failed"
        elif measured := [one[name] for one in rounds if name in one]:
            figure = median(measured)
            yield f"{figure:,.{0 if figure >= 10 else 2}f}"
        else:
            yield "-"


def _notes(run: Run) -> Iterator[str]:
    yield "## Notes"
    yield ""
    for module, distribution in run["absent"].items():
        yield f"- absent: {module} is not installed (`pip install {distribution}`)"
    for group, results in run["groups"].items():
        for error in sorted(set(_errors(results))):
            yield f"- {group}: {error}"
    versions = run["environment"]["versions"]
    yield f"- versions: {', '.join(f'{name} {found}' for name, found in versions.items() if found)}"


def _errors(results: Results) -> Iterator[str]:
    for column, contenders in results.items():
        for name, rounds in contenders.items():
            for one in rounds:
                if "error" in one:
                    yield f"{name}, {column}: {one['error']}"
