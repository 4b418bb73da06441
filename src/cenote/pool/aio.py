"""The pool for asyncio: its public face.

Strategy: leasing what is idle is in ``fast_aio.py`` (``connection``, ``acquire``, ``release``),
waiting in ``checkout_aio.py``, whatever takes time in ``actor_aio.py``; ``driver_aio.py`` ties
them to one event loop. Here are construction, opening and closing, and what an operator may ask or
order. The twin for threads is ``sync.py``: the same verbs, options and errors.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from itertools import count
from types import TracebackType
from typing import Literal, Self, TypeVar

from cenote.errors import LeaseError, PoolError
from cenote.pool import refusals, registry
from cenote.pool.connector import AsyncConnector, AsyncHooks, Classify, async_hooks
from cenote.pool.driver_aio import AsyncDriver
from cenote.pool.fast_path import Entry
from cenote.pool.observer import Observer
from cenote.pool.options import DEFAULTS, Fairness, Nested, OnDown, Order, PoolOptions
from cenote.pool.sizing import SHARE, Advice
from cenote.pool.stats import CloseReport, Holder, PoolStats
from cenote.pool.uncopied import Uncopied
from cenote.pool.waiters import Ticket

T = TypeVar("T")

_GRACE = 0.1  # seconds that what hangs is given to end once close has cancelled it
_numbers = count(1)


class AsyncPool(Uncopied, AsyncDriver[T]):
    """A pool of connections (or anything else that is dear to open) for asyncio.

    It opens on first use, or in ``async with pool:``, and belongs to that loop; after ``close`` it
    stays closed. All methods must be called in its loop.

    Args:
        connector: An ``AsyncConnector``, or a callable whose result, once awaited, has ``close()``.
        check: Asked before a connection idle for ``check_after`` is handed out; True: the
            connector's ``is_alive``; False: no check.
        reset: Run when a connection comes back that does not say it is clean; True: the
            connector's; False: none.
        classify: Judges the error a lease ended with; None: the connector's.
        name: For messages and observers; None: a number is drawn.
        observer: Is told what happens; None: nobody, at no cost.
        clock: Monotonic seconds.
        rng: Draws jitter.

    All other arguments: see ``PoolOptions``.

    Raises:
        ConfigurationError: An option is out of range, or the connector is none.
    """

    def __init__(
        self,
        connector: AsyncConnector[T] | Callable[[], Awaitable[T]],
        *,
        min_size: int = 0,
        max_size: int = 10,
        burst: int = 0,
        burst_after: float = DEFAULTS.burst_after,
        timeout: float | None = 5.0,
        max_waiting: int | None = 1024,
        fairness: Fairness = "eventual",
        fair_after: float = DEFAULTS.fair_after,
        order: Order = "lifo",
        max_connecting: int = 2,
        connect_timeout: float = 5.0,
        backoff_base: float = 0.05,
        backoff_cap: float = 10.0,
        on_down: OnDown = "wait",
        down_after: int = 3,
        max_idle: float | None = 600.0,
        max_lifetime: float | None = 1800.0,
        lifetime_jitter: float = DEFAULTS.lifetime_jitter,
        max_uses: int | None = None,
        check_after: float = DEFAULTS.check_after,
        keepalive: float | None = None,
        leak_after: float | None = None,
        nested: Nested = "allow",
        target_wait: float = DEFAULTS.target_wait,
        autosize: tuple[int, int] | None = None,
        histograms: bool = False,
        check: Callable[[T], Awaitable[bool] | bool] | bool = True,
        reset: Callable[[T], object] | bool = True,
        classify: Classify | None = None,
        name: str | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        options = PoolOptions(
            min_size=min_size, max_size=max_size, burst=burst, burst_after=burst_after,
            timeout=timeout, max_waiting=max_waiting, fairness=fairness, fair_after=fair_after,
            order=order, max_connecting=max_connecting, connect_timeout=connect_timeout,
            backoff_base=backoff_base, backoff_cap=backoff_cap, on_down=on_down,
            down_after=down_after, max_idle=max_idle, max_lifetime=max_lifetime,
            lifetime_jitter=lifetime_jitter, max_uses=max_uses, check_after=check_after,
            keepalive=keepalive, leak_after=leak_after, nested=nested, target_wait=target_wait,
            autosize=autosize, histograms=histograms,
        )  # fmt: skip
        found = async_hooks(connector, check=check, reset=reset, classify=classify)
        self._set_up(found, options, name, observer, clock, rng)

    @classmethod
    def from_options(
        cls,
        connector: AsyncConnector[T] | Callable[[], Awaitable[T]],
        options: PoolOptions,
        *,
        name: str | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> Self:
        """Make a pool from options made elsewhere, with the connector's own hooks."""
        pool = cls.__new__(cls)
        pool._set_up(async_hooks(connector), options, name, observer, clock, rng)
        return pool

    def _set_up(
        self,
        found: AsyncHooks[T],
        options: PoolOptions,
        name: str | None,
        observer: Observer | None,
        clock: Callable[[], float],
        rng: random.Random | None,
    ) -> None:
        name = name or f"async-pool-{next(_numbers)}"
        self._closing = False
        AsyncDriver.__init__(self, name, options, found, observer, clock, rng or random.Random())
        registry.enter(self, name)

    # Opening and closing.

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, wait: bool = False, timeout: float | None = None) -> None:
        """Begin to keep ``min_size`` connections; using the pool does so too.

        Args:
            wait: Return only when that many are there (warm-up).
            timeout: Seconds to wait at most; ``None``: the pool's ``timeout``.

        Raises:
            PoolTimeout: They were not there in time; the pool is open and goes on trying.
            ConnectFailed: The pool is down and nobody is to wait (``on_down="fail"``), or the peer
                can be reached but lets nobody in (``ConnectRejected``); likewise.
            BadConnector: The connector returned what can not be pooled; likewise.
            PoolClosed: The pool has been closed.
            WrongLoop: The pool belongs to another event loop.
        """
        self._enter()
        self._order(self._core.open)
        patience = self._core.options.timeout if timeout is None else timeout
        reached = not wait or await self._actor.until(self._is_warm, patience)
        if wait and (not reached or self._core.hopeless):
            raise self._order(self._core.too_cold)
        if self._is_closed():
            raise refusals.closed(self._core, Ticket(self.clock()), self.clock())

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse newcomers, but serve those who wait, until no lease is out.

        Args:
            timeout: Seconds to wait at most; ``None``: no limit.

        Returns:
            True when nothing is out any more; the pool still has to be closed.
        """
        self._enter()
        self._order(self._core.drain)
        return await self._actor.until(lambda: self._core.drained, timeout)

    def shut(self) -> None:
        """Begin to close, as ``close`` does, but wait for nothing.

        Who closes several pools shuts all of them first, so that they close at the same time.

        Raises:
            WrongLoop: The pool's loop runs elsewhere.
        """
        self._order(self._core.close)

    async def close(self, timeout: float = 10.0) -> CloseReport:
        """Refuse newcomers, fail those who wait, close every connection.

        Leases that are out are waited for, then left behind: their connections are closed as they
        come back. What hangs (a connect at once, a close when the time is up) is cancelled. A
        second call does nothing. A cancel ends the wait and whatever hangs; the pool is closed all
        the same.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            What was closed, and what was left behind.
        """
        began, before = self.clock(), self._closed_so_far()
        self._order(self._core.close)
        wait, self._closing = 0.0 if self._closing else timeout, True
        if not self._is_gone():
            self._enter()
            await self._finish(wait)
        now = self.clock()
        return CloseReport(
            closed=self._closed_so_far() - before,
            abandoned=self._core.size,
            seconds=now - began,
            holders=tuple(self._core.holders(now)),
        )

    async def _finish(self, timeout: float) -> None:
        actor = self._actor
        actor.cancel_tasks(closes=False)
        try:
            await actor.until(self._is_gone, timeout)
        finally:
            actor.cancel_tasks(closes=True)
        await actor.until(lambda: actor.idle, _GRACE)

    # Leasing, beside ``connection``, ``acquire`` and ``release``.

    def try_acquire(self) -> T | None:
        """Lease a connection if one can be had without waiting, to be given back by ``release``.

        Returns:
            The connection, or ``None``; one is then being opened if the pool may grow, or checked
            if that takes a round trip.

        Raises:
            PoolClosed: The pool has been closed.
            BadConnector: The connector returns what can not be pooled.
            WrongLoop: The pool belongs to another event loop.
        """
        entry = self.checkout_nowait() or self._slow.attempt(self._enter())
        return None if entry is None else self.stack.lend(entry)

    def detach(self, conn: T) -> T:
        """Take a leased connection out of the pool for good; its slot is free, closing it is yours.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        entry = self._leased_entry(conn)
        self._order(lambda now: self._core.detach(entry, now))
        return conn

    # For who shares its connections among callers that it never sees.

    def bind(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which becomes the pool's if it has none yet.

        Raises:
            WrongLoop: The pool belongs to another event loop.
        """
        return self._enter()

    def stay(self) -> None:
        """Refuse to go on while the pool's loop runs elsewhere.

        Raises:
            WrongLoop: It does.
        """
        self._stay()

    def grow(self) -> bool:
        """Have one more connection opened, if the pool may; True: one is being opened."""
        if self._loop is None:  # as in a forked child
            self._enter()
        return self._order(self._core.grow)

    def recover(self) -> None:
        """Take note that the server is well, a moment before its connection is there."""
        self._order(self._core.recover)

    def refusal(self, why: Literal["timeout", "saturated", "closed"], since: float) -> PoolError:
        """Count and make the error of a caller who has waited ``since`` (on the pool's clock)."""
        return self._order(lambda now: self._core.refusal(why, Ticket(since), now))

    def _leased_entry(self, conn: T) -> Entry[T]:
        entry = self.stack.reclaim(conn)
        if entry is None:
            leased = self._core.roster.leased()
            entry = next((each for each in leased if each.resource is conn), None)
        if entry is None:
            raise LeaseError(f"{conn!r} is not out on lease from pool {self.name!r}")
        return entry

    # Orders and questions.

    def resize(self, min_size: int, max_size: int) -> None:
        """Change the sizes; a surplus is closed as it becomes idle.

        Raises:
            ConfigurationError: The sizes are out of range; nothing changes.
        """
        self._order(lambda now: self._core.resize(min_size, max_size, now))

    def pause(self) -> None:
        """Hand nothing out and open nothing until ``resume``: callers wait, leases come back.

        For an operator who replaces the server: pause, change it, ``invalidate_all()``, resume. The
        deadlines of those who wait run on.

        Raises:
            PoolClosed: The pool is closed, or being drained.
        """
        self._order(self._core.pause)

    def resume(self) -> None:
        """Go on after ``pause``; without one, do nothing."""
        self._order(self._core.resume)

    def invalidate_all(self) -> None:
        """Hand none of the present connections out again; those on lease are closed on return."""
        self._order(self._core.invalidate_all)

    def stats(self) -> PoolStats:
        """Describe the pool at this instant."""
        return self._order(self._core.snapshot)

    def advise(self, share: float = SHARE, since: PoolStats | None = None) -> Advice | None:
        """Work out from live measurements how large the pool should be.

        Args:
            share: Share of the callers that should wait for ``target_wait`` at most.
            since: An earlier ``stats()``, to measure from there (a busy hour says more than a
                day); ``None``: from the first use on.

        Returns:
            The advice, whose ``str`` can be read, with the numbers that it used; ``None``: no lease
            has ended yet.
        """
        return self._order(lambda now: self._core.advise(since, share, now))

    def holders(self) -> list[Holder]:
        """Describe the leases that are out, longest held first."""
        return self._order(self._core.holders)

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._core.name

    def __repr__(self) -> str:
        core = self._core
        idle, size = len(core.stack.idle), core.size
        where = f"{core.phase}: {size}/{core.max_size}, {idle} idle"
        return f"<{type(self).__name__} {core.name!r} {where}>"

    def _is_closed(self) -> bool:
        return self._core.phase == "closed"

    def _is_warm(self) -> bool:
        return self._core.warm or self._core.hopeless or self._is_closed()

    def _is_gone(self) -> bool:
        return self._core.size == 0 and self._actor.idle

    def _closed_so_far(self) -> int:
        return sum(self._core.roster.closed.values())
