"""The cores of a keyed pool under any sequence of calls, every invariant after every step.

Strategy: as ``test_core_machine.py``, for several keys that share slots. Hypothesis plays callers,
connectors, clock and drivers. What a driver would do when it is stirred happens at once here or
waits, as the drivers do it in a thread of their own; either way nobody may starve. The invariants
of each key's core are asserted too; beyond those:

* all keys together never hold more slots than the total, nor a key more than its share;
* no key waits for a slot while one is free or a connection lies idle somewhere;
* a key that has waited for its turn gets the next connection that comes back elsewhere;
* a key of which nothing is left is forgotten, its counts are not, and there are never two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cenote.errors import ConnectFailed, PoolSaturated
from cenote.pool.actions import Close, Connect, Ping, Reset
from cenote.pool.core import PoolCore
from cenote.pool.fast import CLOSING, DONE, LEASED, RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.keyring import Keyring
from cenote.pool.options import PoolOptions
from cenote.pool.waiters import CANCELLED, FAILED, GRANTED, NEW, QUEUED, Ticket
from tests.pool.doubles import Resource, Trouble
from tests.pool.invariants import Ledger, assert_closed_once, assert_leased, assert_sound, queued
from tests.pool.virtual_time import ManualClock
from tests.thorough import some

pytestmark = pytest.mark.proof

OPTIONS = st.builds(
    PoolOptions,
    max_size=st.integers(1, 3),
    max_waiting=st.sampled_from([None, 2]),
    fairness=st.sampled_from(["eventual", "strict", "barging"]),
    order=st.sampled_from(["lifo", "fifo"]),
    max_connecting=st.integers(1, 2),
    backoff_base=st.just(0.5),
    backoff_cap=st.just(4.0),
    on_down=st.sampled_from(["wait", "fail"]),
    down_after=st.integers(1, 2),
    max_idle=st.sampled_from([None, 20.0]),
    max_lifetime=st.sampled_from([None, 30.0]),
    check_after=st.sampled_from([2.0, float("1e9")]),
    keepalive=st.sampled_from([None, 7.0]),
)
KEYS = st.sampled_from("abcd")
STEPS = st.sampled_from([0.0, 0.0005, 0.06, 0.3, 2.5, 6.0, 31.0])
TURN_AFTER = 0.1
Chore = Close[Resource] | Ping[Resource] | Reset[Resource]


@dataclass(eq=False)
class Front:
    """The driver of one key: its core, and what it has to do."""

    core: PoolCore[Resource]
    ledger: Ledger
    connects: list[Connect] = field(default_factory=list)
    chores: list[Chore] = field(default_factory=list)


class Caller(Ticket[Resource]):
    """Somebody who wants a connection to a key; has its front in hand, as a driver's frame does."""

    __slots__ = ("front", "woken")

    def __init__(self, now: float, front: Front) -> None:
        super().__init__(now, "caller")
        self.front = front
        self.woken = False

    def wake(self) -> None:
        self.woken = True


@dataclass(eq=False)
class Lease:
    """An entry in somebody's hands."""

    front: Front
    entry: Entry[Resource]


class KeyedMachine(RuleBasedStateMachine):
    """Drives the cores of one keyed pool."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.callers: list[Caller] = []
        self.leases: list[Lease] = []
        self.resources: list[Resource] = []
        self.leased = 0
        self.failing = 0

    @initialize(options=OPTIONS, total=st.integers(1, 4), eager=st.booleans(), prompt=st.booleans())
    def begin(self, options: PoolOptions, total: int, eager: bool, prompt: bool) -> None:
        self.options, self.eager, self.prompt = options, eager, prompt
        self.ring: Keyring[str, Front] = Keyring("proved", total, TURN_AFTER)

    @property
    def now(self) -> float:
        return self.clock.now

    # What a driver does.

    def front(self, key: str) -> Front:
        core: PoolCore[Resource] = PoolCore(
            key, self.options, rng=Random(7), checks=True, pings=True, budget=self.ring, key=key
        )
        core.eager = self.eager
        return self.ring.find(key) or self.ring.add(
            key, Front(core, Ledger(self.options.max_size)), core, self.now
        )

    def follow(self, front: Front) -> None:
        """Do what must be done after a call of a core."""
        core = front.core
        while core.woken:
            core.woken.popleft().wake()
        while core.actions:
            action = core.actions.popleft()
            if isinstance(action, Connect):
                front.connects.append(action)
            elif isinstance(action, (Close, Ping, Reset)):
                self.take_out(front, action)
        if self.prompt:
            self.rouse()

    def take_out(self, front: Front, action: Chore) -> None:
        resource = action.entry.resource
        if isinstance(action, Close):
            assert action.entry.state == CLOSING
            assert resource.owner is None, "closed in somebody's hands"
            resource.closes += 1
            assert resource.closes == 1, "closed twice"
        else:
            resource.hold("pool")
        front.chores.append(action)

    def rouse(self) -> None:
        self.ring.rouse(self.settle)

    def settle(self, front: Front) -> None:
        front.core.settle(self.now)
        self.follow(front)

    def keep_time(self) -> None:
        for caller in self.callers:
            caller.woken |= self.now >= caller.again
        for front in self.ring.known():
            for _ in range(100):
                if front.core.due > self.now:
                    break
                front.core.tick(self.now)
                self.follow(front)
            else:
                pytest.fail("a core never stops asking for a tick")

    # Callers.

    @rule(key=KEYS)
    def ask(self, key: str) -> None:
        front = self.front(key)
        entry = front.core.stack.take(self.now)
        if entry is not None:
            self.hold(front, entry)
        else:
            self.come(Caller(self.now, front))

    def come(self, caller: Caller) -> None:
        caller.woken = False
        front = caller.front
        try:
            entry = front.core.acquire(caller, self.now)
        except (PoolSaturated, ConnectFailed):
            if caller.state in (NEW, QUEUED):
                front.core.abandon(caller, self.now)
            self.leave(caller)
            front.core.settle(self.now)
            return
        finally:
            self.follow(front)
        if caller not in self.callers:
            self.callers.append(caller)
        if entry is not None:
            self.granted(caller, entry)

    def leave(self, caller: Caller) -> None:
        if caller in self.callers:
            self.callers.remove(caller)

    def granted(self, caller: Caller, entry: Entry[Resource]) -> None:
        if entry.state == RESERVED:
            ok = caller.front.core.checked(caller, ok=entry.resource.alive, now=self.now)
            self.follow(caller.front)
            if not ok:
                self.come(caller)
                return
        self.leave(caller)
        caller.entry = None
        core = caller.front.core
        if entry.generation == core.stack.generation and self.now < entry.expires:
            self.hold(caller.front, entry)
        else:  # it was invalidated, or ended, between the grant and now
            self.leased += 1
            core.release(entry, self.now)
            self.follow(caller.front)

    def hold(self, front: Front, entry: Entry[Resource]) -> None:
        assert_leased(front.core, entry, self.now)
        assert entry.resource.number // 1000 == ord(str(front.core.key)), "another key's connection"
        entry.resource.hold("caller")
        self.leased += 1
        self.leases.append(Lease(front, entry))

    @precondition(lambda self: any(caller.woken for caller in self.callers))
    @rule(data=st.data())
    def a_woken_caller_comes(self, data: st.DataObject) -> None:
        self.answer(data.draw(st.sampled_from([one for one in self.callers if one.woken])))

    def answer(self, caller: Caller) -> None:
        caller.woken = False
        if caller.state == GRANTED and caller.entry is not None:
            self.granted(caller, caller.entry)
        elif caller.state == FAILED:
            self.leave(caller)
        else:
            self.come(caller)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        core = caller.front.core
        entry = core.cancel(caller, self.now, "timeout")
        self.follow(caller.front)
        if entry is not None:
            self.granted(caller, entry)
        elif caller.state == CANCELLED:
            assert "no connection within" in str(core.timeout_error(caller, self.now))
            self.follow(caller.front)
            self.leave(caller)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def a_caller_is_cancelled(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        self.leased += caller.entry is not None and caller.entry.state == LEASED
        caller.front.core.abandon(caller, self.now)
        caller.entry = None
        self.follow(caller.front)
        self.leave(caller)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), verdict=st.sampled_from(["ok", "ok", "ok", "discard"]))
    def give_back(self, data: st.DataObject, verdict: Literal["ok", "discard"]) -> None:
        self.end(self.leases[data.draw(st.integers(0, len(self.leases) - 1))], verdict)

    def end(self, lease: Lease, verdict: Literal["ok", "discard"] = "ok") -> None:
        front, entry = lease.front, lease.entry
        self.leases.remove(lease)
        entry.resource.let_go()
        entry.resource.tainted |= verdict == "discard"
        overdue = self.overdue(front)
        closing, on_their_way = self.closing(), self.closing() + self.ring.limit - self.ring.held
        if verdict == "ok" and front.core.stack.give(entry, self.now) == DONE:
            assert not overdue, "a key waits for its turn, and nobody looked"
        elif entry.state == LEASED:
            front.core.release(entry, self.now, verdict)
        else:
            front.core.settle(self.now)
        if overdue and self.eager and on_their_way < len(overdue) and not self.ring.paused:
            assert self.closing() > closing, f"{overdue} wait for their turn in vain"
        self.follow(front)

    def overdue(self, busy: Front) -> list[str]:
        """Keys that have nothing, and have waited for their turn."""
        return [
            str(one.key)
            for one in self.ring._queue
            if one is not busy.core and not one.size
            and self.now - queued(one)[0].since >= TURN_AFTER
        ]  # fmt: skip

    def closing(self) -> int:
        return sum(len(core.roster.closing) for core in self.ring.members)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def lose_a_lease(self, data: st.DataObject) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        lease.entry.resource.let_go()
        lease.entry.resource.tainted = True
        del lease.entry
        self.settle(lease.front)

    # Connectors.

    def having(self, what: Literal["connects", "chores"]) -> list[Front]:
        return [front for front in self.ring.known() if getattr(front, what)]

    @precondition(lambda self: self.having("connects"))
    @rule(data=st.data(), ok=st.sampled_from([True, True, False]))
    def a_connect_ends(self, data: st.DataObject, ok: bool) -> None:
        front = data.draw(st.sampled_from(self.having("connects")))
        self.end_connect(front, front.connects.pop(0), ok)

    def end_connect(self, front: Front, connect: Connect, ok: bool) -> None:
        if ok:
            resource = front.ledger.opened()
            resource.number += 1000 * ord(str(front.core.key))
            resource.tainted = connect.generation != front.core.stack.generation
            self.resources.append(resource)
            front.core.connected(connect, resource, self.now)
        else:
            front.core.connect_failed(connect, Trouble("refused"), self.now)
        self.follow(front)

    @precondition(lambda self: self.having("chores"))
    @rule(data=st.data(), ok=st.booleans())
    def a_chore_ends(self, data: st.DataObject, ok: bool) -> None:
        front = data.draw(st.sampled_from(self.having("chores")))
        self.end_chore(front, front.chores.pop(0), ok)

    def end_chore(self, front: Front, chore: Chore, ok: bool) -> None:
        chore.entry.resource.let_go()
        if isinstance(chore, Close):
            front.core.closed(chore, self.now)
        elif isinstance(chore, Ping):
            front.core.pinged(chore.entry, ok, self.now)
        else:
            front.core.was_reset(chore.entry, ok, self.now)
        self.follow(front)

    # Time and orders.

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keep_time()

    @rule()
    def the_stirred_are_visited(self) -> None:
        self.rouse()

    @rule(key=KEYS)
    def invalidate(self, key: str) -> None:
        front = self.ring.fronts.get(key)
        if front is not None:
            front.ledger.invalidated()
            front.core.invalidate_all(self.now)
            self.follow(front)

    @rule(total=st.integers(1, 4))
    def resize(self, total: int) -> None:
        self.ring.resize(total, self.now)
        self.rouse()

    @rule()
    def pause(self) -> None:
        self.ring.paused = True
        for front in self.ring.known():
            front.core.pause(self.now)
            self.follow(front)
            assert front.core.stack.take(self.now) is None

    @rule()
    def resume(self) -> None:
        self.ring.paused = False
        for front in self.ring.known():
            front.core.resume(self.now)
            self.follow(front)

    # After every step.

    @invariant()
    def everything_holds(self) -> None:
        if not hasattr(self, "ring"):
            return
        self.keep_time()
        ring = self.ring
        assert set(ring.fronts) == {core.key for core in ring.members}
        assert not set(ring.fronts) & set(ring._faded), "a key is there twice"
        if ring.held <= ring.limit:
            self.most = ring.limit
        assert ring.held <= max(ring.limit, getattr(self, "most", 4)), "too many slots"
        for front in ring.fronts.values():
            self.assert_key(front)
        self.assert_served()
        stats = ring.stats(self.now)
        assert stats.acquired == self.leased + self.unclaimed()
        assert stats.created == len(self.resources)

    def assert_key(self, front: Front) -> None:
        core = front.core
        assert core.size or core.waiters or core.backoff.failures or not self.prompt
        front.ledger.resources = front.ledger.resources[-core.roster.created :]
        if not core.roster.created:
            front.ledger.resources = []
        if self.ring.has_room and not self.ring.stirred:
            assert_sound(core, front.ledger, self.now)

    def assert_served(self) -> None:
        """No key waits for a slot that is there (or could be)."""
        ring = self.ring
        if not self.prompt or not ring._queue or ring.paused:
            return
        free = ring.limit - ring.held
        assert free <= 0, f"{[core.key for core in ring._queue]} wait beside {free} free slots"
        wanted = sum(core.shortfall(self.now) for core in ring._queue)
        if wanted > sum(len(core.roster.closing) for core in ring.members):
            spare = [core for core in ring.members if ring._needless(core) is not None]
            assert not spare, "a key waits beside an idle connection of another"
        assert all(core.stack.alert <= self.now for core in ring.members), "releases go unseen"

    def unclaimed(self) -> int:
        return sum(
            caller.state == GRANTED and caller.entry is not None and caller.entry.state == LEASED
            for caller in self.callers
        )

    def teardown(self) -> None:
        if not hasattr(self, "ring"):
            return
        self.ring.resize(max(self.ring.limit, 1), self.now)
        self.resume()
        for _ in range(400):
            if not self.callers and not self.leases:
                break
            self.one_turn()
        assert not self.callers, f"keys starve: {[one.front.core.key for one in self.callers]}"
        fronts = self.ring.known()
        for front in fronts:
            front.core.close(self.now)
            self.follow(front)
        self.work()
        assert not self.ring.held
        assert_closed_once(self.resources)

    def work(self) -> None:
        for front in self.ring.known():
            while front.connects or front.chores:
                while front.connects:
                    self.end_connect(front, front.connects.pop(0), ok=True)
                while front.chores:
                    self.end_chore(front, front.chores.pop(0), ok=True)

    def one_turn(self) -> None:
        """Let time pass, work succeed, callers come, and one lease end."""
        self.clock.advance(0.11)
        self.rouse()
        self.work()
        self.keep_time()
        for caller in list(self.callers):
            if caller.woken and caller in self.callers:
                self.answer(caller)
        if self.leases:
            self.end(self.leases[0])


KeyedMachine.TestCase.settings = settings(max_examples=some(80), stateful_step_count=40)
TestKeyedCoresUnderAnySequenceOfCalls: Any = KeyedMachine.TestCase
