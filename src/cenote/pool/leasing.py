"""How a caller gets a connection from the core, and gives it back.

Strategy: a caller is a ``Ticket``. What it is given is leased, or reserved where a check must come
first; whatever goes wrong in between, ``abandon`` passes on what the ticket holds. See ``core.py``
for the protocol a driver follows.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from cenote.errors import LeaseError, PoolTimeout
from cenote.pool import refusals
from cenote.pool.actions import Reset, Warn
from cenote.pool.connector import Verdict
from cenote.pool.fast import DETACHED, KEPT, LEASED, NEVER, RESERVED, RESETTING
from cenote.pool.fast_path import Entry
from cenote.pool.settlement import Settlement
from cenote.pool.stats import Reason
from cenote.pool.waiters import CANCELLED, FAILED, GRANTED, NEW, QUEUED, Ticket

T = TypeVar("T")

_TOO_MANY_BAD_CHECKS = 3


class Leasing(Settlement[T]):
    """Acquire and release; the rest of ``PoolCore`` is in ``core.py``."""

    bad_checks = 0  # in a row, in this generation

    def acquire(self, ticket: Ticket[T], now: float) -> Entry[T] | None:
        """Lease an entry (or reserve one that must be checked first), or queue the ticket (None).

        Raises:
            PoolClosed, PoolSaturated, ConnectFailed: The ticket is not queued.
        """
        self._admit(ticket, now)
        if ticket.state in (NEW, QUEUED):
            entry = self.take_idle(now) if self._may_take(ticket, now) else None
            if entry is not None:
                self._found(ticket)
                self.grant(ticket, entry, now)
            elif ticket.state == QUEUED:
                self._found_nothing(ticket, now)
            else:
                self._queue(ticket, now)
            self.settle(now)
        if ticket.state == FAILED and ticket.error is not None:
            raise ticket.error
        return ticket.entry

    def checked(self, ticket: Ticket[T], ok: bool, now: float) -> bool:
        """Answer for the entry reserved for a ticket; True: it is leased, False: discarded."""
        entry = ticket.entry
        if entry is None or entry.state != RESERVED:
            raise LeaseError("nothing is reserved for this ticket")
        reason = self.fault(entry, now) if ok else "check"
        if reason is None:
            self.bad_checks = 0
            self.lease(entry, ticket, now)
        else:
            ticket.state, ticket.entry = NEW, None
            self.retire(entry, reason)
            if not ok:
                self._note_bad_check(entry)
        self.settle(now)
        return reason is None

    def cancel(
        self, ticket: Ticket[T], now: float, why: Literal["timeout", "cancel"] = "cancel"
    ) -> Entry[T] | None:
        """Withdraw a ticket; returns the entry that was granted to it first, if one was."""
        if ticket.state == GRANTED:
            return ticket.entry
        if ticket.state in (NEW, QUEUED):
            self._withdraw(ticket, now, why)
        self.settle(now)
        return None

    def abandon(self, ticket: Ticket[T], now: float) -> None:
        """Withdraw a ticket whose caller is gone, and pass on whatever was granted to it."""
        entry = self.cancel(ticket, now)
        if entry is None:
            return
        if entry.state == RESERVED:
            self._withdraw(ticket, now, "cancel")
            self.retire(entry, "check")
            self.settle(now)
        elif entry.state == LEASED:
            self.release(entry, now)

    def timeout_error(self, ticket: Ticket[T], now: float) -> PoolTimeout:
        """Build the error of a ticket whose deadline has passed."""
        self.settle(now)
        return refusals.timeout(self, ticket, now)

    def release(
        self, entry: Entry[T], now: float, verdict: Verdict = "ok", clean: bool = True
    ) -> None:
        """Take a leased entry back.

        Args:
            entry: What was leased.
            now: Seconds.
            verdict: What ``judge`` said of the error its use ended with.
            clean: False: it must be reset before it is used again.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self._expect_leased(entry)
        self.end_lease(entry, now)
        reason = self.fault(entry, now) if verdict == "ok" else "error"
        if verdict == "invalidate_all" and entry.generation == self.stack.generation:
            self.invalidate()
        if reason is None and not clean and not self.resets:
            reason = "reset"
        if reason is not None:
            self.retire(entry, reason)
        elif clean:
            self.welcome(entry, now)
        else:
            entry.state = RESETTING
            self.actions.append(Reset(entry))
        self.settle(now)

    def put_back(self, entry: Entry[T], reason: Reason | None, now: float) -> None:
        """Take an entry back that its holder has kept, and has taken from there.

        Args:
            entry: What was kept.
            reason: Why it must not be used again, if so.
            now: Seconds.

        Raises:
            LeaseError: Nobody keeps it; nothing changes.
        """
        if entry.stack is not self.stack or entry.state != KEPT:
            raise refusals.not_leased(self, entry)
        entry.holder = None
        if reason is None:
            self.welcome(entry, now)
        else:
            self.retire(entry, reason)
        self.settle(now)

    def discard(self, entry: Entry[T], reason: Reason, now: float) -> None:
        """Take a leased entry back that must not be used again.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self._expect_leased(entry)
        self.end_lease(entry, now)
        self.retire(entry, reason)
        self.settle(now)

    def detach(self, entry: Entry[T], now: float) -> None:
        """Give a leased resource away for good: the pool forgets it, its slot is free.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self._expect_leased(entry)
        self.end_lease(entry, now)
        entry.state = DETACHED
        self.roster.depart(entry, None)
        entry.ref = None
        self.settle(now)

    # Steps of the calls above.

    def _expect_leased(self, entry: Entry[T]) -> None:
        if entry.stack is not self.stack or entry.state != LEASED:
            raise refusals.not_leased(self, entry)

    def _admit(self, ticket: Ticket[T], now: float) -> None:
        newcomer = ticket.serial == 0
        if self.phase == "closed" or (self.phase == "draining" and newcomer):
            if ticket.state in (NEW, QUEUED):  # what was granted already is the caller's to use
                ticket.state = FAILED
                raise refusals.closed(self, ticket, now)
        elif self.phase == "opening":
            self.begin(now)
        if self.budget is not None:
            self.budget.admit(self, now)
        if newcomer:
            self.waiters.number(ticket)

    def _found(self, ticket: Ticket[T]) -> None:
        """A waiter that looked found a connection idle: the next one shall be nudged."""
        if ticket.state == QUEUED:
            self.lull.end()
            self.watcher = None

    def _found_nothing(self, ticket: Ticket[T], now: float) -> None:
        """A waiter looked, and there was nothing for it, though maybe for the head."""
        watched, in_vain = ticket is self.watcher, not self.stack.idle
        if in_vain and ticket.nudged:
            self.lull.nudged_in_vain(now)
        elif in_vain and watched:
            self.lull.looked_in_vain()
        if watched:
            self.watcher = None
        ticket.nudged = False
        ticket.again = NEVER
        self.appoint(ticket, now)

    def _may_take(self, ticket: Ticket[T], now: float) -> bool:
        head = self.waiters.head
        if self.phase == "paused":
            return False
        if head is None or ticket.serial <= head.serial:
            return True
        return ticket.state == NEW and now < self.hand_off_from(head)

    def _queue(self, ticket: Ticket[T], now: float) -> None:
        if self.fails_fast:
            ticket.state = FAILED
            raise refusals.down(self, ticket, now)
        if self._full:
            self.settle(now)  # maybe somebody who waits could be served
        if self._full:
            ticket.state = FAILED
            self.count_saturated()
            raise refusals.saturated(self, ticket, now)
        if self.options.nested != "allow" and self._may_block_itself(ticket, now):
            self._object_to(ticket, now)
        self.tallies.waited += 1
        self.waiters.add(ticket)
        self.appoint(ticket, now)

    def _may_block_itself(self, ticket: Ticket[T], now: float) -> bool:
        """Say whether the caller holds a connection, and nothing but a release can serve it."""
        if ticket.holder is None:
            return False
        leased = self.roster.leased()
        if self.size < self.most(now):
            leased = [] if self.budget is None else self.budget.in_the_way()
        return any(entry.holder == ticket.holder for entry in leased)

    def _object_to(self, ticket: Ticket[T], now: float) -> None:
        error = refusals.nested(self, ticket, now)
        if self.options.nested == "error":
            ticket.state = FAILED
            raise error
        self.actions.append(Warn(str(error), logged=True))

    @property
    def _full(self) -> bool:
        limit = self.options.max_waiting
        return limit is not None and len(self.waiters) >= limit

    def _withdraw(self, ticket: Ticket[T], now: float, why: Literal["timeout", "cancel"]) -> None:
        self.leave_queue(ticket, now)
        ticket.state = CANCELLED
        if why == "cancel":
            self.tallies.cancelled += 1
        else:
            self.count_timeout(ticket, now)

    def count_saturated(self) -> None:
        """Note that a caller was turned away because too many wait."""
        self.tallies.saturated += 1
        if self.observer is not None:
            self.tell(self.observer.saturated)

    def count_timeout(self, ticket: Ticket[T], now: float) -> None:
        """Note that a caller's deadline has passed."""
        self.tallies.timeouts += 1
        if self.observer is not None:
            self.tell(self.observer.timed_out, now - ticket.since)

    def _note_bad_check(self, entry: Entry[T]) -> None:
        if entry.generation == self.stack.generation:
            self.bad_checks += 1
        if self.bad_checks >= _TOO_MANY_BAD_CHECKS:
            self.invalidate()
