"""One connection, one thread: sets and gets of 100 bytes, gets of 4 KB, 100 keys at a time."""

from __future__ import annotations

import os

from bench.adapters.verbs import Place, Verbs
from bench.workloads.slices import repeat_for

KEYS = 100


def prepare(factory, place: Place):
    work = Single(factory(place), f"bench:{os.getpid()}:")
    return work.run


class Single:
    def __init__(self, verbs: Verbs, prefix: str) -> None:
        self.verbs = verbs
        self.small = {f"{prefix}s{n:04d}": b"%04d" % n + b"x" * 96 for n in range(KEYS)}
        self.large = {f"{prefix}l{n:04d}": b"%04d" % n + b"y" * 4092 for n in range(KEYS)}
        for items in (self.small, self.large):
            for key, value in items.items():
                verbs.set(key, value)
                assert verbs.get(key) == value, f"{key} came back wrong"

    def run(self, column: str, seconds: float) -> dict[str, float]:
        steps = {
            "set": self._sets,
            "get": lambda: self._gets(self.small),
            "get 4 KB": lambda: self._gets(self.large),
            "get_multi 100": self._get_many,
            "set_multi 100": self._set_many,
        }
        count, took = repeat_for(seconds, steps[column]())
        return {"rate": count * KEYS / took}

    def _sets(self):
        set_, items = self.verbs.set, list(self.small.items())

        def step() -> None:
            for key, value in items:
                set_(key, value)

        return step

    def _gets(self, items: dict[str, bytes]):
        get, keys = self.verbs.get, list(items)

        def step() -> None:
            for key in keys:
                get(key)

        return step

    def _get_many(self):
        get_many, keys = self.verbs.get_many, list(self.small)
        found = get_many(keys)
        assert found is None or sorted(found.values()) == sorted(self.small.values())
        return lambda: get_many(keys)

    def _set_many(self):
        set_many, items = self.verbs.set_many, self.small
        return lambda: set_many(items)
