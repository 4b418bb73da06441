"""From a key to the number of the server that has it (pure twin of ``_placing.pyx``).

Strategy: a *placer* is made once for a set of servers and asked for every key, so all that depends
on the servers alone (the points of a ring, the seeds of their names) is worked out before, by
``rings``, ``rendezvous`` and ``modula``. What is here depends on the key. Every number is an
integer of a stated width: placement is the same on every platform and in every process.

Keys are bytes as they go on the wire. ``place`` leaves ``skip`` bytes in front out: the peers that
have a prefix of their own do not hash it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final

from cenote.cluster.close_call import CLOSE, heavier
from cenote.cluster.hashes import (
    KEY_HASHES,
    emcache_score,
    fmix64,
    low_bytes,
    murmur32_begun,
    murmur32_on,
    murmur64,
    one_at_a_time,
)

if TYPE_CHECKING:
    from cenote.protocol import Request

__all__ = [
    "Crossing",
    "Custom",
    "EmcacheRendezvous",
    "Modula",
    "Placer",
    "PymemcacheRendezvous",
    "Rendezvous",
    "Ring",
    "Routes",
    "WideRing",
    "one_at_a_time",
]

IMPLEMENTATION: Final = "native"


class Placer:
    """Says which of several servers has a key: their number, in the order they were named.

    Args:
        count: How many servers there are.

    Attributes:
        count: How many servers there are.
        skip: How many bytes in front of a key do not count.
    """

    __slots__ = ("count", "skip")

    def __init__(self, count: int) -> None:
        self.count = count
        self.skip = 0

    def place(self, key: bytes) -> int:
        """Return the number of the server that has ``key``."""
        return self._locate(key[self.skip :] if self.skip else key)

    def spread(self, keys: Sequence[bytes]) -> list[list[int]]:
        """Return, for every server, the positions in ``keys`` of those that it has."""
        positions: list[list[int]] = [[] for _ in range(self.count)]
        for position, key in enumerate(keys):
            positions[self.place(key)].append(position)
        return positions

    def _locate(self, text: bytes) -> int:
        raise NotImplementedError


class Modula(Placer):
    """The hash modulo the number of buckets.

    Args:
        count: How many servers there are.
        hash_name: One of ``KEY_HASHES``.
        owners: The server of each bucket.
    """

    __slots__ = ("_hash", "_owners")

    def __init__(self, count: int, hash_name: str, owners: Sequence[int]) -> None:
        super().__init__(count)
        self._hash = KEY_HASHES[hash_name]
        self._owners = list(owners)

    def _locate(self, text: bytes) -> int:
        return self._owners[self._hash(text) % len(self._owners)]


class Ring(Placer):
    """Points on a circle of 32 bits, each of a server.

    Args:
        count: How many servers there are.
        hash_name: One of ``KEY_HASHES``.
        points: The points, ascending.
        owners: The server of each.
        before: Whether a key belongs to the last point that is not beyond it, instead of to the
            first that is not before it.
    """

    __slots__ = ("_before", "_hash", "_owners", "_points")

    def __init__(
        self,
        count: int,
        hash_name: str,
        points: Sequence[int],
        owners: Sequence[int],
        *,
        before: bool = False,
    ) -> None:
        super().__init__(count)
        self._hash = KEY_HASHES[hash_name]
        self._points = list(points)
        self._owners = list(owners)
        self._before = before

    def _locate(self, text: bytes) -> int:
        number = self._hash(text)
        if self._before:
            return self._owners[bisect_right(self._points, number) - 1]
        found = bisect_left(self._points, number)
        return self._owners[found if found < len(self._points) else 0]


class WideRing(Placer):
    """Points on a circle of 128 bits, where a key is its MD5 and belongs to the first beyond it.

    Args:
        count: How many servers there are.
        points: The points, ascending.
        owners: The server of each.
    """

    __slots__ = ("_owners", "_points")

    def __init__(self, count: int, points: Sequence[int], owners: Sequence[int]) -> None:
        super().__init__(count)
        self._points = list(points)
        self._owners = list(owners)

    def _locate(self, text: bytes) -> int:
        number = int.from_bytes(md5(text, usedforsecurity=False).digest(), "big")
        found = bisect_right(self._points, number)
        return self._owners[found if found < len(self._points) else 0]


class Rendezvous(Placer):
    """Highest random weight: each server draws a number for the key, and the best one has it.

    The numbers are the finaliser of MurmurHash3 over the key's hash and the server's, so they cost
    one hash a key and two multiplications a server.

    Args:
        names: What tells the servers apart; placement depends on nothing else.
        weights: Their shares of the keys; equal when left out.
    """

    __slots__ = ("_drawing", "_weights")

    def __init__(self, names: Sequence[bytes], weights: Sequence[float] | None = None) -> None:
        super().__init__(len(names))
        by_name = sorted(range(len(names)), key=lambda number: names[number])
        self._drawing = [(murmur64(names[number]), number) for number in by_name]
        self._weights = None if weights is None else [float(weights[n]) for n in by_name]

    def _locate(self, text: bytes) -> int:
        hashed = murmur64(text)
        draws = [fmix64(hashed ^ seed) for seed, _ in self._drawing]
        best = _highest(draws) if self._weights is None else _heaviest(draws, self._weights)
        return self._drawing[best][1]


def _highest(draws: Sequence[int]) -> int:
    highest = max(draws)
    return max(index for index, draw in enumerate(draws) if draw == highest)


def _heaviest(draws: Sequence[int], weights: Sequence[float]) -> int:
    """The index of the highest ``-weight / ln(draw)``, the draw being scaled to between 0 and 1.

    Logarithms differ in their last bit from one platform to the next, so close calls are left to
    exact arithmetic.
    """
    best, best_score = 0, 0.0
    for index, (draw, weight) in enumerate(zip(draws, weights, strict=True)):
        score = weight / -math.log(((draw >> 12) + 0.5) * 2.0**-52)
        if index and score <= best_score * (1 + CLOSE):
            clear = score < best_score * (1 - CLOSE)
            if clear or heavier(weights[best], draws[best], weight, draw):
                continue
        best, best_score = index, score
    return best


class PymemcacheRendezvous(Placer):
    """pymemcache's rendezvous: MurmurHash3 of ``name-key``, the highest wins, then the later name.

    Args:
        names: The servers' names, ``host:port`` or a path.
    """

    __slots__ = ("_starts",)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(len(names))
        self._starts: list[tuple[int, bytes, int, int]] = []
        for number in sorted(range(len(names)), key=lambda number: names[number]):
            start = low_bytes(f"{names[number]}-".encode())
            tail = start[len(start) & ~3 :]
            self._starts.append((murmur32_begun(start), tail, len(start), number))

    def _locate(self, text: bytes) -> int:
        text = low_bytes(text)
        draws = [
            murmur32_on(begun, tail + text, size + len(text))
            for begun, tail, size, _ in self._starts
        ]
        return self._starts[_highest(draws)][-1]


class EmcacheRendezvous(Placer):
    """emcache's rendezvous, its bug included: see ``emcache_score``.

    Args:
        names: The servers' hosts and ports as one word, or their paths.
    """

    __slots__ = ("_names", "_ranks")

    def __init__(self, names: Sequence[bytes]) -> None:
        super().__init__(len(names))
        self._names = list(names)
        self._ranks = [emcache_score(name) for name in names]

    def _locate(self, text: bytes) -> int:
        draws = [
            (emcache_score(text + name), rank)
            for name, rank in zip(self._names, self._ranks, strict=True)
        ]
        return draws.index(max(draws))


class Custom(Placer):
    """A router of the user's.

    Args:
        choose: Given a key, returns the number of a server.
        count: How many servers there are.
        refusal: Makes the error for a number that is none of a server, or none at all.
    """

    __slots__ = ("_choose", "_refusal")

    def __init__(
        self,
        choose: Callable[[bytes], object],
        count: int,
        refusal: Callable[[bytes, object], Exception],
    ) -> None:
        super().__init__(count)
        self._choose = choose
        self._refusal = refusal

    def _locate(self, text: bytes) -> int:
        number = self._choose(text)
        if type(number) is not int or not 0 <= number < self.count:
            raise self._refusal(text, number)
        return number


class Routes:
    """How every server of one topology is asked, and which of them has a key; never changed.

    Args:
        placer: Which server has a key; None: there is only one.
        requests: How each server is asked.

    Attributes:
        placer: Which server has a key.
        requests: How each server is asked.
    """

    __slots__ = ("placer", "requests")

    def __init__(
        self, placer: Placer | None, requests: Sequence[Callable[[Request, float], Any]]
    ) -> None:
        self.placer = placer
        self.requests = tuple(requests)


class Crossing:
    """Hands each request on to the server that has its key.

    Attributes:
        routes: The servers as they are now. Whoever replaces them keeps the old ones alive for as
            long as somebody may be reading them.
    """

    __slots__ = ("routes",)

    def __init__(self, routes: Routes) -> None:
        self.routes = routes

    def request(self, request: Request, deadline: float) -> Any:
        """Send a request about one key to the server that has it; what that returns."""
        routes = self.routes
        if routes.placer is None:
            return routes.requests[0](request, deadline)
        if request.key is None:
            raise TypeError(f"{request!r} is not about one key")
        return routes.requests[routes.placer.place(request.key)](request, deadline)
