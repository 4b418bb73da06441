"""Whole lives of pools, drawn from a seed: callers, faults, cancels and orders in virtual time.

Strategy: a seed decides everything: the pool's options, how long each thing takes, what fails, who
gives up, who is cancelled. The asyncio pool lives through it in a loop whose time is virtual; the
decisions of the thread driver are replayed by generators that are interleaved step by step, a step
being what one thread does under the lock, or without it. Callers ask for a second connection while
they hold one, and the pool is paused now and then. The invariants are asserted all along,
and nothing may be lost in the end. A seed that fails is named; ``CENOTE_SEED=<seed>`` runs it
alone.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Generator
from random import Random
from typing import Any

import pytest

from cenote.errors import ConnectFailed, NestedAcquire, PoolClosed, PoolError, PoolSaturated
from cenote.pool.actions import Close, Connect, Ping, Reset, Tell, Warn
from cenote.pool.core import PoolCore
from cenote.pool.fast import REFUSED, RESERVED, SETTLE
from cenote.pool.fast_path import Entry
from cenote.pool.options import PoolOptions
from cenote.pool.waiters import CANCELLED, FAILED, GRANTED, Ticket
from tests.pool.async_world import World
from tests.pool.conftest import run_in
from tests.pool.doubles import GatedConnector, Resource, Trouble
from tests.pool.drawn import effective
from tests.pool.invariants import Ledger, assert_at_rest, assert_ended, assert_sound
from tests.pool.virtual_time import ManualClock, VirtualLoop, virtual_clock

pytestmark = [pytest.mark.proof, pytest.mark.stress]

SEEDS = 60  # of each kind; more with CENOTE_SEEDS


def for_each_seed(simulate: Callable[[int], None]) -> None:
    """Run a simulation for each seed; name the one that fails."""
    alone = os.environ.get("CENOTE_SEED")
    seeds = [int(alone)] if alone else range(int(os.environ.get("CENOTE_SEEDS", SEEDS)))
    for seed in seeds:
        try:
            simulate(seed)
        except BaseException as error:
            error.add_note(f"replay it with CENOTE_SEED={seed}")
            raise


def drawn_options(rng: Random) -> dict[str, Any]:
    max_size = rng.randint(1, 4)
    drawn = {
        "max_size": max_size,
        "burst": rng.choice([0, 0, 1, 2]),
        "burst_after": rng.choice([0.0, 0.01, 0.2]),
        "nested": rng.choice(["allow", "warn", "error"]),
        "min_size": rng.randint(0, max_size),
        "max_waiting": rng.choice([None, 3, 20]),
        "fairness": rng.choice(["eventual", "strict", "barging"]),
        "fair_after": rng.choice([0.0, 0.001, 0.1]),
        "order": rng.choice(["lifo", "fifo"]),
        "max_connecting": rng.randint(1, 3),
        "connect_timeout": 0.5,
        "backoff_base": 0.05,
        "backoff_cap": rng.choice([0.05, 0.8]),
        "on_down": rng.choice(["wait", "fail"]),
        "max_idle": rng.choice([None, 2.0]),
        "max_lifetime": rng.choice([None, 3.0]),
        "max_uses": rng.choice([None, 1, 5]),
        "check_after": rng.choice([0.0, 0.2]),
        "keepalive": rng.choice([None, 0.5]),
        "leak_after": None,
        "histograms": rng.random() < 0.3,
    }
    return effective(drawn)


# The asyncio pool.


class Unreliable(GatedConnector):
    """Everything takes some time and fails now and then, more often in bad times."""

    def __init__(self, rng: Random) -> None:
        super().__init__(clean=rng.random() < 0.7)
        self.rng = rng
        self.badness = rng.choice([0.0, 0.1, 0.4])

    async def _go_through(self, operation: str) -> None:
        self.calls[operation] += 1
        if self.rng.random() < 0.7:
            await asyncio.sleep(self.rng.choice([0.0, 0.0, 0.001, 0.05, 0.3]))
        fate = self.rng.random()
        if fate < self.badness / 4:
            await asyncio.get_running_loop().create_future()
        if fate < self.badness:
            raise Trouble(f"{operation} failed")


class AsyncLife:
    """The life of one asyncio pool."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.connector = Unreliable(self.rng)
        self.connector.verdict = self.rng.choice(["ok", "discard", "invalidate_all"])
        options = drawn_options(self.rng)
        self.world = World(self.connector, rng=Random(seed), **options)
        self.world._watching = False  # it would keep the loop too busy for time to pass
        self.pool = self.world.pool

    async def live(self) -> None:
        callers = [asyncio.create_task(self.caller(number)) for number in range(12)]
        orders = asyncio.create_task(self.operator())
        for _ in range(80):
            await asyncio.sleep(self.rng.choice([0.0, 0.01, 0.1]))
            self.world.check()
            if self.rng.random() < 0.15:
                self.rng.choice(callers).cancel()
        await orders
        await asyncio.wait(callers)
        for caller in callers:
            assert caller.cancelled() or caller.exception() is None, caller
        await self.recover()

    async def caller(self, number: int) -> None:
        for _ in range(6):
            await asyncio.sleep(self.rng.choice([0.0, 0.001, 0.05, 0.4]))
            began, limit = virtual_clock().now, self.rng.choice([0, 0.01, 0.3, 3.0])
            try:
                await self.use(f"caller {number}", limit)
            except NestedAcquire:
                pytest.fail("it holds nothing")
            except (PoolError, Trouble):
                assert virtual_clock().now <= began + limit + 1.0

    async def use_one_more(self, name: str) -> None:
        """Use a second connection beside the first, if the pool lets one."""
        try:
            await self.use(f"{name}, nested", self.rng.choice([0, 0.05, 0.5]), nested=True)
        except NestedAcquire:
            assert self.world.core.options.nested == "error"
        except (PoolError, Trouble):
            return

    async def use(self, name: str, limit: float, *, nested: bool = False) -> None:
        began = virtual_clock().now
        async with self.pool.connection(limit) as resource:
            assert virtual_clock().now <= began + limit + 1e-6
            resource.hold(name)
            try:
                await asyncio.sleep(self.rng.choice([0.0, 0.0, 0.01, 0.2]))
                if self.rng.random() < 0.2 and not nested:
                    await self.use_one_more(name)
                if self.rng.random() < 0.1:
                    raise Trouble("in use")
            except BaseException as error:
                cancelled = isinstance(error, asyncio.CancelledError)
                resource.tainted = cancelled or self.connector.verdict != "ok"
                raise
            finally:
                resource.let_go()

    async def operator(self) -> None:
        for _ in range(10):
            await asyncio.sleep(self.rng.choice([0.05, 0.5]))
            match self.rng.randint(0, 6):
                case 0:
                    self.pool.invalidate_all()
                    for resource in self.connector.resources[: self.world.core.roster.created]:
                        resource.tainted = True
                case 1:
                    max_size = self.rng.randint(1, 4)
                    self.world.ledger.resized(self.world.core.size, max_size)
                    self.pool.resize(self.rng.randint(0, max_size), max_size)
                case 2:
                    self.pool.pause()
                    assert self.pool.try_acquire() is None
                    await asyncio.sleep(self.rng.choice([0.0, 0.01, 0.5]))
                    self.pool.resume()
                case 3:
                    self.connector.badness = self.rng.choice([0.0, 0.2, 0.9])
                case _:
                    self.pool.stats()

    async def recover(self) -> None:
        self.connector.badness = 0.0
        await asyncio.sleep(5.0)
        for number in range(3):
            await self.world.use(f"after {number}", timeout=5.0)
        for _ in range(100):
            if self.world._at_rest():
                break
            await asyncio.sleep(0.01)
        self.world.check()
        await self.pool.close(timeout=2.0)
        self.world.assert_ended()


def test_the_asyncio_pool_lives_through_anything() -> None:
    for_each_seed(lambda seed: run_in(VirtualLoop, lambda: AsyncLife(seed).live()))


# The thread driver's decisions.

Step = Generator[None, None, None]


class Sleeper(Ticket[Resource]):
    """A simulated thread that waits; it may run when its gate is open."""

    __slots__ = ("open",)

    def __init__(self, now: float, name: str) -> None:
        super().__init__(now, name)
        self.open = False

    def wake(self) -> None:
        self.open = True


class ThreadLife:
    """Simulated threads on one core, interleaved at every point where they hold no lock."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        options = drawn_options(self.rng)
        self.clock = ManualClock()
        self.resets = self.rng.random() < 0.3
        self.core: PoolCore[Resource] = PoolCore(
            "simulated",
            PoolOptions(**options),
            rng=Random(seed),
            checks=self.rng.random() < 0.5,
            resets=self.resets,
            pings=True,
            who=lambda: self.running,
        )
        self.running = ""
        self.holding: Counter[str] = Counter()
        self.ledger = Ledger(self.core.max_size)
        self.badness = self.rng.choice([0.0, 0.1, 0.4])
        self.threads: list[Step] = []
        self.untold = 0  # entries that were given back, and their givers have not gone on yet

    @property
    def now(self) -> float:
        return self.clock.now

    def live(self) -> None:
        for number in range(6):
            self.threads.append(self.caller(f"thread {number}"))
        turns = 0
        while self.threads:
            turns += 1
            assert turns < 20_000, f"threads wait for ever: {self.core.snapshot(self.now)}"
            if turns == 2_000:
                self.badness = 0.0
            self.one_step()
        self.rest()

    def one_step(self) -> None:
        thread = self.rng.choice(self.threads)
        try:
            next(thread)
        except StopIteration:
            self.threads.remove(thread)
        if self.rng.random() < 0.3:
            self.clock.advance(self.rng.choice([0.0, 0.0005, 0.01, 0.1]))
        if self.core.due <= self.now:
            self.core.tick(self.now)
            self.follow()
        if self.rng.random() < 0.005:
            self.core.invalidate_all(self.now)
            self.ledger.invalidated()
            self.follow()
        self.pause_or_resume()

    def pause_or_resume(self) -> None:
        if self.core.phase == "paused" and self.rng.random() < 0.05:
            self.core.resume(self.now)
        elif self.core.phase == "ready" and self.rng.random() < 0.005:
            self.core.pause(self.now)
            assert self.core.stack.take(self.now) is None
        self.follow()

    def follow(self) -> None:
        """What a driver does before it lets go of the lock, and just after."""
        while self.core.woken:
            self.core.woken.popleft().wake()
        while self.core.actions:
            action = self.core.actions.popleft()
            if not isinstance(action, (Tell, Warn)):
                self.threads.append(self.labour(action))
        if not self.untold:
            assert_sound(self.core, self.ledger, self.now)

    def labour(self, action: Connect | Close[Resource] | Ping[Resource] | Reset[Resource]) -> Step:
        if isinstance(action, Close):
            action.entry.resource.closes += 1
            assert action.entry.resource.closes == 1, "closed twice"
        for _ in range(self.rng.randint(0, 6)):
            yield
        ok = self.rng.random() >= self.badness
        if isinstance(action, Connect):
            self.answer_connect(action, ok)
        elif isinstance(action, Close):
            self.core.closed(action, self.now)
        elif isinstance(action, Ping):
            self.core.pinged(action.entry, ok, self.now)
        else:
            self.core.was_reset(action.entry, ok, self.now)
        self.follow()

    def answer_connect(self, action: Connect, ok: bool) -> None:
        if not ok:
            self.core.connect_failed(action, Trouble("refused"), self.now)
            return
        resource = self.ledger.opened()
        resource.tainted = action.generation != self.core.stack.generation
        self.core.connected(action, resource, self.now)

    def caller(self, name: str) -> Step:
        for _ in range(8):
            self.running = name
            entry = self.core.stack.take(self.now)
            if entry is None:
                yield
                limit = self.rng.choice([0.0, 0.05, 1.0, 50.0])
                entry = yield from self.checkout(name, limit)
            if entry is not None:
                yield from self.hold(entry, name)
            yield

    def checkout(self, name: str, limit: float) -> Generator[None, None, Entry[Resource] | None]:
        ticket = Sleeper(self.now, name)
        deadline = self.now + limit
        while True:
            entry = self.ask(ticket)
            if entry is None:
                entry = yield from self.wait(ticket, deadline)
            if entry is None or entry.state != RESERVED:
                return entry
            yield  # the check, without the lock
            ok = self.core.checked(ticket, self.rng.random() >= self.badness, self.now)
            self.follow()
            if ok:
                return entry

    def wait(
        self, ticket: Sleeper, deadline: float
    ) -> Generator[None, None, Entry[Resource] | None]:
        while ticket.state not in {FAILED, CANCELLED}:
            yield
            if ticket.state == GRANTED:
                return ticket.entry
            entry = self.look(ticket, deadline)
            if entry is not None:
                return entry
        return None

    def look(self, ticket: Sleeper, deadline: float) -> Entry[Resource] | None:
        if (ticket.open and ticket.nudged) or self.now >= ticket.again:
            ticket.open = False
            return self.ask(ticket)
        entry = None
        if self.rng.random() < 0.01:
            self.core.abandon(ticket, self.now)
        elif self.now >= deadline:
            entry = self.core.cancel(ticket, self.now, "timeout")
        self.follow()
        return entry

    def ask(self, ticket: Sleeper) -> Entry[Resource] | None:
        try:
            return self.core.acquire(ticket, self.now)
        except NestedAcquire:
            assert self.core.options.nested == "error"
            assert self.holding[str(ticket.holder)], "it holds nothing"
            return None
        except (PoolSaturated, ConnectFailed, PoolClosed):
            return None
        finally:
            self.follow()

    def hold_one_more(self, name: str) -> Step:
        entry = yield from self.checkout(name, self.rng.choice([0.0, 0.05, 0.5]))
        if entry is not None:
            yield from self.hold(entry, name)

    def hold(self, entry: Entry[Resource], name: str) -> Step:
        resource = entry.resource
        assert not resource.closes
        assert resource.owner is None, f"{resource} is held by {resource.owner} and {name}"
        resource.owner = name
        self.holding[name] += 1
        for _ in range(self.rng.randint(0, 5)):
            yield
        if self.rng.random() < 0.2:
            yield from self.hold_one_more(name)
        resource.owner = None
        self.holding[name] -= 1
        if self.rng.random() < 0.1:
            resource.tainted = True
            self.core.release(entry, self.now, "discard")
            self.follow()
            return
        answer = self.core.stack.give(entry, self.now)
        self.untold += 1
        yield  # appended, but nobody has been told: the window of a lost wake-up
        self.untold -= 1
        if answer == SETTLE:
            self.core.settle(self.now)
        elif answer == REFUSED:
            self.core.release(entry, self.now, "ok", not self.resets)
        self.follow()

    def rest(self) -> None:
        self.core.resume(self.now)
        self.follow()
        for _ in range(5_000):
            if not self.threads and self.core.size == len(self.core.stack.idle):
                break
            self.core.resume(self.now)
            self.follow()
            if self.threads:
                self.one_step()
            else:
                self.clock.advance(0.01)
        assert_at_rest(self.core, self.ledger)
        self.core.close(self.now)
        self.follow()
        while self.threads:
            self.one_step()
        assert_ended(self.core, self.ledger)


def test_interleaved_threads_live_through_anything() -> None:
    for_each_seed(lambda seed: ThreadLife(seed).live())


def test_a_failing_seed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CENOTE_SEED", raising=False)

    def simulate(seed: int) -> None:
        assert seed < 3

    with pytest.raises(AssertionError) as caught:
        for_each_seed(simulate)
    assert caught.value.__notes__ == ["replay it with CENOTE_SEED=3"]
