"""The pool for threads: its public face.

Strategy: what is fast is in ``fast.py`` (``connection``, ``acquire``, ``release``), what waits in
``driver_sync.py``; here are construction, opening and closing, and what an operator may ask or
order.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

from cenote.pool import refusals, registry
from cenote.pool.connector import Classify, Connector, Hooks, hooks
from cenote.pool.driver_sync import Driver
from cenote.pool.fast_path import Entry
from cenote.pool.keeper_sync import KEEPER
from cenote.pool.observer import Observer
from cenote.pool.options import DEFAULTS, Fairness, Nested, OnDown, Order, PoolOptions
from cenote.pool.sizing import SHARE, Advice
from cenote.pool.stats import CloseReport, Holder, PoolStats
from cenote.pool.uncopied import Uncopied

T = TypeVar("T")

_numbers = count(1)


class Pool(Uncopied, Driver[T]):
    """A pool of connections, or of anything else that is dear to open, for threads.

    Opens no connection and starts no thread until it is used or opened. Closed, it stays closed.
    Every method may be called from any thread; no callback runs under the pool's lock. After a fork
    the child begins with an empty pool, and the parent's leases are not valid in it.

    Args:
        connector: A ``Connector``, or a callable that returns a resource with ``close()``.
        check: Asked, by the caller's thread, before a connection that was idle for ``check_after``
            is handed out, so it should not block; ``True``: the connector's ``is_alive``;
            ``False``: none.
        reset: Run on release, by a thread of the pool, unless the connector's ``is_clean`` says it
            is needless; ``True``: the connector's ``reset``; ``False``: none.
        classify: Judges the error that a lease ended with; ``None``: the connector's. Without one,
            every error costs the connection.
        name: For messages and thread names; by default ``pool-N``.
        observer: Who is told what happens; must not block.
        clock: Monotonic seconds.
        rng: Draws jitter; by default a generator of the pool's own.

    The other arguments are the fields of ``PoolOptions`` and described there.

    Raises:
        ConfigurationError: An option is out of range, or the connector is none.
    """

    def __init__(
        self,
        connector: Connector[T] | Callable[[], T],
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
        check: Callable[[T], bool] | bool = True,
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
        found = hooks(connector, check=check, reset=reset, classify=classify)
        self._set_up(found, options, name, observer, clock, rng)

    @classmethod
    def from_options(
        cls,
        connector: Connector[T] | Callable[[], T],
        options: PoolOptions,
        *,
        name: str | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> Self:
        """Make a pool from options made elsewhere, with the connector's own hooks."""
        pool = cls.__new__(cls)
        pool._set_up(hooks(connector), options, name, observer, clock, rng)
        return pool

    def _set_up(
        self,
        found: Hooks[T],
        options: PoolOptions,
        name: str | None,
        observer: Observer | None,
        clock: Callable[[], float],
        rng: random.Random | None,
    ) -> None:
        name = name or f"pool-{next(_numbers)}"
        self._closing = False
        Driver.__init__(self, name, options, found, observer, clock, rng or random.Random())
        registry.enter(self, name)
        _POOLS.add(self)

    # Opening and closing.

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, wait: bool = False, timeout: float | None = None) -> None:
        """Begin to keep ``min_size`` connections; using the pool does so too.

        Args:
            wait: Block until that many are there (warm-up).
            timeout: Seconds to wait at most; ``None``: the pool's ``timeout``.

        Raises:
            PoolTimeout: They were not there in time; the pool is open and goes on trying.
            ConnectFailed: The pool is down and nobody is to wait (``on_down="fail"``), or the peer
                can be reached but lets nobody in (``ConnectRejected``); likewise.
            BadConnector: The connector returned what can not be pooled; likewise.
            PoolClosed: The pool has been closed.
        """
        self._order(self._core.open)
        patience = self._options.timeout if timeout is None else timeout
        if wait and (not self._await(self._is_warm, patience) or self._core.hopeless):
            raise self._order(self._core.too_cold)
        if self._core.phase == "closed":
            raise refusals.closed(self._core, None, self.clock())

    def _is_warm(self) -> bool:
        core = self._core
        return core.warm or core.hopeless or core.phase == "closed"

    def close(self, timeout: float = 10.0) -> CloseReport:
        """Refuse newcomers, fail those who wait, close every connection.

        Leases that are out are waited for, then left behind: their connections are closed as they
        come back. A second call does nothing.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            What was closed, and what was left behind.
        """
        began = self.clock()
        with self._lock:
            before = sum(self._core.roster.closed.values())
            wait = 0.0 if self._closing else timeout
            self._closing = True
        self._order(self._core.close)
        self._await(lambda: self._core.size == 0, wait)
        with self._lock:
            now = self.clock()
            return CloseReport(
                closed=sum(self._core.roster.closed.values()) - before,
                abandoned=self._core.size,
                seconds=now - began,
                holders=tuple(self._core.holders(now)),
            )

    def shut(self) -> None:
        """Begin to close, as ``close`` does, but wait for nothing.

        Who closes several pools shuts all of them first, so that they close at the same time.
        """
        self._order(self._core.close)

    def drain(self, timeout: float | None = None) -> bool:
        """Refuse newcomers, but serve those who wait, until no lease is out.

        Args:
            timeout: Seconds to wait at most; ``None``: no limit.

        Returns:
            True when nothing is out any more; the pool still has to be closed.
        """
        self._order(self._core.drain)
        return self._await(lambda: self._core.drained, timeout)

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or sys.is_finalizing():
            return
        self._dropped = True  # until this ends, the keeper can still get hold of it
        left = core.disown() if core.phase != "closed" else []
        if left:
            KEEPER.adopt(partial(let_go, self._hooks, left))
        KEEPER.poke()
        if not left:
            return
        warnings.warn(
            f"pool {self._name!r} was dropped with {len(left)} connections open: close it",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    # Leasing, beside ``connection``, ``acquire`` and ``release``.

    def try_acquire(self) -> T | None:
        """Lease a connection if one can be had without waiting, to be given back by ``release``.

        Returns:
            The connection, or ``None``; one is then being opened if the pool may grow.

        Raises:
            PoolClosed: The pool has been closed.
            BadConnector: The connector returns what can not be pooled.
        """
        entry = self.checkout_nowait() or self._try()
        return None if entry is None else self.stack.lend(entry)

    def checkout(self, deadline: float) -> Entry[T]:
        """Lease an entry, to be given back by ``checkin``; for layers built on the pool.

        Args:
            deadline: Absolute, on the pool's clock.

        Raises:
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed: Nothing was leased.
        """
        return self.checkout_nowait() or self._checkout_by(deadline)

    def detach(self, conn: T) -> T:
        """Take a leased connection out of the pool for good; its slot is free, closing it is yours.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self._order(lambda now: self._core.detach(self._leased_entry(conn), now))
        return conn

    def grow(self) -> bool:
        """Have one more connection opened, if the pool may; True: one is being opened."""
        return self._order(self._core.grow)

    def recover(self) -> None:
        """Take note that the server is well, a moment before its connection is there."""
        self._order(self._core.recover)

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

    def trace_leases(self, trace: Callable[[], object] | None) -> Callable[[], object] | None:
        """Have ``trace`` called when a lease begins, and its result kept; returns what was before.

        Args:
            trace: ``None``: no more.
        """
        return self.stack.keep_trails(trace)

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._name

    def __repr__(self) -> str:
        core = self._core
        idle, size = len(core.stack.idle), core.size
        state = f"{core.phase}: {size}/{core.max_size}, {idle} idle"
        return f"<{type(self).__name__} {self._name!r} {state}>"

    def _renew(self) -> None:
        """In a forked child: begin anew, let go of what was inherited."""
        inherited, phase = self._core.disown(), self._core.phase
        core = self._core
        Driver.__init__(
            self, self._name, self._options, self._hooks, core.observer, self.clock, core.rng
        )
        self._core.min_size, self._core.max_size = core.min_size, core.max_size
        if phase == "closed":
            self._core.close(self.clock())
        let_go(self._hooks, inherited)


_POOLS: weakref.WeakSet[Pool[Any]] = weakref.WeakSet()


def let_go(found: Hooks[T], resources: list[T]) -> None:
    """Close what has no pool any more, without a goodbye where the connector can."""
    end = found.abort or found.close
    for resource in resources:
        with contextlib.suppress(Exception):
            end(resource)


def _after_fork_in_child() -> None:
    KEEPER.renew()
    for pool in list(_POOLS):
        pool._renew()


os.register_at_fork(after_in_child=_after_fork_in_child)
