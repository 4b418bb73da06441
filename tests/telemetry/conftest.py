"""Pools of nothing much, to be watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cenote import Pool


class Thing:
    """A resource that is open until it is closed."""

    def __init__(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


@pytest.fixture
def pool() -> Iterator[Pool[Thing]]:
    """Give a pool of at most two things, named ``things``, that keeps histograms."""
    with Pool(Thing, name="things", max_size=2, timeout=0, histograms=True) as made:
        yield made
