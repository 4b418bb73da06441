"""A pool's statistics made by hand: every counter 0 but those that are given."""

from __future__ import annotations

from dataclasses import fields

from cenote.pool import PoolStats


def stats(**given: object) -> PoolStats:
    values: dict[str, object] = {field.name: 0 for field in fields(PoolStats)}
    values |= {"name": "pool", "state": "ready", "max_size": 8, "closed": {"idle": 2, "error": 0}}
    values |= {"wait_times": None, "use_times": None, "create_times": None}
    return PoolStats(**(values | given))  # type: ignore[arg-type] # by name, from its own fields
