"""What clients of a busy machine are to be given: time, where time is not what is tested."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

LONG = 60.0
"""Seconds after which what has not come about never will."""

PATIENCE: dict[str, Any] = {"timeout": 30.0, "connect_timeout": 10.0}
"""Options of a client that gives up much later than by default, in seconds."""


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or process does."""
    deadline = monotonic() + LONG
    while not condition():
        assert monotonic() < deadline, "it never came about"
        sleep(0.002)
