"""Where ``cenote`` and ``python -m cenote`` begin.

Strategy: the command needs click and rich, an extra of the package. Where they are missing one line
says so, instead of a traceback.
"""

from __future__ import annotations

import sys

EXTRA = ("click", "rich")


def main() -> None:
    """Run the command line; exit with status 2 if what it needs is not installed."""
    try:
        from cenote.cli.commands import cli  # noqa: PLC0415 - only now may it turn out to be missing
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        print(f"cenote: {package} is not installed: pip install 'cenote[cli]'", file=sys.stderr)
        sys.exit(2)
    cli()
