"""Drives ``PoolCore`` from threads, under one lock.

Strategy: one lock guards the core, and under it nothing happens but calls to the core and the
release of raw locks: no user code, no connect, close, ping or log, and nothing that waits. Each
waiter waits on a gate of its own. Connecting and closing is the crew's work (``crew_sync.py``),
what time brings about the keeper's (``keeper_sync.py``). Their threads are never interrupted by
signals, and what the core wants done is handed over to them under the lock, so whoever is
interrupted can not lose it.

An exception may strike a caller anywhere (KeyboardInterrupt, PyThreadState_SetAsyncExc). It then
holds either an entry, whose finalizer frees the slot, or a ticket, which is abandoned; what it left
half done, the next ``settle`` completes, and while anybody waits the keeper settles every
``_HEARTBEAT``. ``with lock`` is the only way the lock is taken: the interpreter lets nothing in
between taking it and being bound to release it, which ``lock.acquire()`` before a ``try`` does not
guarantee.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from types import EllipsisType
from typing import Any, TypeVar

from cenote.errors import ConnectFailed, LeaseError, NestedAcquire, PoolSaturated
from cenote.pool.actions import Close, Connect, Ping, Tell, Warn
from cenote.pool.budget import Budget
from cenote.pool.connector import Hooks, Verdict, check_needs, judge
from cenote.pool.core import PoolCore
from cenote.pool.crew_sync import Crew, Work
from cenote.pool.fast import DETACHED, FOREIGN, NEVER, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.fast_path_sync import Front
from cenote.pool.frames_sync import current_frames
from cenote.pool.gate_sync import Gate, ThreadTicket
from cenote.pool.keeper_sync import KEEPER
from cenote.pool.leaks import place
from cenote.pool.observer import Observer, tell
from cenote.pool.options import PoolOptions
from cenote.pool.stats import Reason
from cenote.pool.waiters import FAILED, GRANTED

T = TypeVar("T")
R = TypeVar("R")

_HEARTBEAT = 0.1  # seconds between the keeper's visits while anybody waits
_RECALL = 1.0  # seconds after which a waiter calls the keeper again
_log = logging.getLogger("cenote.pool")


class Driver(Front[T]):
    """The slow half of ``Pool``: whatever needs the lock, a wait, or another thread."""

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        found: Hooks[T],
        observer: Observer | None,
        clock: Callable[[], float],
        rng: Random,
        *,
        lock: threading.Lock | None = None,
        budget: Budget[Any] | None = None,
        key: Any = None,
    ) -> None:
        check_needs(found, options)
        self._name = name
        self._options = options
        self._hooks = found
        self._lock = threading.Lock() if lock is None else lock
        self._core: PoolCore[T] = PoolCore(
            name,
            options,
            rng=rng,
            who=threading.get_ident,
            describe=_describe,
            is_gone=_is_gone,
            is_clean=found.is_clean,
            checks=found.is_alive is not None,
            resets=found.reset is not None,
            pings=found.ping is not None,
            observer=observer,
            budget=budget,
            key=key,
        )
        self._core.heartbeat = _HEARTBEAT
        self._core.stack.poke = KEEPER.poke
        self._crew: Crew[T] = Crew(name, self._lock)
        self._notices: deque[Tell | Warn] = deque()
        self._onlookers: dict[Gate, Callable[[], bool]] = {}
        self._expected = NEVER  # when the keeper will come by
        self._kept = False  # whether it has been here, and will come again
        self._dropped = False  # by everybody: it is being finalized
        super().__init__(self._core.stack, clock)

    # Acquiring.

    def checkout_within(self, timeout: float | EllipsisType | None) -> Entry[T]:
        """As ``checkout``, with a timeout as ``connection`` takes it."""
        return self.checkout_nowait() or self._checkout(timeout)

    def _checkout(self, timeout: float | EllipsisType | None) -> Entry[T]:
        limit = self._options.timeout if timeout is ... else timeout
        return self._checkout_by(NEVER if limit is None else self.clock() + limit)

    def _checkout_by(self, deadline: float) -> Entry[T]:
        ticket: ThreadTicket[T] = ThreadTicket(self.clock(), threading.get_ident())
        try:
            entry = self._obtain(ticket, deadline)
        except BaseException:
            self._abandon(ticket)
            raise
        if self.stack.watched:
            self.stack.begun(entry, entry.leased_at - ticket.since)
        return entry

    def _obtain(self, ticket: ThreadTicket[T], deadline: float) -> Entry[T]:
        entry = self._ask(ticket)
        while True:
            if entry is None:
                entry = self._wait(ticket, deadline)
            elif entry.state != RESERVED or self._check(ticket, entry):
                return entry
            elif self.clock() < deadline or self.stack.idle:
                entry = self._ask(ticket)
            else:
                entry = self._order(partial(self._give_up, ticket))

    def _ask(self, ticket: ThreadTicket[T]) -> Entry[T] | None:
        return self._order(partial(self._core.acquire, ticket))

    def _wait(self, ticket: ThreadTicket[T], deadline: float) -> Entry[T]:
        while True:
            now = self.clock()
            if now < deadline and ticket.state not in (GRANTED, FAILED):
                ticket.gate.wait(min(deadline, ticket.again, now + _RECALL) - now)
            entry = self._answer(ticket, deadline)
            if entry is not None:
                return entry

    def _answer(self, ticket: ThreadTicket[T], deadline: float) -> Entry[T] | None:
        if ticket.state == GRANTED:
            return ticket.entry
        now = self.clock()
        if ticket.nudged or now >= ticket.again or ticket.state == FAILED:
            return self._ask(ticket)
        if now < deadline:
            self._follow_up()  # should the keeper never have come
            return None
        return self._order(partial(self._give_up, ticket))

    def _give_up(self, ticket: ThreadTicket[T], now: float) -> Entry[T]:
        entry = self._core.cancel(ticket, now, "timeout")
        if entry is None:
            raise ticket.error or self._core.timeout_error(ticket, now)
        return entry

    def _check(self, ticket: ThreadTicket[T], entry: Entry[T]) -> bool:
        ok = self.is_alive(entry.resource)
        return self._order(partial(self._core.checked, ticket, ok))

    def is_alive(self, resource: T) -> bool:
        """Ask the check; one that raises says no."""
        alive = self._hooks.is_alive
        try:
            return alive is None or bool(alive(resource))
        except Exception:
            _log.debug("the check of a connection raised: it is discarded", exc_info=True)
            return False

    def _abandon(self, ticket: ThreadTicket[T]) -> None:
        self._order(partial(self._core.abandon, ticket))

    def _try(self) -> Entry[T] | None:
        ticket: ThreadTicket[T] = ThreadTicket(self.clock(), threading.get_ident())
        entry = None
        try:
            entry = self._ask(ticket)
            while entry is not None and entry.state == RESERVED:
                entry = entry if self._check(ticket, entry) else self._ask(ticket)
        except (PoolSaturated, ConnectFailed, NestedAcquire):
            return None
        finally:
            if entry is None:
                self._abandon(ticket)
        return entry

    # Returning.

    def _checkin(self, entry: Entry[T], error: BaseException | None) -> None:
        if entry.state == DETACHED or (entry.state == FOREIGN and error is not None):
            return  # detached; or inherited over a fork: the error in flight says more than ours
        verdict = "ok" if error is None else self.verdict(error)
        clean = verdict != "ok" or self.is_clean(entry.resource)
        self._order(partial(self._core.release, entry, verdict=verdict, clean=clean))

    def put_back(self, entry: Entry[T], reason: Reason | None = None) -> None:
        """Take an entry back that its holder has kept; ``reason``: it must not be used again."""
        self._order(partial(self._core.put_back, entry, reason))

    def discard(self, entry: Entry[T], reason: Reason) -> None:
        """Take a leased entry back that must not be used again.

        Raises:
            LeaseError: The entry is not out on lease from this pool; nothing changes.
        """
        self._order(partial(self._core.discard, entry, reason))

    def verdict(self, error: BaseException) -> Verdict:
        """Judge the error that a lease ended with."""
        return judge(self._hooks.classify, error)

    def is_clean(self, resource: T) -> bool:
        """Say whether a resource may be used again without a reset."""
        is_clean = self.stack.is_clean
        return is_clean is None or bool(is_clean(resource))

    def _settle(self) -> None:
        self._order(self._core.settle)

    def _leased_entry(self, conn: T) -> Entry[T]:
        entry = self.stack.reclaim(conn)
        for each in self._core.roster.leased() if entry is None else ():
            if each.resource is conn:
                return each
        if entry is None:
            raise LeaseError(f"{conn!r} is not out on lease from pool {self._name!r}")
        return entry

    # After every call of the core.

    def _order(self, order: Callable[[float], R]) -> R:
        """Call the core."""
        try:
            with self._lock:
                answer = order(self.clock())
                self._rouse()
        finally:
            self._follow_up()
        return answer

    def _rouse(self) -> None:
        """Wake whom the core wants woken, and hand its work over; ends every use of the lock."""
        woken, actions = self._core.woken, self._core.actions
        while woken:
            woken[0].wake()
            woken.popleft()
        while actions:
            action = actions[0]
            if isinstance(action, (Tell, Warn)):
                self._notices.append(action)
            else:
                self._crew.add(action)
            actions.popleft()
        for gate, condition in self._onlookers.items():
            if condition():
                gate.open()

    def _follow_up(self, contained: type[BaseException] = Exception) -> None:
        """See to what was handed over; without the lock. ``contained``: see ``observer.tell``."""
        while self._notices:
            self._announce(self._notices, contained)
        core = self._core
        if self._crew.pending or core.due < self._expected or (core.over and self._kept):
            KEEPER.call(self, hold=core.phase == "closed")

    def _announce(self, notices: deque[Tell | Warn], contained: type[BaseException]) -> None:
        try:
            notice = notices.popleft()
        except IndexError:
            return
        if isinstance(notice, Tell):
            tell(notice.call, contained)
        else:
            _warn(notice)

    def _await(self, condition: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until a condition, asked under the lock, holds; False: it took too long."""
        gate, deadline = Gate(), NEVER if seconds is None else self.clock() + seconds
        try:
            with self._lock:
                self._onlookers[gate] = condition
            while True:
                with self._lock:  # to return from here would leave a gap before its release
                    met = condition()
                left = deadline - self.clock()
                if met or left <= 0:
                    return met
                gate.wait(min(left, _HEARTBEAT))
                self._follow_up()
        finally:
            with self._lock:
                self._onlookers.pop(gate, None)

    # The keeper's visits.

    def visit(self) -> float | None:
        """Called by the keeper: do what is due; see ``Kept``."""
        core = self._core
        with self._lock:
            if self._dropped:
                return None
            now = self.clock()
            (core.tick if core.due <= now else core.settle)(now)
            self._rouse()
            over = core.over
            self._expected, self._kept = core.due, not over
        self._crew.hire(self._labour)
        while self._notices:
            self._announce(self._notices, BaseException)
        return None if over else core.due - now

    # The crew's work.

    def _labour(self) -> None:
        while (action := self._next_work()) is not None:
            try:
                self._crew.hire(self._labour)
                self._do(action)
            except BaseException:
                _log.exception("pool %s could not finish a piece of work", self._name)
            finally:
                with self._lock:
                    self._crew.done(action)
            del action

    def _do(self, action: Work[T]) -> None:
        answer = self._perform(action)
        with self._lock:
            answer(self.clock())
            self._rouse()
        del answer
        self._follow_up(BaseException)

    def _next_work(self) -> Work[T] | None:
        with self._lock:
            return self._crew.take()

    def _perform(self, action: Work[T]) -> Callable[[float], None]:
        """Do a piece of work, whatever it raises; returns how the core is to be told."""
        if isinstance(action, Connect):
            return self._connect(action)
        if isinstance(action, Close):
            self._close(action.entry.resource)
            return partial(self._core.closed, action)
        if isinstance(action, Ping):
            ok = _succeeds(self._hooks.ping, action.entry.resource)
            return partial(self._core.pinged, action.entry, ok)
        ok = _succeeds(self._hooks.reset, action.entry.resource)
        return partial(self._core.was_reset, action.entry, ok)

    def _connect(self, action: Connect) -> Callable[[float], None]:
        try:
            resource = self._hooks.connect(self._options.connect_timeout)
        except BaseException as error:
            return partial(self._core.connect_failed, action, error)
        return partial(self._core.connected, action, resource)

    def _close(self, resource: T) -> None:
        try:
            self._hooks.close(resource)
        except BaseException:
            _log.warning("closing a connection of %s failed", self._name, exc_info=True)


def _succeeds(hook: Callable[[T], object] | None, resource: T) -> bool:
    try:
        return hook is None or hook(resource) is not False
    except BaseException:
        _log.debug("a hook of a connection raised: it is discarded", exc_info=True)
        return False


def _warn(notice: Warn) -> None:
    if notice.logged:
        _log.warning("%s", notice.message)
    try:
        warnings.warn(notice.message, ResourceWarning, stacklevel=2)
    except ResourceWarning:
        _log.error("%s", notice.message)


def _describe(ident: object) -> tuple[str, str]:
    """Name a thread, and say where it is now."""
    names = (thread.name for thread in threading.enumerate() if thread.ident == ident)
    frame = current_frames().get(ident) if isinstance(ident, int) else None
    return next(names, f"thread {ident}"), place(frame)


def _is_gone(ident: object) -> bool:
    return isinstance(ident, int) and ident not in current_frames()
