"""What clients of a busy machine are to be given: time, where time is not what is tested."""

from __future__ import annotations

from typing import Any

PATIENCE: dict[str, Any] = {"timeout": 30.0, "connect_timeout": 10.0}
"""Options of a client that gives up much later than by default, in seconds."""
