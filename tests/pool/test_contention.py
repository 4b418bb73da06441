"""Many threads on few connections, in virtual time: who waits how long, and what lies idle.

Strategy: a thread is a generator that says how long it does what; events are taken in the order of
their time, so a run takes no time and is always the same. Being woken takes a context switch
(``SWITCH``), being busy takes none: that is all there is to know about threads for fairness. A
regime is how long connections are held, and how soon their holders come back; it may change
half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Literal

import pytest

from cenote.pool.actions import Connect
from cenote.pool.core import PoolCore
from cenote.pool.fast import NEVER, REFUSED, SETTLE
from cenote.pool.fast_path import Entry
from cenote.pool.lull import MOST
from cenote.pool.options import PoolOptions
from cenote.pool.state import ROUND
from cenote.pool.waiters import GRANTED, Ticket
from tests.pool.doubles import Resource
from tests.pool.drawn import effective
from tests.pool.invariants import Ledger, assert_fair, assert_sound

pytestmark = pytest.mark.stress

SWITCH = 0.00005
FAIR_AFTER = 0.001
INSTANT = 1e-9  # what takes no time still lets others in between

Life = Generator["float | Sleeper", None, None]  # how long it does something, or what it waits at


class Sleeper(Ticket[Resource]):
    """A place in the queue, with a gate.

    Attributes:
        open: It was woken, and has not come to the gate yet.
        rouse: Has the thread that sleeps at the gate run so many seconds later.
    """

    __slots__ = ("open", "rouse")

    def __init__(self, now: float) -> None:
        super().__init__(now, "thread")
        self.open = False
        self.rouse: Callable[[float], None] | None = None

    def wake(self) -> None:
        if self.rouse is None:
            self.open = True
        else:
            self.rouse(SWITCH)


class Traffic:
    """Threads on one core.

    Attributes:
        held: Draws how long a connection is held.
        pause: Draws how soon its holder comes back.
        waits: How long each wait in the queue lasted.
        served: Leases that began.
        looks: Context switches of those who wait.
        unseen: The longest that a connection lay idle, somebody waited, and nobody was on the way.
    """

    def __init__(
        self, size: int, held: Callable[[], float], pause: Callable[[], float],
        fairness: Literal["eventual", "strict", "barging"] = "eventual",
    ) -> None:  # fmt: skip
        self.held = held
        self.pause = pause
        given: dict[str, Any] = {
            "max_size": size, "min_size": size, "max_idle": None, "max_lifetime": None,
            "fairness": fairness, "fair_after": FAIR_AFTER, "max_connecting": size,
        }  # fmt: skip
        options = PoolOptions(**effective(given))
        self.core: PoolCore[Resource] = PoolCore("busy", options, rng=Random(1))
        self.ledger = Ledger(size)
        self.now = 1000.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.stopping = False
        self.waits: list[float] = []
        self.served = 0
        self.looks = 0
        self.unseen = 0.0
        self._unseen_since: float | None = None
        self._open()

    def _open(self) -> None:
        self.core.open(self.now)
        while self.core.actions:
            action = self.core.actions.popleft()
            assert isinstance(action, Connect)
            self.core.connected(action, self.ledger.opened(), self.now)

    def start(self, threads: int) -> None:
        for _ in range(threads):
            self.later(0.0, partial(self.go_on, self.thread()))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heappush(self.events, (self.now + seconds, next(self.order), action))

    def go_on(self, life: Life) -> None:
        """Let a thread run until it does something that takes time, or sleeps."""
        step = next(life, None)
        if isinstance(step, Sleeper):
            self.sleep(step, life)
        elif step is not None:
            self.later(step, partial(self.go_on, life))

    def sleep(self, ticket: Sleeper, life: Life) -> None:
        """Wait until woken, or until it is time to look."""
        slept = False

        def rouse(after: float) -> None:
            nonlocal slept
            if not slept:
                slept = True
                ticket.rouse = None
                self.looks += 1
                self.later(after, partial(self.go_on, life))

        if ticket.open:
            ticket.open = False
            self.later(INSTANT, partial(self.go_on, life))
            return
        ticket.rouse = rouse
        if ticket.again < NEVER:
            self.later(ticket.again - self.now, partial(rouse, SWITCH))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.events and self.events[0][0] <= end:
            self.now, _, resume = heappop(self.events)
            resume()
            self.note_unseen()
        self.now = end

    def stop(self) -> None:
        """Nobody comes back any more; those who wait are still to be served."""
        self.stopping = True

    def note_unseen(self) -> None:
        head = self.core.waiters.head
        if not self.core.stack.idle or head is None or head.nudged:
            self._unseen_since = None
            return
        if self._unseen_since is None:
            self._unseen_since = self.now
        self.unseen = max(self.unseen, self.now - self._unseen_since)

    def follow(self) -> None:
        while self.core.woken:
            self.core.woken.popleft().wake()
        assert not self.core.actions
        assert_sound(self.core, self.ledger, self.now)

    def thread(self) -> Life:
        while not self.stopping:
            entry = self.core.stack.take(self.now)
            if entry is None:
                entry = yield from self.queue()
            else:
                assert_fair(self.core, None, self.now, waited=False)
            self.served += 1
            entry.resource.hold("thread")
            yield self.held()
            entry.resource.let_go()
            self.give(entry)
            yield self.pause()

    def give(self, entry: Entry[Resource]) -> None:
        answer = self.core.stack.give(entry, self.now)
        assert answer != REFUSED
        if answer == SETTLE:
            self.core.settle(self.now)
            self.follow()

    def queue(self) -> Generator[float | Sleeper, None, Entry[Resource]]:
        ticket = Sleeper(self.now)
        entry = self.core.acquire(ticket, self.now)
        self.follow()
        while entry is None:
            yield ticket
            entry = ticket.entry if ticket.state == GRANTED else self.core.acquire(ticket, self.now)
            self.follow()
        self.waits.append(self.now - ticket.since)
        return entry


def hot() -> float:
    """Come back at once."""
    return INSTANT


def about(mean: float, seed: int = 1) -> Callable[[], float]:
    """Draw durations that vary as those of requests do."""
    rng = Random(seed)
    return lambda: rng.expovariate(1 / mean)


SECONDS = 0.2


def contended(threads: int) -> Traffic:
    """Run threads that come back at once."""
    traffic = Traffic(8, about(0.0003), hot)
    traffic.start(threads)
    traffic.run(SECONDS)
    return traffic


def test_the_queue_goes_round_within_its_time() -> None:
    for threads in (9, 12, 32, 56):
        traffic = contended(threads)
        waiting = threads - 8
        promised = FAIR_AFTER * min(waiting, ROUND) + MOST
        assert max(traffic.waits) < promised, f"{waiting} waiters"


def test_few_waiters_are_not_served_sooner_than_they_need() -> None:
    traffic = contended(10)
    assert traffic.core.tallies.handoffs <= SECONDS / FAIR_AFTER + 1


def test_contention_costs_few_context_switches() -> None:
    """Nearly all requests go on as if the waiters were not there."""
    alone, traffic = contended(8), contended(32)
    assert traffic.served > 0.95 * alone.served
    needless = traffic.looks - traffic.core.tallies.handoffs
    assert needless < 2 * SECONDS / MOST


def test_a_connection_lies_unseen_beside_a_waiter_for_a_bounded_time() -> None:
    """Whether holders come back at once, soon, or late, and however that changes."""
    for seed in range(6):
        rng = Random(seed)
        traffic = Traffic(rng.randint(1, 8), about(0.0003, seed), hot)
        traffic.start(rng.randint(2, 32))
        for _ in range(8):
            traffic.pause = rng.choice([hot, about(0.0001, seed), about(0.002, seed)])
            traffic.held = about(rng.choice([0.0001, 0.001]), seed)
            traffic.run(0.05)
        assert traffic.unseen <= MOST + SWITCH, f"seed {seed}"


@pytest.mark.parametrize("fairness", ["eventual", "strict", "barging"])
@pytest.mark.parametrize("threads", [2, 9, 32, 100])
def test_when_newcomers_vanish_all_who_wait_are_served_soon(
    fairness: Literal["eventual", "strict", "barging"], threads: int
) -> None:
    traffic = Traffic(min(8, threads - 1), about(0.0003), hot, fairness)
    traffic.start(threads)
    traffic.run(0.1)
    left = len(traffic.core.waiters)
    traffic.stop()
    traffic.run(2 * MOST + left * (SWITCH + 0.0003))
    assert not traffic.core.waiters
    assert traffic.unseen <= MOST + SWITCH


def test_nobody_waits_beside_an_idle_connection_where_nobody_competes() -> None:
    """A first nudge is never held back: who waits gets what is released at once."""
    traffic = Traffic(2, lambda: 0.01, lambda: 0.02)
    traffic.start(3)
    traffic.run(1.0)
    assert traffic.waits
    assert traffic.unseen <= INSTANT


def test_a_run_can_be_repeated() -> None:
    assert contended(12).waits == contended(12).waits
