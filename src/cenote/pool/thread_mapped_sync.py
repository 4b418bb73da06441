"""A pool that gives each thread a connection of its own.

Strategy: a ``Pool`` underneath, from which each thread leases once and keeps what it got. Using it
again touches nothing that is shared: no lock, no queue. Between two uses the entry is *kept*: no
lease, in a place of the thread's own, where the pool's upkeep finds what is past its life, and what
is to be pinged. What a dead thread leaves behind goes back to the pool by the finalizer of its
thread-local binding, and serves the next thread. A forked child begins with no bindings, as it does
with an empty pool.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from types import EllipsisType, TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from cenote.errors import LeaseError
from cenote.pool.connector import Classify, Connector
from cenote.pool.fast import IDLE, KEPT
from cenote.pool.fast_path import Entry
from cenote.pool.observer import Observer
from cenote.pool.options import DEFAULTS, NO_LIMIT, OnDown
from cenote.pool.stats import CloseReport, Holder, PoolStats, Reason
from cenote.pool.sync import Pool
from cenote.pool.uncopied import Uncopied

T = TypeVar("T")


class Binding(Generic[T]):
    """What one thread holds; lives in its thread-local storage and dies with the thread.

    Attributes:
        spare: The thread's entry while no ``with`` block uses it. Whoever pops it has it: the
            thread itself, ``close``, or the pool's upkeep.
        entry: The same while a block uses it.
        blocks: How many ``with`` blocks, one in the other, are using it.
        inherited: How many the thread was in when it was forked; what they use is the parent's.
        error: What the pool is to be told of, once the last of them ends.
    """

    __slots__ = ("__weakref__", "blocks", "entry", "error", "inherited", "spare")

    def __init__(self) -> None:
        self.spare: deque[Entry[T]] = deque()
        self.entry: Entry[T] | None = None
        self.blocks = 0
        self.inherited = 0
        self.error: BaseException | None = None

    def take(self) -> Entry[T] | None:
        """Take the thread's entry for use; ``None``: it has none."""
        try:
            return self.spare.pop()
        except IndexError:
            return None

    def __del__(self) -> None:
        entry = self.take()
        if entry is not None and entry.state == KEPT:
            entry.state = IDLE
            entry.stack.idle.append(entry)
            entry.stack.poke()


Bindings: TypeAlias = weakref.WeakValueDictionary[int, Binding[T]]


def _living(bindings: Bindings[T]) -> list[Binding[T]]:
    """Return the bindings of the threads that live; takes no lock."""
    return [binding for ref in bindings.valuerefs() if (binding := ref()) is not None]


def _spares(bindings: Bindings[T]) -> list[deque[Entry[T]]]:
    """Return where the threads keep their entries; called under the pool's lock."""
    return [binding.spare for binding in _living(bindings)]


class ThreadMappedPool(Uncopied, Generic[T]):
    """One connection a thread, opened when the thread first needs it.

    Nested ``with`` blocks of one thread share its connection, and are one lease: it ends with the
    outermost, and the thread keeps the connection for the next. In ``stats()``, ``used`` counts
    the connections that a block uses, ``kept`` those among the idle that threads keep, and
    ``max_size`` is ``options.NO_LIMIT`` where there is none.

    Args:
        connector: A ``Connector``, or a callable that returns a resource with ``close()``.
        max_size: Threads that may have a connection at once; more wait for one to end or to
            ``relinquish``. ``None``: no limit.
        max_idle: Period after which connections that no thread keeps (their threads have ended, or
            ``keepalive`` took them back) and none took up are closed; ``None``: never.
        keepalive: A connection that its thread has not used for about so long is taken back and
            pinged, by the connector's ``ping``, which it must have; it is then there for the next
            thread that comes, that one or another. ``None``: off.
        leak_after: A ``with`` block that lasts longer is reported once. ``None``: off.

    The other arguments are those of ``Pool``; those that it does not have would change nothing here
    (see docs/options.md).

    Raises:
        ConfigurationError: An option is out of range, or the connector is none.
    """

    def __init__(
        self,
        connector: Connector[T] | Callable[[], T],
        *,
        max_size: int | None = None,
        timeout: float | None = 5.0,
        max_connecting: int = 8,
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
        histograms: bool = False,
        check: Callable[[T], bool] | bool = True,
        reset: Callable[[T], object] | bool = True,
        classify: Classify | None = None,
        name: str | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._pool: Pool[T] = Pool(
            connector, max_size=NO_LIMIT if max_size is None else max_size, timeout=timeout,
            max_waiting=None, max_connecting=max_connecting, connect_timeout=connect_timeout,
            backoff_base=backoff_base, backoff_cap=backoff_cap, on_down=on_down,
            down_after=down_after, max_idle=max_idle, max_lifetime=max_lifetime,
            lifetime_jitter=lifetime_jitter, max_uses=max_uses, check_after=check_after,
            keepalive=keepalive, leak_after=leak_after, histograms=histograms, check=check,
            reset=reset, classify=classify, name=name, observer=observer, clock=clock, rng=rng,
        )  # fmt: skip
        self._closing = False
        self._bind_anew()
        _POOLS.add(self)

    def connection(self, timeout: float | EllipsisType | None = ...) -> MappedLease[T]:
        """Use this thread's connection for a ``with`` block.

        An error that leaves the block is judged by ``classify``; one it does not call "ok" costs
        the connection, and the thread's next use opens another.

        Args:
            timeout: Seconds for waiting and connecting, where that is needed; ``None``: no limit;
                0: do not wait; by default the pool's ``timeout``.

        Raises:
            PoolTimeout, PoolClosed, ConnectFailed: On entering the block.
        """
        return MappedLease(self, timeout)

    def relinquish(self) -> None:
        """Give this thread's connection back, for another thread to have; without one, do nothing.

        Raises:
            LeaseError: A ``with`` block of this thread is using it.
        """
        binding = self._binding()
        if binding.blocks:
            raise LeaseError("a with block of this thread is using the connection")
        self._give_back(binding)

    def invalidate_all(self) -> None:
        """Use none of the present connections again; each thread opens another in its time.

        Those that no block uses are closed at once, the others when their blocks end.
        """
        self._pool.invalidate_all()

    def stats(self) -> PoolStats:
        """Describe the pool at this instant."""
        return self._pool.stats()

    def holders(self) -> list[Holder]:
        """Describe the threads in a ``with`` block, the longest of them first.

        A thread that keeps a connection and does not use it holds none: see ``stats().kept``.
        """
        return self._pool.holders()

    def trace_leases(self, trace: Callable[[], object] | None) -> Callable[[], object] | None:
        """As ``Pool.trace_leases``."""
        return self._pool.trace_leases(trace)

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._pool.name

    def close(self, timeout: float = 10.0) -> CloseReport:
        """Refuse newcomers and close every connection; a second call does nothing.

        ``with`` blocks that are under way are waited for, then left behind: their connections are
        closed when they end.

        Args:
            timeout: Seconds to wait at most.
        """
        self._closing = True
        for binding in _living(self._bindings):
            self._give_back(binding)
        return self._pool.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        core = self._pool._core
        limit = "" if core.max_size >= NO_LIMIT else f"/{core.max_size}"
        kept = sum(map(len, _spares(self._bindings)))
        state = f"{core.phase}: {core.size}{limit}, {kept} kept"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def _bind_anew(self) -> None:
        self._local = threading.local()
        self._bindings: Bindings[T] = weakref.WeakValueDictionary()
        self._pool._core.spares = partial(_spares, self._bindings)  # not of self: that would cycle

    def _renew(self) -> None:
        """In a forked child: let go of the parent's bindings. The pool underneath is renewed."""
        of_parent: Binding[T] | None = getattr(self._local, "binding", None)
        self._bind_anew()
        if of_parent is not None:
            self._binding().inherited = of_parent.blocks + of_parent.inherited

    def _begin(self, timeout: float | EllipsisType | None) -> T:
        binding = self._binding()
        if binding.entry is None:
            binding.entry = self._usable(binding.take()) or self._pool.checkout_within(timeout)
        binding.blocks += 1
        return binding.entry.resource

    def _end(self, error: BaseException | None) -> None:
        binding = self._binding()
        entry = binding.entry
        if entry is None:
            self._refuse_end(binding, error)
            return
        if error is not None and self._pool.verdict(error) != "ok":
            binding.error = error
        binding.blocks -= 1
        if not binding.blocks:
            binding.entry = None
            self._keep(binding, entry)

    def _refuse_end(self, binding: Binding[T], error: BaseException | None) -> None:
        if not binding.inherited:
            raise LeaseError("this lease has ended already, or began in another thread")
        binding.inherited -= 1
        if error is None:  # else that says more
            raise LeaseError("this lease belongs to the parent process: lease anew")

    def _keep(self, binding: Binding[T], entry: Entry[T]) -> None:
        error, binding.error = binding.error, None
        if error is not None or entry.reported or not self._pool.is_clean(entry.resource):
            self._pool.checkin(entry, error)
            return
        entry.stack.keep(entry, self._pool.clock())
        binding.spare.append(entry)
        if self._closing:  # looked at after the append: close pops whatever was there before
            self._give_back(binding)

    def _give_back(self, binding: Binding[T]) -> None:
        entry = binding.take()
        if entry is not None and entry.stack is self._pool.stack:
            self._pool.put_back(entry)

    def _usable(self, entry: Entry[T] | None) -> Entry[T] | None:
        stack, now = self._pool.stack, self._pool.clock()
        if entry is None or entry.stack is not stack:
            return None
        reason = self._fault(entry, now)
        if reason is not None:
            self._pool.put_back(entry, reason)
            return None
        stack.lease(entry, now)
        if stack.watched:
            stack.begun(entry, 0.0)
        return entry

    def _fault(self, entry: Entry[T], now: float) -> Reason | None:
        """Say why this thread may not use the entry again that it kept, if so."""
        stack = self._pool.stack
        if entry.generation != stack.generation:
            return "invalidated"
        if now >= entry.expires:
            return "lifetime"
        if entry.uses >= stack.max_uses:
            return "uses"
        checks = now - entry.idle_since >= stack.check_after
        return "check" if checks and not self._pool.is_alive(entry.resource) else None

    def _binding(self) -> Binding[T]:
        try:
            binding: Binding[T] = self._local.binding
        except AttributeError:
            binding = self._local.binding = Binding()
            self._bindings[id(binding)] = binding
        return binding


class MappedLease(Generic[T]):
    """This thread's connection, for one ``with`` block."""

    __slots__ = ("_pool", "_timeout")

    def __init__(self, pool: ThreadMappedPool[T], timeout: float | EllipsisType | None) -> None:
        self._pool = pool
        self._timeout = timeout

    def __enter__(self) -> T:
        return self._pool._begin(self._timeout)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool._end(error)


_POOLS: weakref.WeakSet[ThreadMappedPool[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in list(_POOLS):
        pool._renew()


os.register_at_fork(after_in_child=_after_fork_in_child)  # after the pools underneath
