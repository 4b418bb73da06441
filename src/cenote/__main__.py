"""``python -m cenote`` is the ``cenote`` command."""

from __future__ import annotations

from cenote.cli.main import main

if __name__ == "__main__":
    main()
