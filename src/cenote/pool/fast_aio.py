"""The uncontended path of an asyncio pool: lease an idle entry, give it back, never suspended.

Strategy: ``fast`` does the work; this adds what asyncio needs around it. ``async with`` on a pool
with something idle runs from beginning to end without a suspension, so nothing can cancel it
half-way.

An asyncio pool has no lock, so its loop is verified before an entry is taken: it is running, and
in this thread. That is a third of the price of ``get_running_loop``, which asks for the process id
each time (CPython 3.11). A loop that is in the middle of a task is running; it is asked only when
there is no task.

The same file is compiled, unchanged, as ``cenote.pool._fast_aio_c`` (types in ``_fast_aio_c.pxd``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import CoroutineType, EllipsisType, GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cenote.errors import LeaseError
from cenote.pool import entering, instruments

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

if TYPE_CHECKING:
    from typing import Generic

    from cenote.pool import fast_path
else:

    class _Subscriptable:
        """Stands in for ``typing.Generic``, which an extension type can not inherit."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    Generic = {T: _Subscriptable, (K, T): _Subscriptable}

# What ``IdleStack.give`` answers, beside "done".
SETTLE = 1
REFUSED = 2


class Root:
    """The extension type that ``Generic`` can be added to."""

    __slots__ = ()


# For type checkers what `async def __aexit__` would return: an exit stack asks for that.
DONE = cast("CoroutineType[Any, Any, None]", entering.Done())


class AsyncFront(Root, Generic[T]):
    """The fast half of an asyncio pool's public face; ``AsyncPool`` adds the slow half.

    Attributes:
        stack: The idle entries.
        clock: Monotonic seconds.
        instruments: Asks the clock, as fast as can be.
        thread: The thread in which the pool's loop runs; 0 until the pool is first used.
        is_running: The pool's loop's.
    """

    __slots__ = ("__weakref__", "clock", "instruments", "is_running", "stack", "thread")

    def __init__(self, stack: fast_path.IdleStack[T], clock: Callable[[], float]) -> None:
        self.stack = stack
        self.clock = clock
        self.instruments = instruments.Instruments(clock)
        self.thread = 0
        self.is_running: Callable[[], bool] = bool

    def connection(self, timeout: float | EllipsisType | None = ...) -> AsyncLease[T]:
        """Lease a connection for an ``async with`` block.

        An error that leaves the block is judged by ``classify``; one it does not call "ok" costs
        the connection, never the slot. A cancel that comes while waiting loses nothing: what was
        granted already goes to the next in line. Leaving the block never suspends.

        Args:
            timeout: Seconds for queueing, connecting and checking together; ``None``: no limit; 0:
                do not wait; by default the pool's ``timeout``.

        Raises:
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed, WrongLoop: On entering the block.
        """
        lease: AsyncLease[T] = AsyncLease.__new__(AsyncLease)
        lease._bind(self, timeout)
        return lease

    async def acquire(self, timeout: float | EllipsisType | None = ...) -> T:
        """Lease a connection, to be given back by ``release``; see ``connection`` (safer).

        A resource that can be weakly referenced and is dropped without ``release`` frees its slot
        when it is garbage-collected. What is held is the bare connection, which does not tell one
        lease from the next: see ``release``.
        """
        entry = self._take()
        if entry is None:
            entry = await self._checkout(timeout)
        return self.stack.lend(entry)

    def release(self, conn: T) -> None:
        """Give back a connection from ``acquire``. A plain function: nothing can interrupt it.

        A second release is refused only while nobody else has the connection: once it is leased
        anew, it can not be told from a release by its new owner. With ``connection`` this can not
        happen.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        entry = self.stack.reclaim(conn)
        if entry is None:
            raise LeaseError(f"{conn!r} is not on lease from this pool: released twice, or foreign")
        self._give(entry, None)

    async def checkout(self, deadline: float) -> fast_path.Entry[T]:
        """Lease an entry by ``deadline`` (absolute, on the pool's clock); see ``checkin``.

        Raises:
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed, WrongLoop: Nothing was leased.
        """
        entry = self._take()
        if entry is None:
            entry = await self._checkout(max(0.0, deadline - self.clock()))
        return entry

    def checkout_nowait(self) -> fast_path.Entry[T] | None:
        """Lease an idle entry if that takes no wait and no check, in the pool's loop; else None."""
        return self._take()

    def checkin(self, entry: fast_path.Entry[T], error: BaseException | None = None) -> None:
        """Give back an entry from ``checkout``; ``error``: what its use ended with. Never suspends.

        Raises:
            LeaseError: The entry is not out on lease from this pool; nothing changes.
        """
        self._give(entry, error)

    def at_home(self) -> bool:
        """Tell whether the pool's loop runs, in this thread."""
        if self.thread != self.instruments.thread():
            return False
        return self.instruments.task() is not None or self.is_running()

    def _take(self) -> fast_path.Entry[T] | None:
        if self.thread != self.instruments.thread():
            return None
        task = self.instruments.task()
        if task is None and not self.is_running():
            return None
        return self.stack.take(self.instruments.now(), task)

    def _give(self, entry: fast_path.Entry[T], error: BaseException | None) -> None:
        holder = entry.holder
        entry.holder = None  # an idle connection would keep its last task alive
        answer = REFUSED if error is not None else self.stack.give(entry, self.instruments.now())
        if answer == SETTLE:
            self._settle()
        elif answer == REFUSED:
            entry.holder = holder
            self._checkin(entry, error)

    async def _checkout(self, timeout: float | EllipsisType | None) -> fast_path.Entry[T]:
        raise NotImplementedError

    def _settle(self) -> None:
        raise NotImplementedError

    def _checkin(self, entry: fast_path.Entry[T], error: BaseException | None) -> None:
        raise NotImplementedError


class AsyncLease(Root, Generic[T]):
    """One connection for one ``async with`` block. Dropping it without leaving frees its slot."""

    __slots__ = ("_entry", "_front", "_timeout")

    def _bind(self, front: AsyncFront[T], timeout: float | EllipsisType | None) -> None:
        """Set the lease up; unlike ``__init__`` a plain call when compiled."""
        self._front = front
        self._timeout = timeout
        self._entry: fast_path.Entry[T] | None = None

    def begin(self) -> object:
        """Take what is idle, for ``entering``; NotImplemented: ``__aenter__`` has to see to it."""
        if self._entry is not None:
            return NotImplemented
        self._entry = self._front._take()
        return NotImplemented if self._entry is None else self._entry.resource

    async def __aenter__(self) -> T:
        if self._entry is not None:
            raise LeaseError("this lease is in use: call connection() for each async with block")
        entry = self._front._take()
        if entry is None:
            entry = await self._front._checkout(self._timeout)
        self._entry = entry
        return entry.resource

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> CoroutineType[Any, Any, None]:
        entry = self._entry
        if entry is None:
            raise LeaseError("this lease has ended already")
        self._entry = None
        self._front._give(entry, error)
        return DONE


entering.hasten_async(AsyncLease)


class AsyncKeyedFront(Root, Generic[K, T]):
    """The fast half of a keyed asyncio pool's face; ``AsyncKeyedPool`` adds the slow half.

    Attributes:
        fronts: The front of each key that has a pool at present; replaced in a forked child.
        lent: The entries that were lent bare, whichever key's.
    """

    __slots__ = ("__weakref__", "fronts", "lent")

    def __init__(
        self, fronts: Mapping[K, AsyncFront[T]], lent: dict[int, fast_path.Entry[T]]
    ) -> None:
        self.fronts = fronts
        self.lent = lent

    def connection(self, key: K, timeout: float | EllipsisType | None = ...) -> AsyncLease[T]:
        """Lease a connection to ``key`` for an ``async with`` block; see ``AsyncPool.connection``.

        Args:
            key: What to connect to; ``connector_for_key`` says how.
            timeout: Seconds for queueing, connecting and checking together; ``None``: no limit; 0:
                do not wait; by default the pool's ``timeout``.

        Raises:
            PoolClosed: The pool has been closed.
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed, WrongLoop: On entering the block.
        """
        front = self.fronts.get(key)
        if front is None:
            front = self.front(key)
        lease: AsyncLease[T] = AsyncLease.__new__(AsyncLease)
        lease._bind(front, timeout)
        return lease

    async def acquire(self, key: K, timeout: float | EllipsisType | None = ...) -> T:
        """Lease a connection to ``key``, to be given back by ``release``; see ``AsyncPool``."""
        return await (self.fronts.get(key) or self.front(key)).acquire(timeout)

    def release(self, conn: T) -> None:
        """Give back a connection from ``acquire``, whichever key's. A plain function.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self.front_of(conn).release(conn)

    def front_of(self, conn: T) -> AsyncFront[T]:
        """Find the front that lent a connection.

        Raises:
            LeaseError: It is not out on lease from this pool.
        """
        entry = self.lent.get(id(conn))
        front = None if entry is None else self.fronts.get(entry.stack.key)
        if front is None:
            raise LeaseError(f"{conn!r} is not on lease from this pool: released twice, or foreign")
        return front

    def front(self, key: K) -> AsyncFront[T]:
        """Find or make the front of a key, the slow way."""
        raise NotImplementedError
