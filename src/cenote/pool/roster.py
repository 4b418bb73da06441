"""Every connection that holds a slot, and the totals of those that are gone.

Strategy: a leased entry is referenced by its lease alone (that is how a lost lease is found out),
so the roster keeps weak references. Totals are sums over entries: ``uses`` and ``times`` of the
living plus what the departed left behind, so that leasing itself writes nothing that is shared and
needs no lock. A sum taken while leases end may lag behind by those in flight.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

from cenote.pool.fast import LEASED
from cenote.pool.fast_path import Entry
from cenote.pool.stats import NOTHING, REASONS, Distribution, Reason

T = TypeVar("T")


class Roster(Generic[T]):
    """The living entries by serial number, and sums over the departed.

    Attributes:
        living: Weak references to them.
        closing: Serials of entries whose close has not returned; they are still in the roster.
        created, detached, lost: Totals; ``lost`` counts lost leases.
        closed: Departures by reason.
    """

    __slots__ = (
        "_departed_held",
        "_departed_squares",
        "_departed_times",
        "_departed_uses",
        "_serials",
        "closed",
        "closing",
        "created",
        "detached",
        "living",
        "lost",
    )

    def __init__(self) -> None:
        self.living: dict[int, weakref.ref[Entry[T]]] = {}
        self._serials = count(1)
        self._departed_uses = 0
        self._departed_times = NOTHING
        self._departed_held = 0.0
        self._departed_squares = 0.0
        self.closing: set[int] = set()
        self.created = 0
        self.detached = 0
        self.lost = 0
        self.closed: dict[Reason, int] = dict.fromkeys(REASONS, 0)

    def __len__(self) -> int:
        return len(self.living)

    def __iter__(self) -> Iterator[Entry[T]]:
        for ref in list(self.living.values()):
            entry = ref()
            if entry is not None:
                yield entry

    @property
    def active(self) -> int:
        """Entries that are not on their way out."""
        return len(self.living) - len(self.closing)

    def next_serial(self) -> int:
        """Number the next entry."""
        return next(self._serials)

    def get(self, serial: int) -> Entry[T] | None:
        """Return a living entry, if it is one."""
        ref = self.living.get(serial)
        return None if ref is None else ref()

    def add(self, entry: Entry[T]) -> None:
        """Enter a new connection."""
        self.living[entry.serial] = weakref.ref(entry)
        self.created += 1

    def revive(self, entry: Entry[T]) -> None:
        """Keep an entry that its finalizer saved: the collector clears weak references first."""
        if entry.serial in self.living:
            self.living[entry.serial] = weakref.ref(entry)

    def depart(self, entry: Entry[T], reason: Reason | None) -> None:
        """Strike an entry; ``None``: it was detached."""
        self.closing.discard(entry.serial)
        if self.living.pop(entry.serial, None) is None:
            return
        self._departed_uses += entry.uses
        self._departed_times += _times(entry)
        self._departed_held += entry.held
        self._departed_squares += entry.held_squared
        if reason is None:
            self.detached += 1
        else:
            self.closed[reason] += 1

    def acquired(self) -> tuple[int, int]:
        """Return leases ever granted, and those out now."""
        total, out = self._departed_uses, 0
        for entry in self:
            total += entry.uses
            out += entry.state == LEASED
        return total, out

    def held(self) -> tuple[float, float]:
        """Return the seconds that leases were held which have ended, and the sum of the squares."""
        total, squares = self._departed_held, self._departed_squares
        for entry in self:
            total += entry.held
            squares += entry.held_squared
        return total, squares

    def use_times(self) -> Distribution:
        """Return how long leases were held that ended without the core."""
        return sum((_times(entry) for entry in self), self._departed_times)

    def leased(self) -> list[Entry[T]]:
        """Return the entries out on lease, longest held first."""
        out = [entry for entry in self if entry.state == LEASED]
        return sorted(out, key=lambda entry: entry.leased_at)

    def in_state(self, state: int) -> int:
        """Count the living entries in a state."""
        return sum(entry.state == state for entry in self)


def _times(entry: Entry[T]) -> Distribution:
    return NOTHING if entry.times is None else Distribution(*entry.times.counted())
