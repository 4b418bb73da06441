"""Write what Prometheus and Grafana are given, alert rules and a dashboard, from one set of data.

python tools/monitoring.py            write both files
python tools/monitoring.py --check    write nothing; name what is not fresh and exit 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cenote.telemetry import dashboard, rule_file

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "monitoring"


def files() -> dict[Path, str]:
    """Return what is to be written where."""
    return {
        FOLDER / "cenote.rules.yml": rule_file.render(),
        FOLDER / "cenote.dashboard.json": dashboard.render(),
    }


def main() -> None:
    """Write or check the files."""
    parser = argparse.ArgumentParser(description="Write alert rules and dashboard.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if not fresh")
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in files().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path, text in stale:
        print(f"{'not fresh' if check else 'wrote'}: {path.name}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
