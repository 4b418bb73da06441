"""How a task gets a connection when none is there for the taking: ask, sleep, look again.

Strategy: a caller is a ``Seeker`` with one future to sleep on. There is one ``await`` between
asking and having, in ``wait``; whatever strikes there (a cancel, also one that races a grant; an
exception thrown in) lands in one ``except``, which passes on what was granted. The deadline is a
timer that only wakes: the caller then takes what it was granted in the same instant, or gives up.
A check that takes a round trip runs in a task of the pool, so it outlives a caller that leaves,
and its connection stays.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from cenote.errors import ConnectFailed, NestedAcquire, PoolSaturated
from cenote.pool.actor_aio import Actor
from cenote.pool.connector import AsyncHooks
from cenote.pool.core import PoolCore
from cenote.pool.fast import NEVER, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.waiters import GRANTED, NEW, Ticket

T = TypeVar("T")

_log = logging.getLogger("cenote.pool")


class Seeker(Ticket[T]):
    """A caller on its way to a connection.

    Attributes:
        future: Resolved by each wake; replaced before the caller looks around.
        expired: Its deadline has passed.
        checking: The entry reserved for it, while a task checks that.
    """

    __slots__ = ("_loop", "checking", "expired", "future")

    def __init__(self, now: float, holder: object, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(now, holder)
        self._loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.expired = False
        self.checking: Entry[T] | None = None

    def wake(self) -> None:
        """Rouse the caller."""
        if not self.future.done():
            self.future.set_result(None)

    def rearm(self) -> None:
        """Be wakeable again."""
        if self.future.done():
            self.future = self._loop.create_future()

    def expire(self) -> None:
        """The deadline has passed."""
        self.expired = True
        self.wake()


class Checkout(Generic[T]):
    """The slow way to a connection of one ``AsyncPool``."""

    def __init__(
        self,
        core: PoolCore[T],
        hooks: AsyncHooks[T],
        actor: Actor[T],
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._hooks = hooks
        self._actor = actor
        self._clock = clock

    async def wait(self, loop: asyncio.AbstractEventLoop, limit: float | None) -> Entry[T]:
        """Lease an entry within ``limit`` seconds; None: no limit; 0: without a suspension.

        Raises:
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed: Nothing was leased.
        """
        seeker, alarm = self._seeker(loop), None
        try:
            entry = self._seek(seeker)
            if entry is None:
                alarm = _alarm(loop, seeker, limit)
            while entry is None:
                await seeker.future  # the one suspension point
                entry = self._look(seeker)
        except BaseException:
            self._abandon(seeker)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        self._announce(seeker, entry)
        return entry

    def attempt(self, loop: asyncio.AbstractEventLoop) -> Entry[T] | None:
        """Lease an entry if one is idle and good; else have the pool grow. Never suspends.

        Raises:
            PoolClosed: The pool is closed.
        """
        seeker = self._seeker(loop)
        try:
            entry = self._seek(seeker)
        except (PoolSaturated, ConnectFailed, NestedAcquire):
            return None
        if entry is None:
            self._withdraw(seeker)
        else:
            self._announce(seeker, entry)
        return entry

    def _seeker(self, loop: asyncio.AbstractEventLoop) -> Seeker[T]:
        return Seeker(self._clock(), self._core.stack.who(), loop)

    def _look(self, seeker: Seeker[T]) -> Entry[T] | None:
        """Something has happened: seek again, unless a check still runs, or give up."""
        seeker.rearm()
        entry = self._seek(seeker) if seeker.checking is None else None
        if entry is None and seeker.expired:
            self._withdraw(seeker)
            error = self._core.timeout_error(seeker, self._clock())
            self._actor.act()
            raise error
        return entry

    def _seek(self, seeker: Seeker[T]) -> Entry[T] | None:
        """Have the seeker granted a live entry; None: it is queued, or a check runs."""
        while True:
            entry = seeker.entry if seeker.state == GRANTED else self._ask(seeker)
            if entry is None:
                return None
            if entry.state == RESERVED:
                ok = self._is_alive(seeker, entry)
                if ok is None:
                    return None
                self._answer(seeker, ok)
            elif entry.generation == self._core.stack.generation:
                return entry
            else:
                self._send_back(seeker, entry)

    def _ask(self, seeker: Seeker[T]) -> Entry[T] | None:
        try:
            self._core.acquire(seeker, self._clock())
        finally:
            self._actor.act()
        return seeker.entry  # an act may have granted it meanwhile

    def _send_back(self, seeker: Seeker[T], entry: Entry[T]) -> None:
        """The generation ended between the grant and now: the seeker keeps its place."""
        seeker.entry, seeker.state = None, NEW
        self._core.release(entry, self._clock())
        self._actor.act()

    def _is_alive(self, seeker: Seeker[T], entry: Entry[T]) -> bool | None:
        """Check a reserved entry; None: that takes a round trip, and a task of the pool."""
        assert self._hooks.is_alive is not None, "the core reserves only where there is a check"
        try:
            verdict = self._hooks.is_alive(entry.resource)
        except Exception:
            _log.debug("%r could not be checked", entry.resource, exc_info=True)
            return False
        except BaseException:
            self._answer(seeker, False)
            raise
        if not inspect.isawaitable(verdict):
            return bool(verdict)
        seeker.checking = entry
        self._actor.check(entry, verdict, partial(self._checked, seeker, entry))
        return None

    def _answer(self, seeker: Seeker[T], ok: bool) -> None:
        self._core.checked(seeker, ok, self._clock())
        self._actor.act()

    def _checked(self, seeker: Seeker[T], entry: Entry[T], ok: bool, now: float) -> None:
        """A check has ended in its task: its caller sees to it, or has left."""
        if seeker.checking is entry:
            seeker.checking = None
            self._core.checked(seeker, ok, now)
            seeker.wake()
        else:
            self._core.pinged(entry, ok, now)

    def _withdraw(self, seeker: Seeker[T]) -> None:
        """The deadline has passed, and nothing was granted."""
        self._leave_check(seeker)
        self._core.cancel(seeker, self._clock(), "timeout")
        self._actor.act()

    def _abandon(self, seeker: Seeker[T]) -> None:
        """The caller is struck by an exception: pass on whatever it was granted."""
        self._leave_check(seeker)
        self._core.abandon(seeker, self._clock())
        self._actor.act()

    def _leave_check(self, seeker: Seeker[T]) -> None:
        """Leave a check that runs to its task: the entry is not this seeker's any more."""
        if seeker.checking is not None:
            seeker.checking, seeker.entry, seeker.state = None, None, NEW

    def _announce(self, seeker: Seeker[T], entry: Entry[T]) -> None:
        stack = self._core.stack
        if stack.watched:
            stack.begun(entry, self._clock() - seeker.since)


def _alarm(
    loop: asyncio.AbstractEventLoop, seeker: Seeker[T], limit: float | None
) -> asyncio.TimerHandle | None:
    """Wake the seeker at its deadline."""
    if limit is None or limit == NEVER:
        return None
    if limit <= 0:
        seeker.expire()
        return None
    return loop.call_later(limit, seeker.expire, context=contextvars.Context())
