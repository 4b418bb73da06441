"""The uncontended path of a pool: take an idle entry, give it back. No lock.

Strategy: one atomic pop and one append on a deque, everything else is comparisons on values that
only change under the pool's lock:

* ``barrier``: from this time on newcomers may not take (the head waiter is too old; -inf: the pool
  is closed, or strict and somebody waits; +inf: nobody waits).
* ``alert``: from this time on whoever gives must have the core settle matters. It is read *after*
  the append, and a waiter looks at ``idle`` *after* it has set ``alert``, so one of the two always
  sees the other: no wake-up is lost.
* An entry that is stale in any way is put back where it was, and the caller takes the slow path.

An entry is mutated by its owner only, so its counts need no lock: ``uses`` counts its leases, and
the pool's totals are sums over entries.

Lost leases: a leased entry is referenced by its lease alone. When that is garbage-collected, the
entry's finalizer puts it (alive again) into ``lost`` and calls ``poke``. For ``lend``, where the
user holds the bare resource, the entry lets go of it and keeps a weak reference made once at birth.
Finalizers run anywhere, maybe under the pool's lock: they append, poke, and never block.

The same file is compiled, unchanged, as ``cenote.pool._fast_c`` (types in ``_fast_c.pxd``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import CodeType, EllipsisType, GenericAlias, TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

from cenote.errors import LeaseError
from cenote.pool.loans import LoanRef, loan_ref

T = TypeVar("T")

if TYPE_CHECKING:
    from typing import Generic
else:

    class _Subscriptable:
        """Stands in for ``typing.Generic``, which an extension type can not inherit."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    Generic = {T: _Subscriptable}

# An entry's states. CLOSING and later: its slot no longer depends on anybody holding it.
IDLE = 0
LEASED = 1
RESERVED = 2
RESETTING = 3
CLOSING = 4
CLOSED = 5
DETACHED = 6
FOREIGN = 7

# What ``give`` answers.
DONE = 0
SETTLE = 1
REFUSED = 2

NEVER = float("inf")
ALWAYS = float("-inf")


def _nothing() -> None:
    """The poke of a stack that no driver listens to."""


class Watch(Protocol):
    """Sees every lease begin; there is one only if leaks, an observer or histograms want it."""

    def taken(self, entry: Entry[T], waited: float) -> None:
        """An entry was leased; runs in the caller, without the lock."""


class Root:
    """The extension type that ``Generic`` can be added to."""

    __slots__ = ()


class Entry(Root, Generic[T]):
    """A pooled resource with all that the pool knows of it.

    Attributes:
        resource: The resource; ``None`` while it is lent and weakly referenced.
        uses: How many leases it has served, the present one included.
    """

    __slots__ = (
        "__weakref__", "born", "expires", "generation", "holder", "idle_since", "key",
        "leased_at", "ping_after", "ref", "replacing", "reported", "resource", "serial",
        "site", "stack", "state", "uses",
    )  # fmt: skip

    def __init__(
        self, stack: IdleStack[T], resource: T, serial: int, now: float, expires: float
    ) -> None:
        self.stack = stack
        self.resource: T = resource
        self.key = id(resource)
        self.serial = serial
        self.state = RESERVED
        self.uses = 0
        self.generation = stack.generation
        self.born = now
        self.expires = expires
        self.idle_since = now
        self.leased_at = now
        self.ping_after = NEVER
        self.holder: object = None
        self.site: tuple[CodeType, int] | None = None
        self.reported = False
        self.replacing = False
        self.ref: LoanRef[T] | None = loan_ref(resource, stack.mourn)

    def __del__(self) -> None:
        if self.state < CLOSING:
            self.stack.lost.append(self)
            self.stack.poke()

    def __repr__(self) -> str:
        return f"<Entry #{self.serial} of {self.resource!r}, {self.uses} uses>"


class IdleStack(Root, Generic[T]):
    """The idle entries of a pool and the values that guard them; see the module's strategy.

    ``take``, ``give``, ``lend`` and ``reclaim`` are safe from any thread without a lock. All
    attributes but ``low`` are written under the pool's lock only.

    Attributes:
        low: The fewest entries that were idle at once since the last pruning.
        who: Names the present thread or task, for ``holders()``.
        is_clean: Says whether a resource needs no reset; ``None``: none ever does.
        watch: Sees every lease begin.
        audited: Every lease must end in the core, which keeps a record of it.
    """

    __slots__ = (
        "__weakref__", "_pop", "_push", "alert", "audited", "barrier", "check_after", "fifo",
        "generation", "idle", "is_clean", "lent", "lost", "low", "max_uses", "mourned", "poke",
        "watch", "who",
    )  # fmt: skip

    def __init__(
        self,
        *,
        fifo: bool,
        check_after: float,
        max_uses: float,
        who: Callable[[], object],
        is_clean: Callable[[T], bool] | None,
    ) -> None:
        self.idle: deque[Entry[T]] = deque()
        self.lost: deque[Entry[T]] = deque()
        self.mourned: deque[LoanRef[T]] = deque()
        self.lent: dict[int, Entry[T]] = {}
        self.barrier = ALWAYS
        self.alert = ALWAYS
        self.generation = 0
        self.low = 0
        self.fifo = fifo
        self._pop = self.idle.popleft if fifo else self.idle.pop
        self._push = self.idle.append
        self.check_after = check_after
        self.max_uses = max_uses
        self.who = who
        self.is_clean = is_clean
        self.watch: Watch | None = None
        self.audited = False
        self.poke: Callable[[], object] = _nothing

    def take(self, now: float) -> Entry[T] | None:
        """Lease an idle entry that is good to go; ``None``: ask the core."""
        if now >= self.barrier or not self.idle:
            return None
        try:
            entry = self._pop()
        except IndexError:
            return None
        if (
            entry.generation != self.generation
            or now >= entry.expires
            or now - entry.idle_since >= self.check_after
        ):
            self.put_back(entry)
            return None
        self.low = min(self.low, len(self.idle))
        self.lease(entry, now)
        if self.watch is not None:
            self.watch.taken(entry, 0.0)
        return entry

    def lease(self, entry: Entry[T], now: float) -> None:
        """Mark an entry, which the caller alone holds, as leased."""
        entry.leased_at = now
        entry.holder = self.who()
        entry.uses += 1
        entry.state = LEASED

    def put_back(self, entry: Entry[T]) -> None:
        """Undo a pop."""
        if self.fifo:
            self.idle.appendleft(entry)
        else:
            self.idle.append(entry)

    def give(self, entry: Entry[T], now: float) -> int:
        """Return a leased entry.

        Returns:
            ``DONE``; ``SETTLE``: it is idle, but the core must settle (somebody waits);
            ``REFUSED``: it is still leased, the core must release it.
        """
        if (
            entry.state != LEASED
            or entry.stack is not self
            or entry.generation != self.generation
            or now >= entry.expires
            or entry.uses >= self.max_uses
            or self.audited
            or entry.reported
            or (self.is_clean is not None and not self.is_clean(entry.resource))
        ):
            return REFUSED
        entry.idle_since = now
        entry.state = IDLE
        self._push(entry)
        return SETTLE if now >= self.alert else DONE

    def lend(self, entry: Entry[T]) -> T:
        """Hand the bare resource of a leased entry out, to be found again by ``reclaim``."""
        resource = entry.resource
        self.lent[entry.key] = entry
        if entry.ref is not None:
            entry.resource = None  # type: ignore[assignment]
        return resource

    def reclaim(self, resource: T) -> Entry[T] | None:
        """Find the entry of a lent resource; ``None``: it is not lent (any more)."""
        key = id(resource)
        entry = self.lent.get(key)
        if entry is None or (entry.ref is not None and entry.ref() is not resource):
            return None  # or it has the identity of one that is dead, but not buried yet
        if self.lent.pop(key, None) is None:
            return None  # another thread was faster
        entry.resource = resource
        return entry

    def mourn(self, ref: LoanRef[T]) -> None:
        """A resource was garbage-collected: should it have been lent, its entry is lost."""
        self.mourned.append(ref)
        self.poke()


class Front(Root, Generic[T]):
    """The fast half of a thread pool's public face; ``Pool`` adds the slow half.

    Attributes:
        stack: The idle entries; replaced in a forked child.
        clock: Monotonic seconds.
    """

    __slots__ = ("__weakref__", "clock", "stack")

    def __init__(self, stack: IdleStack[T], clock: Callable[[], float]) -> None:
        self.stack = stack
        self.clock = clock

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
        return Lease(self, timeout)

    def acquire(self, timeout: float | EllipsisType | None = ...) -> T:
        """Lease a connection, to be given back by ``release``; see ``connection`` (safer).

        A resource that can be weakly referenced and is dropped without ``release`` frees its slot
        when it is garbage-collected. What is held is the bare connection, which does not tell one
        lease from the next: see ``release``.
        """
        entry = self.stack.take(self.clock())
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
        answer = self.stack.give(entry, self.clock())
        if answer != DONE:
            self.conclude(entry, answer)

    def checkout_nowait(self) -> Entry[T] | None:
        """Lease an idle entry if that takes no lock and no check; else ``None``."""
        return self.stack.take(self.clock())

    def checkin(self, entry: Entry[T], error: BaseException | None = None) -> None:
        """Give back an entry from ``checkout``; ``error``: what its use ended with. Never blocks.

        Raises:
            LeaseError: The entry is not out on lease from this pool; nothing changes.
        """
        if error is not None:
            self._checkin(entry, error)
            return
        answer = self.stack.give(entry, self.clock())
        if answer != DONE:
            self.conclude(entry, answer)

    def conclude(self, entry: Entry[T], answer: int) -> None:
        """Go on from ``give``; after SETTLE the entry may be another's already."""
        if answer == SETTLE:
            self._settle()
        else:
            self._checkin(entry, None)

    def _checkout(self, timeout: float | EllipsisType | None) -> Entry[T]:
        raise NotImplementedError

    def _settle(self) -> None:
        raise NotImplementedError

    def _checkin(self, entry: Entry[T], error: BaseException | None) -> None:
        raise NotImplementedError


class Lease(Root, Generic[T]):
    """One connection for one ``with`` block. Dropped without leaving it, it frees its slot."""

    __slots__ = ("__weakref__", "_entry", "_front", "_timeout")

    def __init__(self, front: Front[T], timeout: float | EllipsisType | None) -> None:
        self._front = front
        self._timeout = timeout
        self._entry: Entry[T] | None = None

    def __enter__(self) -> T:
        if self._entry is not None:
            raise LeaseError("this lease is in use: call connection() for each with block")
        entry = self._front.stack.take(self._front.clock())
        if entry is None:
            entry = self._front._checkout(self._timeout)
        self._entry = entry
        return entry.resource

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
        answer = front.stack.give(entry, front.clock())
        if answer != DONE:
            front.conclude(entry, answer)
