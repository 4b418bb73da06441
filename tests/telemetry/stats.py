"""Snapshots made by hand, for tests of what is reckoned from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cenote import Pool, PoolStats
from tests.telemetry.conftest import Thing

_PLAIN = Pool(Thing, name="p", max_size=10).stats()


def stats(**fields: Any) -> PoolStats:
    """Return a pool's figures: nothing has happened but what is given."""
    return replace(_PLAIN, state=fields.pop("state", "ready"), **fields)
