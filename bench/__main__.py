"""``python -m bench``: measure cenote beside its peers, print the ratios, write them down.

python -m bench                          everything, some ten minutes
python -m bench --quick                  everything, shortly: to see that it runs
python -m bench --only single --only checkout --rounds 9
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import report
from bench.adapters import absent
from bench.environment import environment
from bench.runner import run_group
from bench.workloads import GROUPS

QUICK = 0.15


def main() -> None:
    options = _options()
    wanted = [group for group in GROUPS if not options.only or group.name in options.only]
    run = {
        "environment": environment(),
        "quick": options.quick,
        "absent": absent(),
        "groups": {},
    }
    for module, distribution in run["absent"].items():
        _say(f"absent: {module} is not installed (pip install {distribution})")
    for group in wanted:
        rounds = min(group.rounds, 2) if options.quick else options.rounds or group.rounds
        scale = QUICK if options.quick else 1.0
        run["groups"][group.name] = run_group(group, rounds, scale, _say)
    print(report.markdown(run))
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        report.write(run, options.output)
        _say(f"written: {options.output}/results.json and RESULTS.md")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="cenote beside its peers")
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", action="append", choices=names, help="a group; repeat for more")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of every group")
    parser.add_argument("--quick", action="store_true", help="2 short rounds, to see that it runs")
    parser.add_argument("--output", type=Path, help="folder for results.json and RESULTS.md")
    options = parser.parse_args()
    if options.output is None and not (options.quick or options.only):
        options.output = report.HERE  # only a full run replaces what the README quotes
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
