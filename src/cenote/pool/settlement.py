"""The state of a pool, and the one routine that brings it in order.

Strategy: ``settle`` ends every call of the core. It buries lost leases, serves waiters from idle,
sheds a surplus, lets the pool grow, and posts the values that guard the lock-free path. It works
from what is there, not from what was planned, and each step takes effect before it is struck off,
so that ``settle`` also heals whatever an exception interrupted half-way.

Fairness follows Go's ``sync.Mutex``: while the head waiter is young, a release only nudges it and
newcomers, who are running already, may win the race; no second waiter is nudged meanwhile. Each
nudge is a context switch: where they are in vain, the pool learns to do without (``lull.py``). Once
the head is older than ``fair_after``, newcomers are barred and the next release is handed to it.

Unlike there, hand-offs are paced: each costs a context switch, and when all who wait are old,
handing every release over is a convoy. As many go to the queue as it takes to go once round it
within ``ROUND * fair_after``, and no more: the longest wait is about ``fair_after`` times the
number of those who wait, at most ``ROUND`` times. Only where more than ``ROUND / FASTEST`` wait is
it longer: ``FASTEST * fair_after`` each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar, TypeVarTuple

from cenote.errors import PoolError
from cenote.pool import refusals, reports
from cenote.pool.actions import Close, Connect, Tell, Warn
from cenote.pool.fast import ALWAYS, CLOSED, CLOSING, IDLE, LEASED, NEVER, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.state import PoolState
from cenote.pool.stats import Reason
from cenote.pool.waiters import FAILED, GRANTED, QUEUED, Ticket

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LATE = 0.01  # seconds after its time a watcher that has not come is thought gone

Refusal: TypeAlias = Callable[[PoolState[T], Ticket[T], float], PoolError]


class Settlement(PoolState[T]):
    """Brings a pool's state in order, and holds the steps that every call is made of."""

    def settle(self, now: float) -> None:
        """Bring everything in order. Calling it once too often changes nothing."""
        stack = self.stack
        if self.waiters:
            stack.alert = ALWAYS  # before looking at idle: whoever gives meanwhile will settle
        self._tidy(now)
        if stack.lost or stack.mourned:
            self._bury(now)
        if stack.idle:
            if self.budget is not None and self.budget.hungry:
                self.budget.give_way(self, now)
            self._serve(now)
        if self.phase == "closed" or self.surplus:
            self._shed()
        self._grow(now)
        self._post(now)
        if self.budget is not None:
            self.budget.settled(self, now)

    # The steps of settle.

    def _tidy(self, now: float) -> None:
        """Complete what an exception interrupted between taking effect and being struck off."""
        if self.actions:
            self.connects.update(each for each in self.actions if isinstance(each, Connect))
        while (head := self.waiters.head) is not None and head.state != QUEUED:
            self.woken.append(head)
            self.leave_queue(head, now)

    def _bury(self, now: float) -> None:
        stack = self.stack
        while stack.lost:
            self._lose(stack.lost[0], now)
            stack.lost.popleft()
        while stack.mourned:
            ref = stack.mourned[0]
            entry = stack.lent.get(ref.key)
            if entry is not None and entry.ref is ref and entry.resource is None:
                self._lose(entry, now)
                del stack.lent[ref.key]
            stack.mourned.popleft()

    def _lose(self, entry: Entry[T], now: float) -> None:
        if entry.state >= CLOSING:
            return
        self.roster.revive(entry)
        if entry.state == LEASED:
            self._mark_lost(entry, now)
        if entry.resource is None:
            entry.state = CLOSED
            self.roster.depart(entry, "lost")
        else:
            self.retire(entry, "lost")

    def _mark_lost(self, entry: Entry[T], now: float) -> None:
        self.roster.lost += 1
        self.actions.append(Warn(reports.lost(self.name, entry, now)))
        if self.observer is not None:
            self.tell(self.observer.lost)

    def _serve(self, now: float) -> None:
        idle = self.stack.idle
        while idle:
            head = self.waiters.head
            if head is None or self.phase == "paused":
                return
            if now < self.hand_off_from(head):
                if not self.watched(now):
                    self.nudge(head)
                return
            entry = self.take_idle(now)
            if entry is not None:
                self.next_handoff = now + self.pace
                self.grant(head, entry, now)
                self.tallies.handoffs += 1

    def nudge(self, head: Ticket[T]) -> None:
        """Have the head waiter come and see, unless it is on its way."""
        if not head.nudged:
            self.woken.append(head)
            head.nudged = True

    def _shed(self) -> None:
        idle, reason = self.stack.idle, self._surplus_reason()
        while idle and reason is not None:
            try:
                entry = idle.popleft()
            except IndexError:
                return
            self.retire(entry, reason)
            reason = self._surplus_reason()

    def _surplus_reason(self) -> Reason | None:
        if self.phase == "closed":
            return "shutdown"
        return "idle" if self.surplus else None

    def _grow(self, now: float) -> None:
        while self._may_connect(now):
            if self.wanted <= self.connecting or not self._claims_slot(now):
                break
            self.connect(now)
        if self.budget is not None and not (self.waiters and self.shortfall(now)):
            self.budget.drop_claim(self)
        if now < self.backoff.retry_at < self.due and self.wanted > self.connecting:
            self.due = self.backoff.retry_at
        self.due = min(self.due, self.burst_due(now))

    def _post(self, now: float) -> None:
        head, stack = self.waiters.head, self.stack
        turn = NEVER if head is None else self.hand_off_from(head)
        stack.barrier = turn if self.phase == "ready" else ALWAYS
        hungry = self.budget is not None and self.budget.hungry
        if hungry or self.phase in ("draining", "closed") or self.surplus:
            stack.alert = ALWAYS
        elif head is None or head.nudged or (self.watcher is not None and self.watched(now)):
            stack.alert = turn
        else:
            stack.alert = ALWAYS
        if head is not None:
            self.due = min(self.due, now + self.heartbeat)

    # Growth.

    def may_add(self, now: float = ALWAYS) -> bool:
        """Say whether one more connection may be opened, back-off aside.

        Args:
            now: Seconds; by default a burst does not count.
        """
        if self.size >= self.most(now):
            return False
        return self.connecting < (1 if self.backoff.down else self.options.max_connecting)

    def most(self, now: float) -> int:
        """Return how many slots there are: more while the head waiter calls for a burst."""
        burst = self.options.burst
        head = self.waiters.head if burst else None
        called_for = head is not None and now >= head.since + self.options.burst_after
        return self.max_size + (burst if called_for else 0)

    def burst_due(self, now: float) -> float:
        """Return when the head waiter will call for a burst; inf: never, or it does already."""
        burst = self.options.burst
        head = self.waiters.head if burst else None
        if head is None or self.size >= self.max_size + burst:
            return NEVER
        due = head.since + self.options.burst_after
        return due if now < due else NEVER

    def _may_connect(self, now: float) -> bool:
        if self.phase not in ("ready", "draining"):
            return False
        return now >= self.backoff.retry_at and self.may_add(now)

    def _claims_slot(self, now: float) -> bool:
        return self.budget is None or self.budget.claim(self, now)

    def shortfall(self, now: float) -> int:
        """How many more connections the pool would open now, were there no budget."""
        if not self._may_connect(now):
            return 0
        room = min(self.most(now) - self.size, self.options.max_connecting - self.connecting)
        return max(0, min(room, self.wanted - self.connecting))

    def connect(self, now: float, replaces: int = 0) -> None:
        """Have a connection opened; its slot is held from here on."""
        deadline = now + self.options.connect_timeout
        connect = Connect(now, deadline, self.stack.generation, replaces)
        self.actions.append(connect)
        self.connects.add(connect)
        self.due = min(self.due, deadline)

    def end_connect(self, connect: Connect) -> None:
        """Strike an attempt that has returned."""
        self.connects.discard(connect)

    # Waiters.

    def watched(self, now: float) -> bool:
        """Say whether a waiter will look by itself, so that nobody need be nudged."""
        return self.watcher is not None and now < self.watcher.again + _LATE

    def appoint(self, ticket: Ticket[T], now: float) -> None:
        """Make a waiter that is about to sleep the watcher, if a lull lasts and there is none.

        Not beside an idle connection: that is the head's, which ``settle`` nudges if none watches.
        """
        if self.lull.lasts(now) and not (self.stack.idle or self.watched(now) or self.eager):
            self.watcher = ticket
            ticket.again = now + self.lull.length

    def hand_off_from(self, head: Ticket[T]) -> float:
        """Return the time from which a release goes straight to the head waiter."""
        fairness = self.options.fairness
        if fairness == "eventual" and not self.eager:
            return max(head.since + self.options.fair_after, self.next_handoff)
        return NEVER if fairness == "barging" else ALWAYS

    def grant(self, ticket: Ticket[T], entry: Entry[T], now: float) -> None:
        """Give a ticket an entry: leased, or reserved if it must be checked first."""
        if now - entry.idle_since >= self.stack.check_after:
            entry.state = RESERVED
        else:
            self.lease(entry, ticket, now)
        was_queued = ticket.state == QUEUED
        ticket.entry = entry
        ticket.state = GRANTED
        if was_queued:
            self.woken.append(ticket)
            self.leave_queue(ticket, now)

    def lease(self, entry: Entry[T], ticket: Ticket[T], now: float) -> None:
        """Mark an entry as leased by the ticket's caller."""
        self.stack.lease(entry, now)
        entry.holder = ticket.holder

    def leave_queue(self, ticket: Ticket[T], now: float) -> None:
        """Take a ticket out of the queue, and note how long it was in it."""
        if ticket is self.watcher:
            self.watcher = None
        if self.waiters.remove(ticket):
            self.tallies.waited_for(now - ticket.since)

    def fail_waiters(self, refusal: Refusal[T], now: float) -> None:
        """Fail everybody who waits."""
        while (head := self.waiters.head) is not None:
            head.error = refusal(self, head, now)
            head.state = FAILED
            self.tallies.failed += 1
            self.woken.append(head)
            self.leave_queue(head, now)

    def count_failure(self, connect: Connect, error: BaseException, now: float) -> None:
        """Back off from an attempt that failed or ran past its time; waiters may fail with it."""
        was_down = self.backoff.down
        self.backoff.failed(error, now)
        self.due = min(self.due, self.backoff.retry_at)
        self.tallies.create_errors += 1
        if self.observer is not None:
            self.tell(self.observer.connect_failed, error, now - connect.since)
            if self.backoff.down and not was_down:
                self.tell(self.observer.down, error)
        if self.fails_fast:
            self.fail_waiters(refusals.down, now)

    # Entries.

    def take_idle(self, now: float) -> Entry[T] | None:
        """Take the next idle entry that may be used, or may be once it has been checked."""
        stack = self.stack
        while stack.idle:
            try:
                entry = stack.idle.popleft() if stack.fifo else stack.idle.pop()
            except IndexError:
                return None
            reason = self.fault(entry, now)
            if reason is None:
                stack.low = min(stack.low, len(stack.idle))
                return entry
            self.retire(entry, reason)
        return None

    def welcome(self, entry: Entry[T], now: float) -> None:
        """Put an entry that nobody holds to use: idle, from where ``settle`` serves the head."""
        reason = self.fault(entry, now)
        if reason is not None:
            self.retire(entry, reason)
            return
        entry.idle_since = now
        entry.state = IDLE
        self.stack.idle.append(entry)

    def fault(self, entry: Entry[T], now: float) -> Reason | None:
        """Say why an entry may not be used again, if so."""
        if self.phase == "closed":
            return "shutdown"
        if entry.generation != self.stack.generation:
            return "invalidated"
        if now >= entry.expires:
            return "lifetime"
        if entry.uses >= self.stack.max_uses:
            return "uses"
        return None

    def retire(self, entry: Entry[T], reason: Reason) -> None:
        """Have an entry closed that the caller alone holds; until then its slot is held."""
        self.actions.append(Close(entry, reason))
        entry.state = CLOSING
        entry.ref = None
        self.roster.closing.add(entry.serial)
        if self.observer is not None:
            self.tell(self.observer.closed, reason)

    def end_lease(self, entry: Entry[T], now: float) -> None:
        """Note how long a lease that ends was held."""
        held = now - entry.leased_at
        self.tallies.held_for(held)
        entry.held += held
        entry.held_squared += held * held
        if entry.reported:
            entry.reported = False
            self.due = now  # for upkeep to watch it again
            holder = reports.holder(self, entry, now)
            self.actions.append(Warn(reports.leak_returned(self.name, holder), logged=True))
        entry.holder = None
        if self.observer is not None:
            self.tell(self.observer.released, held)

    def invalidate(self) -> None:
        """Begin a new generation."""
        self.stack.generation += 1
        self.due = ALWAYS
        if self.observer is not None:
            self.tell(self.observer.invalidated, self.stack.generation)

    def tell(self, event: Callable[[str, *Ts], None], *args: *Ts) -> None:
        """Announce an event of the observer, outside the lock."""
        self.actions.append(Tell(partial(event, self.name, *args)))
