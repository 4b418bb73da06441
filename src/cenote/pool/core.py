"""The pool as a pure state machine: it decides, a driver acts.

Strategy: every call takes ``now`` (monotonic seconds); none blocks, logs, or runs a user's code.
This module holds the calls; the state, and the ``settle`` that ends every call, are in
``settlement.py``; what time brings about is in ``upkeep.py``.

How a driver uses it
--------------------
A driver serialises all calls but those of ``core.stack`` (threads: one lock; asyncio: the loop).
After **every** call, still serialised, it drains ``woken``: ``ticket.wake()`` for each. Then,
outside the lock, it drains ``actions`` (``popleft`` until empty) and performs each:

    Connect  open a resource within ``connect_timeout``; answer ``connected(action, resource, now)``
             or ``connect_failed(action, error, now)``: exactly one of them, exactly once
    Close    ``hooks.close(entry.resource)``; answer ``closed(action, now)``, even if it raised
    Ping     ``hooks.ping``; answer ``pinged(entry, ok, now)``
    Reset    ``hooks.reset``; answer ``was_reset(entry, ok, now)``
    Warn     warn (and log)
    Tell     ``observer.tell(action.call)``

and sees to it that ``tick(now)`` is called at ``due`` (which any call may lower; inf: never).

To acquire, where ``stack.take(now)`` returned None::

    ticket = DriverTicket(now, stack.who())     # a Ticket with wake() overridden
    entry = core.acquire(ticket, now)           # raises PoolClosed, PoolSaturated, ConnectFailed
    loop:
      entry is None: wait until woken, or for the deadline. Then, serialised:
          ticket.state GRANTED: entry = ticket.entry
          ticket.state FAILED, or ticket.nudged, or ``ticket.again`` has come (sleep no longer):
              entry = core.acquire(ticket, now); None: wait on
          the deadline has passed: entry = core.cancel(ticket, now, "timeout"); not None: it was
              granted meanwhile, use it; None: raise ``ticket.error or core.timeout_error(...)``
          a cancel, any exception: ``core.abandon(ticket, now)`` passes on whatever it holds
      entry.state RESERVED: check it first, not serialised: ``ok = is_alive(resource)``; then
          True from ``core.checked(ticket, ok, now)``: it is leased; False: it is discarded, and
          entry = core.acquire(ticket, now) again (the same ticket keeps its place)
      entry.state LEASED: done; ``stack.begun(entry, waited)`` if it is ``watched``

To release: ``stack.give(entry, now)``. DONE: nothing more; SETTLE: ``core.settle(now)``; REFUSED:
judge the error and the resource outside the lock, then ``core.release(entry, now, verdict,
clean)``.

``stack.poke`` is called by finalizers, anywhere: it must have ``settle`` called soon, and not
block.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Literal, TypeVar

from cenote.errors import LeaseError, PoolError
from cenote.pool import refusals, reports
from cenote.pool.actions import Close, Connect
from cenote.pool.budget import Budget
from cenote.pool.fast import (
    ALWAYS,
    CLOSED,
    FOREIGN,
    NEVER,
    RESERVED,
    RESETTING,
)
from cenote.pool.fast_path import Entry
from cenote.pool.leasing import Leasing
from cenote.pool.observer import Observer
from cenote.pool.options import PoolOptions, check_sizes
from cenote.pool.roster import Roster
from cenote.pool.sizing import Advice, advise
from cenote.pool.state import Describe, anonymous, never_gone
from cenote.pool.stats import Holder, PoolStats, Reason
from cenote.pool.tallies import Tallies
from cenote.pool.upkeep import Upkeep
from cenote.pool.waiters import Ticket

T = TypeVar("T")


class PoolCore(Leasing[T]):
    """Decides for one pool; see the module for how to drive it.

    Args:
        name: The pool's name, for messages and observers.
        options: What governs it.
        rng: Draws jitter.
        who: Names the present thread or task; its results are made readable by ``describe``.
        is_gone: Says whether what ``who`` returned has ended.
        describe: Turns what ``who`` returned into (name, place where it is now).
        is_clean: Asked by ``give``, without lock, whether a resource may be reused as it is.
        checks, resets, pings: Which of these hooks exist.
        observer: Who listens; ``None``: nobody, at no cost.
        budget: Slots that it shares with other cores, all under one lock; ``None``: its own alone.
        key: What it is known by there.

    Attributes:
        stack: The idle entries and the lock-free path.
        actions: What the driver must do outside the lock.
        woken: Tickets the driver must wake, still serialised.
        spares: Where holders keep entries for their next use, for a driver whose holders do that;
            whoever takes an entry from there has it.
        due: When ``tick`` must be called next.
        heartbeat: While somebody waits, ``due`` is never further off than this (a driver whose
            releases may be interrupted half-way sets it).
        eager: Eventual fairness hands every release over at once (a driver whose hand-offs cost no
            context switch sets it: there is nothing to be gained by letting newcomers in). Its
            tickets are never told to ask ``again``.
    """

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        *,
        rng: Random,
        who: Callable[[], object] = lambda: None,
        describe: Describe = anonymous,
        is_gone: Callable[[object], bool] = never_gone,
        is_clean: Callable[[T], bool] | None = None,
        checks: bool = False,
        resets: bool = False,
        pings: bool = False,
        observer: Observer | None = None,
        budget: Budget[Any] | None = None,
        key: Any = None,
    ) -> None:
        super().__init__(
            name, options, rng=rng, who=who, describe=describe, is_gone=is_gone, is_clean=is_clean,
            checks=checks, resets=resets, observer=observer, budget=budget, key=key,
        )  # fmt: skip
        self.upkeep: Upkeep[T] = Upkeep(self, rng, pings)

    # The pool as a whole.

    def open(self, now: float) -> None:
        """Begin to keep ``min_size`` connections and to serve; a second call does nothing.

        Raises:
            PoolClosed: The pool has been closed.
        """
        if self.phase == "closed":
            raise refusals.closed(self, None, now)
        self.begin(now)
        self.settle(now)

    def refusal(
        self, why: Literal["timeout", "saturated", "closed"], ticket: Ticket[T], now: float
    ) -> PoolError:
        """Count and build the error of a caller who waits elsewhere for what this pool has."""
        if why == "closed":
            return refusals.closed(self, ticket, now)
        if why == "saturated":
            self.count_saturated()
            return refusals.saturated(self, ticket, now)
        self.count_timeout(ticket, now)
        return refusals.timeout(self, ticket, now)

    # Connecting.

    def connected(self, connect: Connect, resource: T, now: float) -> None:
        """A connection is open: it goes to the head waiter, or to idle."""
        if resource is None or self._has(resource):
            self.connect_failed(connect, refusals.bad_resource(self, resource), now)
            return
        self.end_connect(connect)
        entry = Entry(self.stack, resource, self.roster.next_serial(), now, NEVER)
        entry.generation = connect.generation
        self.roster.add(entry)
        self.upkeep.born(entry, now)
        self.tallies.connected(now - connect.since)
        was_down = self.backoff.down
        self.backoff.succeeded()
        self.bad_checks = 0
        if self.observer is not None:
            self.tell(self.observer.connected, now - connect.since)
            if was_down:
                self.tell(self.observer.up)
        self.upkeep.replaced(connect.replaces, now)
        self.welcome(entry, now)
        self.settle(now)

    def _has(self, resource: T) -> bool:
        """Say whether a resource is in the pool, idle or on loan."""
        for entry in self.roster:
            if entry.key == id(resource):
                held = entry.resource if entry.ref is None else entry.ref()
                if held is resource:
                    return True
        return False

    def grow(self, now: float) -> bool:
        """Open one more connection, if the pool may and none is being opened; True: one is."""
        self.begin(now)  # a forked child's is new
        self.settle(now)
        if not self.connecting and self._may_connect(now) and self._claims_slot(now):
            self.connect(now)
        return self.connecting > 0

    def recover(self, now: float) -> None:
        """A connection is about to be there: whoever comes for it now waits and is not refused."""
        if self.backoff.down and self.observer is not None:
            self.tell(self.observer.up)
        self.backoff.succeeded()
        self.settle(now)

    def connect_failed(self, connect: Connect, error: BaseException, now: float) -> None:
        """A connection could not be opened: back off; a pool that fails when down fails waiters."""
        counted = connect.overdue
        self.end_connect(connect)
        self.upkeep.not_replaced(connect.replaces)
        if not counted:
            self.count_failure(connect, error, now)
        self.settle(now)

    def was_reset(self, entry: Entry[T], ok: bool, now: float) -> None:
        """Answer to ``Reset``."""
        self._return(entry, ok, "reset", now)

    def pinged(self, entry: Entry[T], ok: bool, now: float) -> None:
        """Answer to ``Ping``."""
        self._return(entry, ok, "check", now)

    def closed(self, close: Close[T], now: float) -> None:
        """Answer to ``Close``: the slot is free."""
        close.entry.state = CLOSED
        self.roster.depart(close.entry, close.reason)
        self.settle(now)

    def tick(self, now: float) -> None:
        """Do what has become due: expiry, replacement, pruning, pings, leaks, connect retries."""
        self.upkeep.tick(now)
        self.settle(now)
        self.due = self.upkeep.next_deadline(now)

    def next_deadline(self, now: float) -> float:
        """Return when ``tick`` must come again, computed anew (``due`` is kept up to date)."""
        return self.upkeep.next_deadline(now)

    def invalidate_all(self, now: float) -> None:
        """Hand out none of the present connections again; those on lease are closed on return."""
        self.invalidate()
        self.due = now
        self.settle(now)

    def resize(self, min_size: int, max_size: int, now: float) -> None:
        """Change the sizes; a surplus is closed as it becomes idle.

        Raises:
            ConfigurationError: The sizes are out of range; nothing changes.
        """
        check_sizes(min_size, max_size)
        self.min_size, self.max_size = min_size, max_size
        self.settle(now)

    def pause(self, now: float) -> None:
        """Hand nothing out and open nothing until ``resume``; callers wait, leases come back.

        Raises:
            PoolClosed: The pool is closed, or being drained.
        """
        if self.phase in ("draining", "closed"):
            raise refusals.closed(self, None, now)
        self.begin(now)
        self.phase = "paused"
        self.stack.barrier = ALWAYS
        self.settle(now)

    def resume(self, now: float) -> None:
        """Go on after ``pause``; without one, do nothing."""
        if self.phase == "paused":
            self.phase = "ready"
        self.settle(now)

    @property
    def warm(self) -> bool:
        """True when ``min_size`` connections are there."""
        return self.roster.active >= self.min_size

    @property
    def hopeless(self) -> bool:
        """True when no connection will be there soon, or nobody is to wait for one."""
        return self.fails_fast and not self.warm

    def too_cold(self, now: float) -> PoolError:
        """Build the error of ``open(wait=True)`` when it took too long."""
        self.settle(now)
        return refusals.cold(self, now)

    def drain(self, now: float) -> None:
        """Refuse newcomers; those who wait are still served. See ``drained``."""
        if self.phase != "closed":
            self.phase = "draining"
        self.settle(now)

    def close(self, now: float) -> None:
        """Refuse everybody, fail those who wait, close what is idle, and the rest as it returns."""
        self.phase = "closed"
        self.fail_waiters(refusals.closed, now)
        self.settle(now)
        self.due = NEVER

    def disown(self) -> list[T]:
        """In a forked child: make every entry foreign; returns the inherited resources."""
        inherited = []
        for entry in [*self.roster, *self.stack.idle]:
            resource = entry.resource
            if resource is None and entry.ref is not None:
                resource = entry.ref()
            if entry.state < CLOSED and resource is not None:
                inherited.append(resource)
            entry.state = FOREIGN
        return inherited

    def forget(self, now: float) -> PoolStats:
        """Begin counting anew, while nothing is held; returns what was counted so far."""
        past = reports.snapshot(self, now)
        self.tallies, self.roster = Tallies(self.options.histograms), Roster()
        self.since = now
        return past

    def snapshot(self, now: float) -> PoolStats:
        """Describe the pool at this instant."""
        self.settle(now)
        return reports.snapshot(self, now)

    def advise(self, since: PoolStats | None, share: float, now: float) -> Advice | None:
        """Say how large the pool should be; ``None``: nothing was measured yet."""
        return advise(
            self.snapshot(now), since, target_wait=self.options.target_wait, share=share,
            option="max_size" if self.budget is None else "max_per_key",
        )  # fmt: skip

    def holders(self, now: float) -> list[Holder]:
        """Describe the leases that are out, longest held first."""
        return reports.holders(self, now)

    def _return(self, entry: Entry[T], ok: bool, failed: Reason, now: float) -> None:
        reason = self.fault(entry, now) if ok else failed
        if entry.state not in (RESETTING, RESERVED):
            raise LeaseError(f"nothing is under way for {entry!r}")
        if reason is not None:
            self.retire(entry, reason)
        else:
            self.welcome(entry, now)
        self.settle(now)
