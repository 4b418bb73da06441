"""Slots that several pools share: who may open one more connection, and at whose expense.

Strategy: the pools (*members*) are decided upon under one lock, so nothing here is counted that
could not be counted anew: what is held is summed up over the members when somebody asks.

A member that wants a slot *claims* it. Claims that can not be met queue, one for each member and
served in turn: whoever got a slot and wants another goes to the back. Room is made at the expense
of the idle connection that was used longest ago, whosever it is. A member that is busy, and never
leaves anything idle, gives up a connection as it comes back once somebody who has none, or far
fewer, has waited for ``turn_after``: so no member starves.

While any claim queues, every release in every member settles (``alert``), so a connection that
comes to lie idle is seen. That is posted *before* the idle ones are looked at: see ``fast.py``.

Whoever is to be looked after next, since a slot became free for it or a connection of it was given
up, is *stirred*: the driver that holds the lock has each one's driver settle and act.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from cenote.pool.actions import Connect
from cenote.pool.fast import ALWAYS
from cenote.pool.fast_path import Entry, IdleStack
from cenote.pool.roster import Roster
from cenote.pool.stats import Reason
from cenote.pool.waiters import WaitQueue


class Member(Protocol):
    """What the budget sees of a pool's core."""

    key: Any
    stack: IdleStack[Any]
    roster: Roster[Any]
    waiters: WaitQueue[Any]
    connects: set[Connect]

    @property
    def size(self) -> int:
        """Slots held."""
        ...

    def shortfall(self, now: float) -> int:
        """How many more connections it would open now."""
        ...

    def retire(self, entry: Entry[Any], reason: Reason) -> None:
        """Have an entry closed that nobody holds."""
        ...


M = TypeVar("M", bound=Member)


class Budget(Generic[M]):
    """At most ``limit`` slots for all members together. See the module; no method blocks.

    Attributes:
        limit: Slots at most.
        turn_after: Seconds a member's first caller waits before busy members must give way to it.
        trace: What keeps the stack of each lease that begins, for members yet to come too.
        stirred: The keys of members whose drivers are to settle and act, for the driver to empty.
    """

    def __init__(self, limit: int, turn_after: float) -> None:
        self.limit = limit
        self.turn_after = turn_after
        self.trace: Callable[[], object] | None = None
        self.stirred: deque[Any] = deque()
        self.members: dict[M, None] = {}
        self._queue: dict[M, None] = {}
        self._shrinking = False

    @property
    def held(self) -> int:
        """Slots held by all members."""
        return sum(len(one.roster.living) + len(one.connects) for one in self.members)

    @property
    def hungry(self) -> bool:
        """True while somebody queues for a slot, or too many are held since it was lowered."""
        return bool(self._queue) or self._shrinking

    @property
    def has_room(self) -> bool:
        """True when there is a free slot that nobody queues for."""
        return self.held + len(self._queue) < self.limit

    def admit(self, member: M, now: float) -> None:  # noqa: ARG002 - for who remembers it
        """Somebody asks a member for a connection: it counts from now on."""
        self.members[member] = None

    def claim(self, member: M, now: float) -> bool:
        """Ask for a slot; True: open a connection now; False: it queues for one."""
        if not member.waiters:  # whom nobody asks must not be in anybody's way
            return member in self.members and self.has_room
        first = not self._queue
        self._queue.setdefault(member)
        if list(self._queue).index(member) < self.limit - self.held:
            del self._queue[member]
            return True
        if first:
            self._watch_releases()
        self.make_room(now)
        return False

    def drop_claim(self, member: M) -> None:
        """A member wants no slot at present."""
        self._queue.pop(member, None)

    def make_room(self, now: float) -> None:
        """Close what lies idle, used longest ago first, until there is a slot for each claim."""
        remaining = self.held - self._closing
        self._shrinking = self._shrinking and remaining > self.limit
        wanted = sum(one.shortfall(now) for one in self._queue)
        for _ in range(remaining + wanted - self.limit):
            needless = [(one, entry) for one in self.members if (entry := self._needless(one))]
            if not needless:
                return
            self._evict(*min(needless, key=lambda found: found[1].idle_since))

    def resize(self, limit: int, now: float) -> None:
        """Change the limit; what is held beyond it is closed as it comes to lie idle."""
        self.limit = limit
        self._shrinking = True
        self._watch_releases()
        self.make_room(now)
        self.stirred.extend(one.key for one in self.members)

    def give_way(self, member: M, now: float) -> None:
        """Something is idle at a member while others queue: theirs, if it is needless or overdue.

        Called before the member's own callers are served.
        """
        self.make_room(now)
        overdue = sum(self._is_overdue(one, member, now) for one in self._queue)
        if member.waiters and self.held - self._closing + overdue > self.limit:
            self._take_turn(member)

    def in_the_way(self) -> list[Entry[Any]]:
        """Return every lease that is out, if only the end of one can free a slot; else nothing."""
        if self.held - self._closing < self.limit or any(map(self._needless, self.members)):
            return []
        return [entry for one in self.members for entry in one.roster.leased()]

    def settled(self, member: M, now: float) -> None:  # noqa: ARG002 - for who remembers it
        """A member has been brought in order: what it left free is the next one's."""
        first = next(iter(self._queue), None)
        if first is not None and first is not member and self.held < self.limit:
            self.stirred.append(first.key)

    @property
    def _closing(self) -> int:
        return sum(len(one.roster.closing) for one in self.members)

    def _watch_releases(self) -> None:
        for one in self.members:
            one.stack.alert = ALWAYS

    def _needless(self, member: M) -> Entry[Any] | None:
        """Return the idle connection of a member that was used longest ago, if it needs it not."""
        idle = member.stack.idle
        if member in self._queue or len(idle) <= len(member.waiters):
            return None
        try:
            return idle[0]
        except IndexError:
            return None  # somebody took it

    def _is_overdue(self, claimant: M, busy: M, now: float) -> bool:
        head = claimant.waiters.head
        if claimant is busy or head is None or now - head.since < self.turn_after:
            return False
        return claimant.size == 0 or claimant.size + 1 < busy.size

    def _take_turn(self, member: M) -> None:
        """End a busy member's turn: it loses a connection, though none that nobody has used yet."""
        for entry in member.stack.idle.copy():
            if entry.uses:
                self._evict(member, entry)
                return

    def _evict(self, member: M, entry: Entry[Any]) -> None:
        try:
            member.stack.idle.remove(entry)
        except (ValueError, IndexError):
            return  # somebody took it
        member.retire(entry, "evicted")
        self.stirred.append(member.key)
