"""The uncontended path of a pool for threads: what its callers touch.

Strategy: ``fast`` does the work, without a lock; this puts a face on it. Whatever ``fast`` does not
do (nothing is idle, somebody waits, a connection is past its time), the driver's slow half does.

The same file is compiled, unchanged, as ``cenote.pool._fast_sync_c`` (types in
``_fast_sync_c.pxd``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import EllipsisType, GenericAlias, TracebackType
from typing import TYPE_CHECKING, TypeVar

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

# What ``IdleStack.give`` answers.
DONE = 0
SETTLE = 1


class Root:
    """The extension type that ``Generic`` can be added to."""

    __slots__ = ()


class Front(Root, Generic[T]):
    """The fast half of a thread pool's public face; ``Pool`` adds the slow half.

    Attributes:
        stack: The idle entries; replaced in a forked child.
        clock: Monotonic seconds.
        instruments: Asks the clock, as fast as can be.
    """

    __slots__ = ("__weakref__", "clock", "instruments", "stack")

    def __init__(self, stack: fast_path.IdleStack[T], clock: Callable[[], float]) -> None:
        self.stack = stack
        self.clock = clock
        self.instruments = instruments.Instruments(clock)

    def connection(self, timeout: float | EllipsisType | None = ...) -> Lease[T]:
        """Lease a connection for a ``with`` block.

        An error that leaves the block is judged by ``classify``; one it does not call "ok" costs
        the connection, never the slot.

        Args:
            timeout: Seconds for queueing, connecting and checking together; ``None``: no limit; 0:
                do not wait; by default the pool's ``timeout``.

        Raises:
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed: On entering the block.
        """
        lease: Lease[T] = Lease.__new__(Lease)
        lease._bind(self, timeout)
        return lease

    def acquire(self, timeout: float | EllipsisType | None = ...) -> T:
        """Lease a connection, to be given back by ``release``; see ``connection`` (safer).

        A resource that can be weakly referenced and is dropped without ``release`` frees its slot
        when it is garbage-collected. What is held is the bare connection, which does not tell one
        lease from the next: see ``release``.
        """
        entry = self.stack.take(self.instruments.now(), self.instruments.who())
        if entry is None:
            entry = self._checkout(timeout)
        return self.stack.lend(entry)

    def release(self, conn: T) -> None:
        """Give back a connection from ``acquire``. Never blocks.

        A second release is refused only while nobody else has the connection: once it is leased
        anew, it can not be told from a release by its new owner. With ``connection`` this can not
        happen.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        entry = self.stack.reclaim(conn)
        if entry is None:
            raise LeaseError(
                f"{conn!r} is not out on lease from this pool: released twice, or foreign"
            )
        answer = self.stack.give(entry, self.instruments.now())
        if answer != DONE:
            self.conclude(entry, answer)

    def checkout_nowait(self) -> fast_path.Entry[T] | None:
        """Lease an idle entry if that takes no lock and no check; else ``None``."""
        return self.stack.take(self.instruments.now(), self.instruments.who())

    def checkin(self, entry: fast_path.Entry[T], error: BaseException | None = None) -> None:
        """Give back an entry from ``checkout``; ``error``: what its use ended with. Never blocks.

        Raises:
            LeaseError: The entry is not out on lease from this pool; nothing changes.
        """
        if error is not None:
            self._checkin(entry, error)
            return
        answer = self.stack.give(entry, self.instruments.now())
        if answer != DONE:
            self.conclude(entry, answer)

    def conclude(self, entry: fast_path.Entry[T], answer: int) -> None:
        """Go on from ``give``; after SETTLE the entry may be another's already."""
        if answer == SETTLE:
            self._settle()
        else:
            self._checkin(entry, None)

    def _checkout(self, timeout: float | EllipsisType | None) -> fast_path.Entry[T]:
        raise NotImplementedError

    def _settle(self) -> None:
        raise NotImplementedError

    def _checkin(self, entry: fast_path.Entry[T], error: BaseException | None) -> None:
        raise NotImplementedError


class Lease(Root, Generic[T]):
    """One connection for one ``with`` block. Dropped without leaving it, it frees its slot."""

    __slots__ = ("__weakref__", "_entry", "_front", "_timeout")

    def _bind(self, front: Front[T], timeout: float | EllipsisType | None) -> None:
        """Set the lease up; unlike ``__init__`` a plain call when compiled."""
        self._front = front
        self._timeout = timeout
        self._entry: fast_path.Entry[T] | None = None

    def __enter__(self) -> T:
        if self._entry is not None:
            raise LeaseError("this lease is in use: call connection() for each with block")
        front = self._front
        entry = front.stack.take(front.instruments.now(), front.instruments.who())
        if entry is None:
            entry = front._checkout(self._timeout)
        self._entry = entry
        return self._entry.resource  # compiled, unlike the local variable it has a type

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entry = self._entry
        if entry is None:
            raise LeaseError("this lease has ended already")
        self._entry = None
        front = self._front
        if error is not None:
            front._checkin(entry, error)
            return
        answer = front.stack.give(entry, front.instruments.now())
        if answer != DONE:
            front.conclude(entry, answer)


entering.hasten(Lease)


class KeyedFront(Root, Generic[K, T]):
    """The fast half of a keyed thread pool's public face; ``KeyedPool`` adds the slow half.

    Attributes:
        fronts: The front of each key that has a pool at present; replaced in a forked child.
        lent: The entries that were lent bare, whichever key's.
    """

    __slots__ = ("__weakref__", "fronts", "lent")

    def __init__(self, fronts: Mapping[K, Front[T]], lent: dict[int, fast_path.Entry[T]]) -> None:
        self.fronts = fronts
        self.lent = lent

    def connection(self, key: K, timeout: float | EllipsisType | None = ...) -> Lease[T]:
        """Lease a connection to ``key`` for a ``with`` block; see ``Pool.connection``.

        Args:
            key: What to connect to; ``connector_for_key`` says how.
            timeout: Seconds for queueing, connecting and checking together; ``None``: no limit; 0:
                do not wait; by default the pool's ``timeout``.

        Raises:
            PoolClosed: The pool has been closed.
            PoolTimeout, PoolSaturated, PoolClosed, ConnectFailed: On entering the block.
        """
        front = self.fronts.get(key)
        if front is None:
            front = self.front(key)
        lease: Lease[T] = Lease.__new__(Lease)
        lease._bind(front, timeout)
        return lease

    def acquire(self, key: K, timeout: float | EllipsisType | None = ...) -> T:
        """Lease a connection to ``key``, to be given back by ``release``; see ``Pool.acquire``."""
        front = self.fronts.get(key)
        if front is None:
            front = self.front(key)
        return front.acquire(timeout)

    def release(self, conn: T) -> None:
        """Give back a connection from ``acquire``, whichever key's. Never blocks.

        Raises:
            LeaseError: It is not out on lease from this pool; nothing changes.
        """
        self.front_of(conn).release(conn)

    def front_of(self, conn: T) -> Front[T]:
        """Find the front that lent a connection.

        Raises:
            LeaseError: It is not out on lease from this pool.
        """
        entry = self.lent.get(id(conn))
        front = None if entry is None else self.fronts.get(entry.stack.key)
        if front is None:
            raise LeaseError(
                f"{conn!r} is not out on lease from this pool: released twice, or foreign"
            )
        return front

    def front(self, key: K) -> Front[T]:
        """Find or make the front of a key, the slow way."""
        raise NotImplementedError
