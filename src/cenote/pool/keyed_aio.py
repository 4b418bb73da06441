"""Pools for many keys (hosts, databases, tenants) that share a number of connections, asyncio.

Strategy: an ``AsyncPool`` for each key, all in one event loop and with slots from one budget
(``budget.py``); which keys there are is in ``keyring.py``. Using an idle connection is one look
into a dictionary more than with a single pool, and suspends nobody either. Whom a pool's core stirs
up is settled at once, when the pool that was called has acted.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from cenote.errors import LeaseError, WrongLoop
from cenote.pool import options, registry
from cenote.pool.aio import AsyncPool
from cenote.pool.connector import AsyncConnector, AsyncHooks, Classify, async_hooks, check_maker
from cenote.pool.driver_aio import AsyncDriver
from cenote.pool.fast_path_aio import AsyncKeyedFront
from cenote.pool.keyed_advice import KeyedAdvice
from cenote.pool.keyring import Keyring
from cenote.pool.observer import Observer
from cenote.pool.options import DEFAULTS, Fairness, Nested, OnDown, Order, PoolOptions
from cenote.pool.stats import CloseReport, Holder, PoolStats
from cenote.pool.uncopied import Uncopied

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_numbers = count(1)


class AsyncKeyPool(AsyncPool[T]):
    """The pool of one key; shares loop, slots and options with the others."""

    def __init__(self, whole: AsyncKeyedPool[Any, T], key: Hashable, found: AsyncHooks[T]) -> None:
        self._closing = False
        self._join(whole, key, found)
        registry.enter(self, self.name)

    def _join(self, whole: AsyncKeyedPool[Any, T], key: Hashable, found: AsyncHooks[T]) -> None:
        self._keyring, self._home = whole.keyring, whole.home
        AsyncDriver.__init__(
            self, f"{whole.name}[{key}]", whole.options, found, whole.observer, whole.clock,
            whole.rng, budget=whole.keyring, key=key,
        )  # fmt: skip
        self._actor.afterwards = self._rouse

    def move(self, whole: AsyncKeyedPool[Any, T]) -> None:
        """In a forked child: let go of what was inherited, and begin anew."""
        core = self._core
        inherited = self._disown()
        self._join(whole, core.key, self._hooks)
        whole.keyring.add(core.key, self, self._core, self.clock())
        if whole.keyring.phase != "ready":
            self._core.close(self.clock())
        self._let_go(inherited)

    def begin_drain(self) -> None:
        """Drain, without waiting."""
        self._order(self._core.drain)

    def settle(self) -> None:
        """Have the core settle, and do what it decides."""
        self._order(self._core.settle)

    def has_leased(self, conn: T) -> bool:
        """Say whether a connection is out on lease from here."""
        entry = self.stack.lent.get(id(conn))
        leased = self._core.roster.leased()
        return entry in leased or any(each.resource is conn for each in leased)

    def _rouse(self) -> None:
        if self._keyring.stirred:
            self._keyring.rouse(AsyncKeyPool.settle)

    def _enter(self) -> asyncio.AbstractEventLoop:
        self._home.enter(self._running(), self._wrong_loop)
        return super()._enter()

    def _renew(self) -> None:
        """In a forked child the keyed pool moves the pools of all its keys."""


class Home:
    """The event loop that the pools of all keys belong to."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, running: asyncio.AbstractEventLoop, wrong: Callable[[str], WrongLoop]) -> None:
        """Belong to the loop that is used first; refuse every other."""
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise wrong(f"used in {running!r}: make one pool for each event loop")


class AsyncKeyedPool(Uncopied, AsyncKeyedFront[K, T], KeyedAdvice[K]):
    """Pools of connections to many keys (hosts, databases, tenants), for asyncio.

    Each key has at most ``max_per_key`` connections, all keys together ``max_total``. To make room
    for a key the idle connection that was used longest ago is closed, whosever it is. If none is
    idle the keys that want one are served in turn: one that has waited for ``turn_after`` and has
    none (or far fewer) gets the slot of the next connection that comes back. A key that has no
    connection any more is forgotten.

    Opens no connection until it is used. Closed, it stays closed. It belongs to the event loop that
    it is first used in, all keys together. After a fork the child begins with an empty pool, for a
    loop of its own, and the parent's leases are not valid in it.

    Args:
        connector_for_key: Returns the ``AsyncConnector`` of a key, or a callable that returns an
            awaitable resource with ``close()``; called once when a key becomes known (again), by
            whoever asks.
        max_total: Hard cap on the slots of all keys together; 1 or more.
        max_per_key: Hard cap on the slots of each key; ``None``: only the total counts.
        turn_after: Seconds after which a waiting key that has no slot gets one of a busy key.
        max_waiting: Callers that may wait at once for each key.
        max_connecting: Connections being opened at once for each key.
        name: For messages; that of a key's pool is ``name[key]``.

    The other arguments are those of ``AsyncPool``, and hold for each key.

    Raises:
        ConfigurationError: An option is out of range.
    """

    def __init__(
        self,
        connector_for_key: Callable[[K], AsyncConnector[T] | Callable[[], Awaitable[T]]],
        *,
        max_total: int = 100,
        max_per_key: int | None = 10,
        turn_after: float = 0.1,
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
        histograms: bool = False,
        check: Callable[[T], Awaitable[bool] | bool] | bool = True,
        reset: Callable[[T], object] | bool = True,
        classify: Classify | None = None,
        name: str | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        options.check_shares(max_total, turn_after)
        check_maker(connector_for_key)
        self.options = PoolOptions(
            max_size=options.per_key(max_per_key), timeout=timeout, max_waiting=max_waiting,
            fairness=fairness, fair_after=fair_after, order=order, max_connecting=max_connecting,
            connect_timeout=connect_timeout, backoff_base=backoff_base, backoff_cap=backoff_cap,
            on_down=on_down, down_after=down_after, max_idle=max_idle, max_lifetime=max_lifetime,
            lifetime_jitter=lifetime_jitter, max_uses=max_uses, check_after=check_after,
            keepalive=keepalive, leak_after=leak_after, nested=nested, target_wait=target_wait,
            histograms=histograms,
        )  # fmt: skip
        self._connector_for_key = connector_for_key
        self._hooks_of = partial(async_hooks, check=check, reset=reset, classify=classify)
        self.name = name or f"async-keyed-pool-{next(_numbers)}"
        self.observer = observer
        self.clock = clock
        self.rng = rng or random.Random()
        self._begin(max_total, turn_after)
        _POOLS.add(self)

    def _begin(self, max_total: int, turn_after: float) -> None:
        self.home = Home()
        self.keyring: Keyring[K, AsyncKeyPool[T]] = Keyring(self.name, max_total, turn_after)
        super().__init__(self.keyring.fronts, self.keyring.lent)

    def front(self, key: K) -> AsyncKeyPool[T]:
        """Find or make the pool of a key.

        Raises:
            PoolClosed: The keyed pool is closed, or being drained.
        """
        self._expect_open()
        known = self.keyring.find(key)
        if known is not None:
            return known
        made = AsyncKeyPool(self, key, self._hooks_of(self._connector_for_key(key)))
        return self.keyring.add(key, made, made._core, self.clock())

    def _expect_open(self) -> None:
        if self.keyring.phase != "ready":
            raise self.keyring.closed(self.clock())

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

    async def open(self) -> None:
        """Make sure that the pool may be used; a key's connections are opened when it is.

        Raises:
            PoolClosed: The pool has been closed.
        """
        self._expect_open()

    async def close(self, timeout: float = 10.0) -> CloseReport:
        """Refuse newcomers, fail those who wait, close every connection of every key.

        Leases that are out are waited for, then left behind: their connections are closed as they
        come back. A second call does nothing.

        Args:
            timeout: Seconds to wait at most, for all keys together.

        Returns:
            What was closed, and what was left behind.
        """
        began, before = self.clock(), self._closed_so_far()
        pools = self._end("closed")
        for pool in pools:
            pool.shut()
        reports = await asyncio.gather(*(pool.close(timeout) for pool in pools))
        return CloseReport.of_all(
            reports, closed=self._closed_so_far() - before, seconds=self.clock() - began
        )

    def _closed_so_far(self) -> int:
        return sum(self.stats().closed.values())

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse newcomers, but serve those who wait, until no lease is out.

        Args:
            timeout: Seconds to wait at most; ``None``: no limit.

        Returns:
            True when nothing is out any more; the pool still has to be closed.
        """
        pools = self._end("draining")
        for pool in pools:
            pool.begin_drain()
        return all(await asyncio.gather(*(pool.drain(timeout) for pool in pools)))

    def _end(self, phase: Literal["draining", "closed"]) -> list[AsyncKeyPool[T]]:
        if self.keyring.phase != "closed":
            self.keyring.phase = phase
        return self.keyring.known()

    def __del__(self) -> None:
        keyring: Keyring[K, AsyncKeyPool[T]] | None = getattr(self, "keyring", None)
        if keyring is not None:
            keyring.dissolve()  # then each key's pool says what was left open

    # Leasing, beside ``connection``, ``acquire`` and ``release``.

    def try_acquire(self, key: K) -> T | None:
        """Lease a connection if one can be had without waiting, to be given back by ``release``.

        Returns:
            The connection, or ``None``; one is then being opened if the key may have more.

        Raises:
            PoolClosed: The pool has been closed.
        """
        return self.front(key).try_acquire()

    def detach(self, conn: T) -> T:
        """Take a leased connection out of the pool for good; its slot is free, closing it is yours.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        for pool in self._present().values():
            if pool.has_leased(conn):
                return pool.detach(conn)
        raise LeaseError(f"{conn!r} is not out on lease from pool {self.name!r}")

    # Orders and questions.

    def resize(self, max_total: int, max_per_key: int | None) -> None:
        """Change the sizes; a surplus is closed as it becomes idle.

        Raises:
            ConfigurationError: The sizes are out of range; nothing changes.
        """
        options.check_shares(max_total, self.keyring.turn_after)
        most = options.per_key(max_per_key)
        self.options = replace(self.options, max_size=most)
        self.keyring.resize(max_total, self.clock())
        for pool in self.keyring.known():
            pool.resize(0, most)

    def pause(self) -> None:
        """Hand nothing out and open nothing for any key until ``resume``; see ``AsyncPool.pause``.

        Raises:
            PoolClosed: The pool is closed, or being drained.
        """
        self._expect_open()
        self.keyring.paused = True
        for pool in self.keyring.known():
            pool.pause()

    def resume(self) -> None:
        """Go on after ``pause``; without one, do nothing."""
        self.keyring.paused = False
        for pool in self.keyring.known():
            pool.resume()

    def invalidate_all(self, key: K | None = None) -> None:
        """Hand none of the present connections out again; those on lease are closed on return.

        Args:
            key: Whose; ``None``: every key's.
        """
        for each, pool in self._present().items():
            if key is None or each == key:
                pool.invalidate_all()

    def keys(self) -> list[K]:
        """Return the keys that have, or await, a connection."""
        return list(self.fronts)

    def stats(self) -> PoolStats:
        """Describe all keys together at this instant, those since forgotten too."""
        return self.keyring.stats(self.clock())

    def stats_by_key(self) -> dict[K, PoolStats]:
        """Describe each key that has, or awaits, a connection."""
        return {key: pool.stats() for key, pool in self._present().items()}

    def holders(self) -> list[Holder]:
        """Describe the leases that are out, longest held first."""
        every = (holder for pool in self._present().values() for holder in pool.holders())
        return sorted(every, key=lambda holder: -holder.seconds)

    def trace_leases(self, trace: Callable[[], object] | None) -> Callable[[], object] | None:
        """As ``AsyncPool.trace_leases``, for all keys, those to come included."""
        before, self.keyring.trace = self.keyring.trace, trace
        for pool in self.keyring.known():
            pool.trace_leases(trace)
        return before

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.keyring}>"

    def _present(self) -> dict[K, AsyncKeyPool[T]]:
        return dict(self.keyring.fronts)

    def _renew(self) -> None:
        """In a forked child: begin anew, let go of what was inherited."""
        old = self.keyring
        self._begin(old.limit, old.turn_after)
        self.keyring.phase = old.phase
        for pool in old.known():
            pool.move(self)


_POOLS: weakref.WeakSet[AsyncKeyedPool[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_POOLS):
        pool._renew()


os.register_at_fork(after_in_child=_after_fork_in_child)
