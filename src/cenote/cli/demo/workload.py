"""Who is looked up, and what it costs to find them without the cache. Pure and deterministic.

A service looks users up by id. A few are asked for all the time, most hardly ever: the ids follow
Zipf's law over a catalogue that the cache holds from the start, as that of a running service does.
One lookup in ``NEWCOMER_EVERY`` is of a user nobody has asked for before: a miss, computed by the
origin and stored. So every way of connecting meets the same share of misses, however fast it is.

Each record carries its own key. A reply that belongs to another request can not go unnoticed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from hashlib import pbkdf2_hmac
from itertools import accumulate, cycle
from statistics import median
from time import perf_counter

CATALOGUE = 2_000
SKEW = 1.0
NEWCOMER_EVERY = 50
TTL = 120
"""Seconds the demo's items live: they clear themselves away, on a shared server too."""

_DRAWS = 4_096
_ORIGIN_ROUNDS = 1_000


class Workload:
    """The lookups of one phase, under keys of its own.

    Args:
        namespace: Put before every key; phases and runs never share one.
    """

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace}:user:"

    def key(self, user: int) -> str:
        """Return the key a user's record is stored under."""
        return f"{self._prefix}{user}"

    def lookups(self, worker: int) -> Iterator[int]:
        """Return the endless ids a worker looks up: the same for the same worker, every time."""
        newcomers = CATALOGUE + worker * 100_000_000
        for count, user in enumerate(cycle(_skewed_ids(worker)), start=1):
            if count % NEWCOMER_EVERY == 0:
                newcomers += 1
                yield newcomers
            else:
                yield user

    def catalogue(self) -> dict[str, bytes]:
        """Return the records that are in the cache from the start, by key."""
        return {self.key(user): self._record(user, "known") for user in range(CATALOGUE)}

    def compute(self, user: int) -> bytes:
        """Return a user's record as the origin does: some work, the same for the same user."""
        digest = pbkdf2_hmac("sha256", str(user).encode(), b"cenote", _ORIGIN_ROUNDS)
        return self._record(user, digest.hex())

    def belongs(self, user: int, data: bytes) -> bool:
        """Tell whether ``data`` is the record of ``user``, by the key it carries."""
        return data.startswith(f'{{"key": "{self.key(user)}"'.encode())

    def _record(self, user: int, about: str) -> bytes:
        record = {
            "key": self.key(user),
            "name": f"User {user}",
            "mail": f"user{user}@example.org",
            "about": about,
        }
        return json.dumps(record).encode()


def measured_origin(times: int = 20) -> float:
    """Return how long the origin takes for one user here and now, in seconds (the median)."""
    workload = Workload("cost")
    return median(_timed(workload, user) for user in range(times))


def _timed(workload: Workload, user: int) -> float:
    began = perf_counter()
    workload.compute(user)
    return perf_counter() - began


def _skewed_ids(seed: int) -> list[int]:
    """Draw ids by Zipf's law: the n-th most popular user has a weight of ``1 / n ** SKEW``."""
    weights = list(accumulate(1 / (rank + 1) ** SKEW for rank in range(CATALOGUE)))
    return random.Random(seed).choices(range(CATALOGUE), cum_weights=weights, k=_DRAWS)
