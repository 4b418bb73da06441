"""PoolCore under any sequence of calls a driver may make, every invariant after every step.

Strategy: Hypothesis plays the callers, the connector, the clock and the driver at once. What a
driver does at some time (wake a ticket, perform an action) waits here in lists until a rule picks
it, so that every order is tried. In the end everything is brought to rest, and the pool is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import hypothesis.strategies as st
import pytest
from hypothesis import assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cenote.errors import ConnectFailed, LeaseError, PoolClosed, PoolSaturated
from cenote.pool.actions import Close, Connect, Ping, Reset, Tell, Warn
from cenote.pool.core import PoolCore
from cenote.pool.fast import CLOSING, DONE, LEASED, REFUSED, RESERVED, SETTLE
from cenote.pool.fast_path import Entry
from cenote.pool.options import PoolOptions
from cenote.pool.waiters import CANCELLED, FAILED, GRANTED, QUEUED, Ticket
from tests.pool.doubles import Resource, Trouble
from tests.pool.drawn import effective
from tests.pool.invariants import (
    Ledger,
    assert_at_rest,
    assert_ended,
    assert_fair,
    assert_leased,
    assert_sound,
)
from tests.pool.virtual_time import ManualClock
from tests.thorough import some

pytestmark = pytest.mark.proof

OPTIONS = st.fixed_dictionaries(
    {
        "min_size": st.integers(0, 2),
        "max_size": st.integers(2, 4),
        "burst": st.sampled_from([0, 0, 2]),
        "burst_after": st.sampled_from([0.0, 0.3]),
        "max_waiting": st.sampled_from([None, 0, 2, 5]),
        "fairness": st.sampled_from(["eventual", "strict", "barging"]),
        "fair_after": st.sampled_from([0.0, 0.001, 1.0]),
        "order": st.sampled_from(["lifo", "fifo"]),
        "max_connecting": st.integers(1, 3),
        "connect_timeout": st.just(5.0),
        "backoff_base": st.just(0.5),
        "backoff_cap": st.sampled_from([0.5, 4.0]),
        "on_down": st.sampled_from(["wait", "fail"]),
        "down_after": st.integers(1, 3),
        "max_idle": st.sampled_from([None, 20.0]),
        "max_lifetime": st.sampled_from([None, 30.0]),
        "max_uses": st.sampled_from([None, 1, 3]),
        "check_after": st.sampled_from([0.0, 2.0]),
        "keepalive": st.sampled_from([None, 7.0]),
        "leak_after": st.sampled_from([None, 3.0]),
        "histograms": st.booleans(),
    }
).map(lambda drawn: PoolOptions(**effective(drawn)))
STEPS = st.sampled_from([0.0, 0.0005, 0.01, 0.3, 1.0, 2.5, 6.0, 31.0])


@dataclass(eq=False)
class Lease:
    """An entry in the hands of a caller, as a driver would hold it."""

    entry: Entry[Resource]
    resource: Resource


class Caller(Ticket[Resource]):
    """A ticket whose wakes are remembered until the caller comes."""

    __slots__ = ("came", "waited", "woken")

    def __init__(self, now: float) -> None:
        super().__init__(now, "caller")
        self.woken = False
        self.waited = False
        self.came = now

    def wake(self) -> None:
        self.woken = True


class PoolMachine(RuleBasedStateMachine):
    """Drives one core."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.callers: list[Caller] = []
        self.leases: list[Lease] = []
        self.connects: list[Connect] = []
        self.chores: list[Close[Resource] | Ping[Resource] | Reset[Resource]] = []
        self.outcomes = {"leased": 0, "refused": 0}
        self.started = 0
        self.lost = 0
        self.closing_began = False

    @initialize(options=OPTIONS, seed=st.integers(0, 9), checks=st.booleans(), resets=st.booleans())
    def begin(self, options: PoolOptions, seed: int, checks: bool, resets: bool) -> None:
        self.core: PoolCore[Resource] = PoolCore(
            "proved",
            options,
            rng=Random(seed),
            is_clean=(lambda resource: resource.clean) if resets else None,
            checks=checks,
            resets=resets,
            pings=True,
        )
        self.ledger = Ledger(options.max_size)

    # What a driver does after each call.

    @property
    def now(self) -> float:
        return self.clock.now

    def follow(self) -> None:
        core = self.core
        while core.woken:
            caller = core.woken.popleft()
            caller.wake()
            self.note_grant(caller)
        while core.actions:
            action = core.actions.popleft()
            if isinstance(action, Connect):
                self.connects.append(action)
            elif not isinstance(action, (Warn, Tell)):
                self.take_out(action)

    def take_out(self, action: Close[Resource] | Ping[Resource] | Reset[Resource]) -> None:
        owner = "pool"
        if isinstance(action, Close):
            assert action.entry.state == CLOSING
            action.entry.resource.closes += 1
            assert action.entry.resource.closes == 1, "closed twice"
            assert action.entry.resource.owner is None, "closed in somebody's hands"
        else:
            action.entry.resource.hold(owner) if not action.entry.resource.tainted else None
        self.chores.append(action)

    def keep_time(self) -> None:
        """Tick whenever the core asked for it; it may not ask again and again for the same."""
        for caller in self.callers:
            caller.woken |= self.now >= caller.again
        for _ in range(100):
            if self.core.due > self.now:
                return
            self.core.tick(self.now)
            self.follow()
        pytest.fail("the core never stops asking for a tick")

    # Callers.

    def note_grant(self, caller: Ticket[Resource]) -> None:
        """An entry is granted, leased or to be checked, maybe before its caller comes for it."""
        assert isinstance(caller, Caller)
        entry = caller.entry
        if caller.state == GRANTED and entry is not None:
            assert_fair(self.core, caller, self.now, waited=caller.waited)
            if entry.state == LEASED:
                self.note_lease(caller, entry)

    def note_lease(self, caller: Caller, entry: Entry[Resource]) -> None:
        assert_leased(self.core, entry, self.now)
        entry.resource.hold(caller)

    @rule()
    def take_idle_without_lock(self) -> None:
        entry = self.core.stack.take(self.now)
        if entry is not None:
            assert_fair(self.core, None, self.now, waited=False)
            assert_leased(self.core, entry, self.now)
            assert self.core.phase == "ready"
            entry.resource.hold("newcomer")
            self.leases.append(Lease(entry, entry.resource))

    @rule()
    def ask(self) -> None:
        caller = Caller(self.now)
        self.started += 1
        self.come(caller)

    def come(self, caller: Caller) -> None:
        """Ask the core, as the driver does: for a newcomer, or one who was woken."""
        caller.woken = False
        try:
            entry = self.core.acquire(caller, self.now)
        except (PoolClosed, PoolSaturated, ConnectFailed) as error:
            self.refused(caller, error)
            return
        finally:
            self.follow()
        if caller not in self.callers:
            self.callers.append(caller)
        if entry is None:
            assert caller.state == QUEUED
            caller.waited = True
        elif not caller.woken:
            self.note_grant(caller)
            self.granted(caller, entry)

    def refused(self, caller: Caller, error: Exception) -> None:
        assert caller.entry is None
        assert caller not in self.core.waiters._tickets.values()
        if isinstance(error, PoolClosed):
            assert self.core.phase in {"draining", "closed"}
        elif isinstance(error, PoolSaturated):
            assert self.core.options.max_waiting is not None
        else:
            assert self.core.options.on_down == "fail"
        self.outcomes["refused"] += caller.error is None  # else it is among those that failed
        self.leave(caller)

    def leave(self, caller: Caller) -> None:
        if caller in self.callers:
            self.callers.remove(caller)

    def granted(self, caller: Caller, entry: Entry[Resource]) -> None:
        assert caller.state == GRANTED
        if entry.state == LEASED:
            self.outcomes["leased"] += 1
            self.leave(caller)
            self.leases.append(Lease(entry, entry.resource))
            caller.entry = None  # a driver's ticket does not outlive its wait
        else:
            assert entry.state == RESERVED  # its check is a rule of its own

    @precondition(lambda self: any(caller.woken for caller in self.callers))
    @rule(data=st.data())
    def a_woken_caller_comes(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from([one for one in self.callers if one.woken]))
        caller.woken = False
        if caller.state == GRANTED and caller.entry is not None:
            self.granted(caller, caller.entry)
        elif caller.state == FAILED:
            assert caller.error is not None
            self.leave(caller)
        elif caller.state == QUEUED:
            self.come(caller)

    def checking(self) -> list[Caller]:
        return [
            caller
            for caller in self.callers
            if caller.state == GRANTED and caller.entry is not None
            and caller.entry.state == RESERVED and not caller.woken
        ]  # fmt: skip

    @precondition(lambda self: self.checking())
    @rule(data=st.data(), ok=st.booleans())
    def a_check_ends(self, data: st.DataObject, ok: bool) -> None:
        self.end_check(data.draw(st.sampled_from(self.checking())), ok)

    def end_check(self, caller: Caller, ok: bool) -> None:
        entry = caller.entry
        assert entry is not None
        leased = self.core.checked(caller, ok, self.now)
        self.follow()
        if leased:
            assert ok
            self.note_lease(caller, entry)
            self.granted(caller, entry)
        else:
            self.come(caller)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        entry = self.core.cancel(caller, self.now, "timeout")
        self.follow()
        if entry is not None:
            self.granted(caller, entry)
        elif caller.state == CANCELLED:
            assert "no connection within" in str(self.core.timeout_error(caller, self.now))
            self.follow()
            self.leave(caller)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_caller_is_cancelled(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        granted = caller.entry if caller.state == GRANTED else None
        # A lease that was granted, and is passed on, counts as one acquired and released.
        if granted is not None and granted.state == LEASED:
            self.outcomes["leased"] += 1
            granted.resource.let_go()
        self.core.abandon(caller, self.now)
        caller.entry = None
        self.follow()
        self.leave(caller)

    # Returning.

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), clean=st.booleans())
    def give_back(self, data: st.DataObject, clean: bool) -> None:
        lease = self.drawn_lease(data)
        lease.resource.clean = clean
        answer = self.core.stack.give(lease.entry, self.now)
        if answer == SETTLE:
            self.core.settle(self.now)
        elif answer == REFUSED:
            self.core.release(lease.entry, self.now, "ok", clean or not self.core.resets)
        else:
            assert answer == DONE
        self.follow()
        self.refuse_again(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), verdict=st.sampled_from(["ok", "discard", "invalidate_all"]))
    def give_back_after_an_error(
        self, data: st.DataObject, verdict: Literal["ok", "discard", "invalidate_all"]
    ) -> None:
        lease = self.drawn_lease(data)
        if verdict == "invalidate_all" and lease.entry.generation == self.core.stack.generation:
            self.ledger.invalidated()
        elif verdict != "ok":
            lease.resource.tainted = True
        self.core.release(lease.entry, self.now, verdict, True)
        self.follow()
        self.refuse_again(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        lease = self.drawn_lease(data)
        self.core.detach(lease.entry, self.now)
        self.ledger.detached.add(lease.resource)
        self.follow()
        self.refuse_again(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def lose_a_lease(self, data: st.DataObject) -> None:
        lease = self.drawn_lease(data)
        lease.resource.tainted = True
        self.lost += 1
        del lease.entry  # the last reference: its finalizer runs here
        self.core.settle(self.now)
        self.follow()

    def drawn_lease(self, data: st.DataObject) -> Lease:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        lease.resource.let_go()
        return lease

    def refuse_again(self, lease: Lease) -> None:
        """A second release changes nothing (13)."""
        if lease.entry.state == LEASED:  # it went to a waiter already
            return
        before = self.core.snapshot(self.now)
        self.follow()
        with pytest.raises(LeaseError):
            self.core.release(lease.entry, self.now)
        assert self.core.stack.give(lease.entry, self.now) == REFUSED
        assert self.core.snapshot(self.now) == before

    # The connector.

    @precondition(lambda self: self.connects)
    @rule(data=st.data())
    def a_connect_succeeds(self, data: st.DataObject) -> None:
        connect = self.connects.pop(data.draw(st.integers(0, len(self.connects) - 1)))
        self.core.connected(connect, self.opened(connect), self.now)
        self.follow()

    def opened(self, connect: Connect) -> Resource:
        resource = self.ledger.opened()
        resource.tainted = connect.generation != self.core.stack.generation
        return resource

    @precondition(lambda self: self.connects)
    @rule(data=st.data())
    def a_connect_fails(self, data: st.DataObject) -> None:
        connect = self.connects.pop(data.draw(st.integers(0, len(self.connects) - 1)))
        self.core.connect_failed(connect, Trouble("refused"), self.now)
        self.follow()

    @precondition(lambda self: self.chores)
    @rule(data=st.data(), ok=st.booleans())
    def a_chore_ends(self, data: st.DataObject, ok: bool) -> None:
        self.end_chore(data.draw(st.integers(0, len(self.chores) - 1)), ok)

    def end_chore(self, index: int, ok: bool) -> None:
        chore = self.chores.pop(index)
        chore.entry.resource.let_go()
        if isinstance(chore, Close):
            self.core.closed(chore, self.now)
        elif isinstance(chore, Ping):
            self.core.pinged(chore.entry, ok, self.now)
        else:
            self.core.was_reset(chore.entry, ok, self.now)
        self.follow()

    # Time and orders.

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keep_time()

    @rule()
    def settle(self) -> None:
        self.core.settle(self.now)
        self.follow()

    @rule()
    def invalidate_all(self) -> None:
        self.core.invalidate_all(self.now)
        self.ledger.invalidated()
        self.follow()
        self.keep_time()

    @rule(min_size=st.integers(0, 2), max_size=st.integers(2, 4))
    def resize(self, min_size: int, max_size: int) -> None:
        self.ledger.resized(self.core.size, max_size)
        self.core.resize(min_size, max_size, self.now)
        self.follow()

    @precondition(lambda self: not self.closing_began)
    @rule()
    def pause(self) -> None:
        self.core.pause(self.now)
        self.follow()
        assert self.core.stack.take(self.now) is None

    @rule()
    def resume(self) -> None:
        self.core.resume(self.now)
        self.follow()

    @precondition(lambda self: not self.closing_began)
    @rule(really=st.integers(0, 9), how=st.sampled_from(["drain", "close"]))
    def end(self, really: int, how: str) -> None:
        assume(really == 0)
        self.closing_began = True
        if how == "drain":
            self.core.drain(self.now)
        else:
            self.core.close(self.now)
        self.follow()

    # After every step.

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "core"):
            self.keep_time()
            assert_sound(self.core, self.ledger, self.now)
            self.assert_callers()

    def assert_callers(self) -> None:
        stats = self.core.snapshot(self.now)
        self.follow()
        assert stats.used == len(self.leases) + self.unclaimed()
        waiting = [caller for caller in self.callers if caller.state == QUEUED]
        assert stats.waiting == len(waiting)
        assert stats.lost == self.lost, "a finalizer had to save what the core has dropped"
        for caller in waiting:
            assert caller.woken or not caller.nudged, "nudged, but nobody woke it"
        ended = self.outcomes["leased"] + self.outcomes["refused"]
        ended += stats.timeouts + stats.cancelled
        failed = stats.failed - sum(caller.state == FAILED for caller in self.callers)
        assert self.started == ended + failed + len(self.callers)

    def unclaimed(self) -> int:
        """Leases granted to callers that have not come for them yet."""
        return sum(
            caller.state == GRANTED and caller.entry is not None and caller.entry.state == LEASED
            for caller in self.callers
        )

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        self.resume()
        self.come_to_rest()
        assert_at_rest(self.core, self.ledger)
        self.core.close(self.now)
        self.follow()
        while self.chores:
            self.end_chore(0, ok=True)
        assert_ended(self.core, self.ledger)
        with pytest.raises(PoolClosed):
            self.core.acquire(Caller(self.now), self.now)

    def come_to_rest(self) -> None:
        """Let everything end: work succeeds, callers come, leases are returned."""
        for _ in range(300):
            if not (self.connects or self.chores or self.callers or self.leases):
                return
            self.one_turn()
            self.clock.advance(0.5)
            self.keep_time()
            assert_sound(self.core, self.ledger, self.now)
        pytest.fail(f"callers wait for ever: {self.core.snapshot(self.now)}")

    def one_turn(self) -> None:
        while self.connects:
            connect = self.connects.pop()
            self.core.connected(connect, self.opened(connect), self.now)
            self.follow()
        while self.chores:
            self.end_chore(0, ok=True)
        for caller in self.checking():
            self.end_check(caller, ok=True)
        for caller in list(self.callers):
            if caller.woken and caller.state == GRANTED and caller.entry is not None:
                caller.woken = False
                self.granted(caller, caller.entry)
            elif caller.woken and caller.state == FAILED:
                self.leave(caller)
            elif caller.woken and caller.state == QUEUED:
                self.come(caller)
        while self.leases:
            lease = self.leases.pop()
            lease.resource.let_go()
            self.core.release(lease.entry, self.now)
            self.follow()


PoolMachine.TestCase.settings = settings(max_examples=some(150), stateful_step_count=50)
TestPoolCoreUnderAnySequenceOfCalls: Any = PoolMachine.TestCase
