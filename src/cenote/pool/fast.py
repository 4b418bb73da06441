"""The uncontended path of a pool: take an idle entry, give it back. No lock.

Strategy: one atomic pop and one append on a deque, everything else is comparisons on values that
only change under the pool's lock:

* ``barrier``: from this time on newcomers may not take (the head waiter is too old; -inf: the pool
  is closed, or strict and somebody waits; +inf: nobody waits).
* ``alert``: from this time on whoever gives must have the core settle matters. It is read *after*
  the append, and a waiter looks at ``idle`` *after* it has set ``alert``, so one of the two always
  sees the other: no wake-up is lost.
* An entry that is stale in any way is put back where it was, and the caller takes the slow path.

An entry is mutated by its owner only, so its counts need no lock: ``uses`` counts its leases,
``times`` how long they were held, and the pool's totals are sums over entries. An observer is told
by whoever takes or gives, while it holds the entry or when it does no more.

Lost leases: a leased entry is referenced by its lease alone. When that is garbage-collected, the
entry's finalizer puts it (alive again) into ``lost`` and calls ``poke``. For ``lend``, where the
user holds the bare resource, the entry lets go of it and keeps a weak reference made once at birth.
Finalizers run anywhere, maybe under the pool's lock: they append, poke, and never block.

The same file is compiled, unchanged, as ``cenote.pool._fast_c`` (types in ``_fast_c.pxd``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, TypeVar

from cenote.pool import instruments
from cenote.pool.loans import LoanRef, loan_ref
from cenote.pool.observer import complain

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
KEPT = -1  # by its holder, for the next use; see ``keep``
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


Event = Callable[[str, float], object]


class Root:
    """The extension type that ``Generic`` can be added to."""

    __slots__ = ()


class Entry(Root, Generic[T]):
    """A pooled resource with all that the pool knows of it.

    Attributes:
        resource: The resource; ``None`` while it is lent and weakly referenced.
        uses: How many leases it has served, the present one included.
        site: Where it was borrowed; ``None``: nobody wants to know.
        held, held_squared: Seconds its leases were held, and the squares, summed up.
        trail: The whole stack of who borrowed it, with the lease's number in ``uses``; or ``None``.
        times: How long its leases were held, those that ended in the core excepted; ``None``: as
            ``site``.
    """

    __slots__ = (
        "__weakref__", "born", "expires", "generation", "held", "held_squared", "holder",
        "idle_since", "key", "leased_at", "ping_after", "ref", "replacing", "reported",
        "resource", "serial", "site", "stack", "state", "times", "trail", "uses",
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
        self.held = 0.0
        self.held_squared = 0.0
        self.holder: object = None
        self.site = instruments.Site() if stack.sites else None
        self.times = instruments.Times() if stack.timed else None
        self.trail: tuple[int, object] | None = None
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
        trace: Makes the trail of a lease that begins; ``None``: nobody wants it.
        sites: New entries note where they are borrowed.
        timed: New entries note how long they are held.
        watched: ``begun`` is to be called when a lease begins.
        lent: Entries by the identity of the resource lent; of several stacks, where they share it.
        key: What the stack's pool is known by in a keyed pool.
    """

    __slots__ = (
        "__weakref__", "_acquired", "_name", "_released", "_tools", "alert", "barrier",
        "check_after", "fifo", "generation", "idle", "is_clean", "key", "lent", "lost", "low",
        "max_uses", "mourned", "poke", "sites", "timed", "trace", "watched", "who",
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
        self.key: Any = None
        self.barrier = ALWAYS
        self.alert = ALWAYS
        self.generation = 0
        self.low = 0
        self.fifo = fifo
        self._tools = instruments.Tools(self.idle, fifo)
        self.check_after = check_after
        self.max_uses = max_uses
        self.who = who
        self.is_clean = is_clean
        self.sites = False
        self.timed = False
        self.trace: Callable[[], object] | None = None
        self.watched = False
        self._name = ""
        self._acquired: Event | None = None
        self._released: Event | None = None
        self.poke: Callable[[], object] = _nothing

    def attend(
        self, name: str, acquired: Event | None, released: Event | None, *, sites: bool, timed: bool
    ) -> None:
        """Keep an eye on leases, before the first of them: what is not asked for costs nothing.

        Args:
            name: The pool's, for events.
            acquired: Called with the name and the seconds waited when a lease has begun.
            released: Called with the name and the seconds held when ``give`` has ended a lease.
            sites: Whether entries note where they are borrowed.
            timed: Whether entries note how long they are held.
        """
        self._name, self._acquired, self._released = name, acquired, released
        self.sites, self.timed = sites, timed
        self.keep_trails(self.trace)

    def keep_trails(self, trace: Callable[[], object] | None) -> Callable[[], object] | None:
        """Have ``trace`` called when a lease begins, and its result kept; ``None``: no more.

        Returns what was called before.
        """
        before, self.trace = self.trace, trace
        self.watched = self.sites or self._acquired is not None or trace is not None
        return before

    def take(self, now: float, holder: object = None) -> Entry[T] | None:
        """Lease an idle entry that is good to go; ``None``: ask the core.

        Args:
            now: Seconds.
            holder: Who takes it; ``None``: ask ``who``.
        """
        if now >= self.barrier or not self.idle:
            return None
        try:
            entry: Entry[T] = self._tools.pop()
        except IndexError:
            return None
        if (
            entry.generation != self.generation
            or now >= entry.expires
            or now - entry.idle_since >= self.check_after
        ):
            self.put_back(entry)
            return None
        left = len(self.idle)
        if left < self.low:  # noqa: PLR1730 - interpreted, min() would be a call
            self.low = left
        entry.holder = self.who() if holder is None else holder
        entry.leased_at = now
        entry.uses += 1
        entry.state = LEASED
        if self.watched:
            self.begun(entry, 0.0)
        return entry

    def lease(self, entry: Entry[T], now: float) -> None:
        """Mark an entry, which the caller alone holds, as leased; whose it is, is yet to be set."""
        entry.leased_at = now
        entry.uses += 1
        entry.state = LEASED

    def begun(self, entry: Entry[T], waited: float) -> None:
        """Note and announce that an entry was leased; in its new owner, without the lock."""
        if entry.site is not None:
            entry.site.mark()
        trace = self.trace
        if trace is not None:
            entry.trail = (entry.uses, trace())
        if self._acquired is not None:
            self._tell(self._acquired, waited)

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
            or entry.reported
            or (self.is_clean is not None and not self.is_clean(entry.resource))
        ):
            return REFUSED
        held = now - entry.leased_at
        entry.held += held
        entry.held_squared += held * held
        times = entry.times
        if times is not None:
            bucket = times.bucket(held)  # from here to the push nothing can strike
            times.counts[bucket] += 1
            times.total += held
        entry.idle_since = now
        entry.state = IDLE
        self._tools.push(entry)
        released = self._released
        if released is not None:
            self._tell_end(released, held)
        return SETTLE if now >= self.alert else DONE

    def keep(self, entry: Entry[T], now: float) -> None:
        """End a use of a leased entry, as ``give`` does, whose holder keeps it for the next."""
        held = now - entry.leased_at
        entry.held += held
        entry.held_squared += held * held
        times = entry.times
        if times is not None:
            bucket = times.bucket(held)
            times.counts[bucket] += 1
            times.total += held
        entry.idle_since = now
        entry.state = KEPT
        released = self._released
        if released is not None:
            self._tell_end(released, held)

    def _tell_end(self, released: Event, held: float) -> None:
        """Announce that a lease has ended; what is no mere error must not keep others waiting."""
        try:
            self._tell(released, held)
        except BaseException:
            self.poke()
            raise

    def _tell(self, event: Event, seconds: float) -> None:
        try:
            event(self._name, seconds)
        except Exception:
            complain()

    def lend(self, entry: Entry[T]) -> T:
        """Hand the bare resource of a leased entry out, to be found again by ``reclaim``."""
        resource = entry.resource
        self.lent[entry.key] = entry
        if entry.ref is not None:
            entry.resource = None  # type: ignore[assignment]
        return resource

    def reclaim(self, resource: T) -> Entry[T] | None:
        """Find the entry of a lent resource; ``None``: it is not lent (any more)."""
        key = self._tools.identity(resource)
        entry = self.lent.pop(key, None)
        if entry is None:
            return None
        if entry.ref is not None and self._tools.target(entry.ref) is not resource:
            self.lent[key] = entry  # it has the identity of one that is dead,
            self.mourn(entry.ref)  # and that could not be buried meanwhile
            return None
        entry.resource = resource
        return entry

    def mourn(self, ref: LoanRef[T]) -> None:
        """A resource was garbage-collected: should it have been lent, its entry is lost."""
        self.mourned.append(ref)
        self.poke()
