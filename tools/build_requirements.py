"""Print what pyproject.toml says is needed to build, one requirement a line."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"

print(*tomllib.loads(PROJECT.read_text("utf-8"))["build-system"]["requires"], sep="\n")
