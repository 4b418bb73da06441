"""Who waits for a connection, in order of arrival.

Strategy: a ticket is one caller's place. It is queued once; when its caller comes back for more (a
check failed), it takes its old place again, so that no younger waiter overtakes it. Removal from
anywhere is O(1).

A ticket is settled exactly once: GRANTED, FAILED or CANCELLED. Whoever finds it settled already has
lost the race and must pass on what it holds.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count, takewhile
from typing import Generic, TypeVar

from cenote.pool.fast import NEVER
from cenote.pool.fast_path import Entry

T = TypeVar("T")

NEW = 0
QUEUED = 1
GRANTED = 2
FAILED = 3
CANCELLED = 4


class Ticket(Generic[T]):
    """One caller that wants a connection; drivers subclass it with a ``wake`` of their own.

    Attributes:
        state: NEW, QUEUED, GRANTED, FAILED or CANCELLED.
        entry: What was granted.
        error: Why it failed.
        since: When its caller came.
        holder: Who its caller is, as the stack's ``who`` names it.
        serial: Its place in the order of arrival; 0 before it was numbered.
        nudged: An idle connection is there for the taking: come and ask again.
        again: When to ask again unasked: it is the watcher of a lull; inf: when woken.
    """

    __slots__ = ("again", "entry", "error", "holder", "nudged", "serial", "since", "state")

    def __init__(self, now: float, holder: object = None) -> None:
        self.state = NEW
        self.entry: Entry[T] | None = None
        self.error: Exception | None = None
        self.since = now
        self.holder = holder
        self.serial = 0
        self.nudged = False
        self.again = NEVER

    def wake(self) -> None:
        """Rouse the caller; may come more than once, must not block."""


class WaitQueue(Generic[T]):
    """Queued tickets, oldest first."""

    __slots__ = ("_serials", "_tickets")

    def __init__(self) -> None:
        self._tickets: OrderedDict[int, Ticket[T]] = OrderedDict()
        self._serials = count(1)

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def head(self) -> Ticket[T] | None:
        """The oldest ticket."""
        for ticket in self._tickets.values():
            return ticket
        return None

    def number(self, ticket: Ticket[T]) -> None:
        """Fix a ticket's place in the order of arrival."""
        ticket.serial = next(self._serials)

    def add(self, ticket: Ticket[T]) -> None:
        """Queue a numbered ticket where its number belongs."""
        ticket.state = QUEUED
        ticket.nudged = False
        youngest = next(reversed(self._tickets), 0)
        self._tickets[ticket.serial] = ticket
        if ticket.serial < youngest:
            self._move_forward(ticket.serial)

    def remove(self, ticket: Ticket[T]) -> bool:
        """Forget a ticket; False: it was not here."""
        return self._tickets.pop(ticket.serial, None) is not None

    def _move_forward(self, serial: int) -> None:
        ahead = list(takewhile(lambda other: other < serial, self._tickets))
        for other in [serial, *reversed(ahead)]:
            self._tickets.move_to_end(other, last=False)
