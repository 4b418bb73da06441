"""Which of a host's addresses to try, and when: RFC 8305 ("happy eyeballs") without any I/O.

Strategy: a host may have several addresses and the first may be dead (``localhost`` gives ``::1``
first, servers often listen on IPv4 only). Addresses are tried alternating between families; the
next attempt starts as soon as the previous one fails, or ``STAGGER`` seconds after it began without
waiting for it to fail. The first attempt to connect wins and the driver closes the rest. Everything
lies within one absolute deadline: silent addresses delay the winner, they never use up its time.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Hashable, Iterable
from itertools import chain, zip_longest
from typing import Generic, TypeVar

STAGGER = 0.25
"""Seconds before the next address is tried beside one that does not answer (RFC 8305, 5)."""

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def alternate(candidates: Iterable[tuple[H, T]]) -> list[T]:
    """Order ``(family, address)`` pairs so that families alternate, each in the order given."""
    families: dict[H, list[T]] = {}
    for family, address in candidates:
        families.setdefault(family, []).append(address)
    absent = object()
    rounds = chain.from_iterable(zip_longest(*families.values(), fillvalue=absent))
    return [address for address in rounds if address is not absent]  # type: ignore[misc]


class Race(Generic[T]):
    """The order of attempts for one connect; the driver reports what became of them."""

    __slots__ = ("_due", "_failures", "_running", "_untried")

    def __init__(self, addresses: Iterable[T]) -> None:
        self._untried = deque(addresses)
        self._running = 0
        self._due = -math.inf
        self._failures: list[tuple[T, OSError]] = []

    def due(self, now: float) -> float:
        """The seconds from ``now`` until the next attempt should start (inf: there is none)."""
        return max(0.0, self._due - now) if self._untried else math.inf

    def start(self, now: float) -> T:
        """Take the address whose turn it is; the one after it falls due ``STAGGER`` later."""
        self._running += 1
        self._due = now + STAGGER
        return self._untried.popleft()

    def failed(self, address: T, error: OSError) -> None:
        """Record that an attempt failed: the next one is due at once."""
        self._running -= 1
        self._due = -math.inf
        self._failures.append((address, error))

    @property
    def lost(self) -> bool:
        """Whether every address has been tried and has failed."""
        return not self._untried and not self._running

    @property
    def last_error(self) -> OSError:
        """Why the latest attempt failed."""
        return self._failures[-1][1] if self._failures else OSError("no address to try")

    def __str__(self) -> str:
        tried = [
            f"{address}: {os.strerror(error.errno) if error.errno else error}"
            for address, error in self._failures
        ]
        unanswered = [f"{self._running} unanswered"] if self._running else []
        return "; ".join(tried + unanswered) or "no address tried"
