"""What a pool is at an instant: the fields every decision reads and writes.

Strategy: each fact has one home. Idle entries are in the stack, living ones in the roster, those
who wait in the queue, attempts in ``connects``; gauges are derived from these and never stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from cenote.errors import ConfigurationError
from cenote.pool.actions import Action, Connect
from cenote.pool.backoff import Backoff
from cenote.pool.budget import Budget
from cenote.pool.fast import ALWAYS, NEVER
from cenote.pool.fast_path import Entry, IdleStack
from cenote.pool.leaks import TRACING, trace
from cenote.pool.lull import Lull
from cenote.pool.observer import Observer, check_observer, heeded
from cenote.pool.options import PoolOptions
from cenote.pool.roster import Roster
from cenote.pool.tallies import Tallies
from cenote.pool.waiters import Ticket, WaitQueue

T = TypeVar("T")

ROUND = 12  # times fair_after: within this, hand-offs go once round the queue
FASTEST = 0.25  # of fair_after: the least time between two hand-offs, however long the queue

Phase = Literal["opening", "ready", "paused", "draining", "closed"]
Describe: TypeAlias = Callable[[object], tuple[str, str]]


def anonymous(holder: object) -> tuple[str, str]:
    """Describe a holder of which no more is known."""
    return ("?" if holder is None else str(holder), "")


def never_gone(_holder: object) -> bool:
    """Say of a holder of which no more is known that it may live."""
    return False


def _never_clean(_resource: object) -> bool:
    return False


def _no_spares() -> Iterable[deque[Entry[Any]]]:
    return ()


class PoolState(Generic[T]):
    """What ``PoolCore`` decides upon; see there for the arguments and attributes.

    An object with 30 attributes of its own or more is not what CPython 3.11 is fast with: what only
    some drivers set has its default in the class.
    """

    eager = False
    heartbeat = NEVER
    spares: Callable[[], Iterable[deque[Entry[Any]]]] = staticmethod(_no_spares)

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        *,
        rng: Random,
        who: Callable[[], object],
        describe: Describe,
        is_gone: Callable[[object], bool],
        is_clean: Callable[[T], bool] | None,
        checks: bool,
        resets: bool,
        observer: Observer | None,
        budget: Budget[Any] | None,
        key: Any,
    ) -> None:
        check_observer(observer)
        if not isinstance(name, str):
            raise ConfigurationError(f"name={name!r} is no str")
        self.name = name
        self.budget = budget
        self.key = key
        self.options = options
        self.observer = observer
        self.rng = rng
        self.resets = resets
        self.describe = describe
        self.is_gone = is_gone
        self.min_size = options.min_size
        self.max_size = options.first_max_size
        self.phase: Phase = "opening"
        self.since = 0.0
        self.actions: deque[Action[T]] = deque()
        self.woken: deque[Ticket[T]] = deque()
        self.due = NEVER
        self.next_handoff = ALWAYS
        self.lull = Lull()
        self.watcher: Ticket[T] | None = None
        self.stack: IdleStack[T] = IdleStack(
            fifo=options.order == "fifo",
            check_after=float(options.check_after) if checks else NEVER,
            max_uses=NEVER if options.max_uses is None else options.max_uses,
            who=who,
            is_clean=_never_clean if resets and is_clean is None else is_clean,
        )
        self.roster: Roster[T] = Roster()
        self.waiters: WaitQueue[T] = WaitQueue()
        self.connects: set[Connect] = set()
        self.backoff = Backoff(options.backoff_base, options.backoff_cap, options.down_after, rng)
        self.tallies = Tallies(options.histograms)
        self.stack.attend(
            name,
            None if observer is None else heeded(observer.acquired, Observer.acquired),
            None if observer is None else heeded(observer.released, Observer.released),
            sites=options.leak_after is not None,
            timed=options.histograms,
        )
        if TRACING.everywhere:
            self.stack.keep_trails(trace)
        elif budget is not None:
            self.stack.keep_trails(budget.trace)

    def begin(self, now: float) -> None:
        """Be ready, from the first use on."""
        if self.phase == "opening":
            self.phase = "ready"
            self.since = now

    @property
    def connecting(self) -> int:
        """Connections being opened, those not counted that have run past their time."""
        connects = list(self.connects)  # who only glances does so while they come and go
        return sum(not connect.overdue for connect in connects)

    @property
    def pace(self) -> float:
        """The least time between two hand-offs: the queue goes round within ``ROUND``."""
        share = ROUND / max(len(self.waiters), ROUND)
        return self.options.fair_after * max(share, FASTEST)

    @property
    def wanted(self) -> int:
        """How many connections should be on their way."""
        needed = len(self.waiters) - len(self.stack.idle)
        if self.phase == "draining":
            return needed
        probe = 1 if self.fails_fast else 0
        return max(needed, self.min_size - self.roster.active, probe)

    @property
    def fails_fast(self) -> bool:
        """True while the pool is down and there is no use in waiting, or it was told not to."""
        return self.backoff.rejected or (self.options.on_down == "fail" and self.backoff.down)

    @property
    def surplus(self) -> bool:
        """True while more slots are held than there may be, or than a burst that is over needs."""
        if self.size <= self.max_size:
            return False
        most = self.max_size + (self.options.burst if self.waiters else 0)
        return self.size - len(self.roster.closing) > most

    @property
    def size(self) -> int:
        """Slots held: from the start of connecting until close has returned."""
        return len(self.roster.living) + len(self.connects)

    @property
    def over(self) -> bool:
        """True when the pool is closed and nothing is left of it."""
        return self.phase == "closed" and self.size == 0

    @property
    def drained(self) -> bool:
        """True when nobody waits and nothing is out, being checked, or being reset."""
        return not self.waiters and self.roster.active <= len(self.stack.idle)
