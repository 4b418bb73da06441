"""The invariants of a pool, written once, for every proof that there is.

Strategy: a proof keeps a ``Ledger`` of what the world saw (who was given what, what was closed),
built from ``Resource`` doubles that assert at once what must never happen to them. After each step
it calls ``assert_sound``; when everything has come to rest ``assert_at_rest``; after the end
``assert_ended``. The numbers are those of the pool's specification:

 1 slots <= max_size                         10 no older generation after invalidate_all
 2 one state, at most one owner              11 none past lifetime or uses, nor while reserved
 3 no lost slot                              12 close exactly once, unless detached
 4 no lost wake-up                           13 a double release is refused, nothing changes
 5 a grant reaches somebody                  14 connecting <= max_connecting, delays bounded
 6 a cancel is never swallowed               16 close: ends, and stays closed
 7 acquire ends by its deadline              17 what went in came out
 8 fair                                      18 pruning respects the floor and leases
 9 nothing tainted is handed out again       19 a million failures cost nothing
                                             21 no wall clock

6, 7 and 19 to 21 are about drivers, and have tests of their own; 15 holds in asyncio by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from cenote.pool.core import PoolCore
from cenote.pool.fast import CLOSING, IDLE, LEASED, RESERVED, RESETTING
from cenote.pool.fast_path import Entry
from cenote.pool.lull import MOST
from cenote.pool.waiters import QUEUED, Ticket
from tests.pool.doubles import Resource

Core = PoolCore[Resource]


class Ledger:
    """What the world has seen of one pool.

    Attributes:
        resources: Every resource that was ever opened.
        detached: Those that are the pool's no more.
        largest: The largest ``max_size`` that a slot now held may have been taken under.
    """

    def __init__(self, max_size: int) -> None:
        self.resources: list[Resource] = []
        self.detached: set[Resource] = set()
        self.largest = max_size

    def opened(self) -> Resource:
        """Make one more resource."""
        resource = Resource(len(self.resources) + 1)
        self.resources.append(resource)
        return resource

    def invalidated(self) -> None:
        """Nothing that exists now may be handed out again."""
        for resource in self.resources:
            resource.tainted = True

    def resized(self, size: int, max_size: int) -> None:
        """A smaller maximum is reached as slots become free."""
        self.largest = max(size, max_size)


def assert_leased(core: Core, entry: Entry[Resource], now: float) -> None:
    """Assert that an entry may be handed out now (2, 9, 10, 11); the other half is ``hold``."""
    options = core.options
    assert entry.state == LEASED
    assert entry.generation == core.stack.generation, "of an older generation"
    assert now < entry.expires, "past its lifetime"
    assert entry.resource is not None
    if options.max_lifetime is not None:
        assert entry.expires - entry.born <= options.max_lifetime
        assert entry.expires - entry.born >= options.max_lifetime * (1 - options.lifetime_jitter)
    if options.max_uses is not None:
        assert entry.uses <= options.max_uses, "past its uses"


def assert_fair(core: Core, ticket: Ticket[Resource] | None, now: float, *, waited: bool) -> None:
    """Assert that whoever was granted an entry just now was not out of turn (8)."""
    serial = ticket.serial if ticket is not None else 0
    older = [one for one in queued(core) if serial == 0 or one.serial < serial]
    fairness = core.options.fairness
    if fairness == "strict" or (waited and fairness == "eventual"):
        assert not older, f"{ticket} was granted before older waiters"
    elif fairness == "eventual" and older:
        due = max(older[0].since + core.options.fair_after, core.next_handoff)
        assert now < due, "the head waiter is due"


def queued(core: Core) -> list[Ticket[Resource]]:
    """Return those who wait, oldest first."""
    return list(core.waiters._tickets.values())


def assert_sound(core: Core, ledger: Ledger, now: float) -> None:
    """Assert everything that holds after every step, once ready events ran."""
    _assert_slots(core, ledger)
    _assert_states(core)
    _assert_no_lost_wake_up(core, now)
    _assert_bounded(core, now)
    _assert_accounts(core, ledger)


def _assert_slots(core: Core, ledger: Ledger) -> None:
    states = Counter(entry.state for entry in core.roster)
    held = states[IDLE] + states[RESERVED] + states[LEASED] + states[RESETTING] + states[CLOSING]
    if held + len(core.connects) <= core.max_size:
        ledger.largest = core.max_size
    most = ledger.largest + core.options.burst
    assert held + len(core.connects) <= most, f"{held}+{len(core.connects)} slots"


def _assert_states(core: Core) -> None:
    idle = list(core.stack.idle)
    assert len({id(entry) for entry in idle}) == len(idle), "an entry is idle twice"
    assert all(entry.state == IDLE for entry in idle)
    resting = {entry.serial for entry in core.roster if entry.state == IDLE}
    assert resting == {entry.serial for entry in idle}, "an idle entry is not for the taking"
    assert all(entry.resource.owner is None for entry in idle), "an idle entry is somebody's"


def _assert_no_lost_wake_up(core: Core, now: float) -> None:
    waiting = queued(core)
    assert all(ticket.state == QUEUED for ticket in waiting)
    assert [one.serial for one in waiting] == sorted(one.serial for one in waiting)
    if not waiting or core.phase not in {"ready", "draining"}:
        return
    if waiting[0].nudged:
        return  # it is awake, and has the core settle when it comes
    if core.watcher is not None:
        assert core.watcher in waiting
        assert core.watcher.again <= now + MOST, "nobody looks whether there is something to be had"
        return  # it comes soon by itself, and has the core settle then
    assert not core.stack.idle, "somebody waits beside an idle connection"
    if now < core.backoff.retry_at or len(waiting) <= core.connecting + len(core.stack.idle):
        return
    assert not core.may_add(now), "somebody waits beside a free slot"


def _assert_bounded(core: Core, now: float) -> None:
    options, failures = core.options, core.backoff.failures
    assert core.connecting <= options.max_connecting
    if failures:
        limit = min(options.backoff_cap, options.backoff_base * 2.0 ** (failures - 1))
        assert core.backoff.retry_at <= now + limit
    if now < core.backoff.retry_at and core.phase == "ready" and core.may_add():
        due = core.due <= core.backoff.retry_at
        assert due or core.wanted <= core.connecting, "nobody comes back after the back-off"


def _assert_accounts(core: Core, ledger: Ledger) -> None:
    acquired, used = core.roster.acquired()
    roster = core.roster
    assert acquired - used - roster.detached - roster.lost >= 0
    assert roster.created == sum(roster.closed.values()) + len(roster) + roster.detached
    assert roster.created == len(ledger.resources)
    unclosed = [one for one in ledger.resources if not one.closes and one not in ledger.detached]
    assert len(unclosed) <= len(roster), "a connection was forgotten"


def assert_at_rest(core: Core, ledger: Ledger) -> None:
    """Assert that nothing is lost once nobody holds or awaits a thing, and all is done (3, 5)."""
    assert not queued(core)
    assert not core.connects
    assert core.size == len(core.stack.idle), f"{core.size - len(core.stack.idle)} slots are lost"
    assert core.size <= core.max_size, "a burst is over and its connections are still there"
    assert not core.stack.lent
    assert all(resource.owner is None for resource in ledger.resources)
    acquired, used = core.roster.acquired()
    assert used == 0
    assert acquired >= core.roster.detached + core.roster.lost


def assert_ended(core: Core, ledger: Ledger) -> None:
    """Assert that a closed pool has let go of everything, each thing once (12, 16)."""
    assert core.phase == "closed"
    assert core.size == 0
    assert_closed_once(ledger.resources, ledger.detached)


def assert_closed_once(resources: Iterable[Resource], detached: Collection[Resource] = ()) -> None:
    """Assert that close was called once on every resource but those detached (12)."""
    for resource in resources:
        expected = 0 if resource in detached else 1
        assert resource.closes == expected, f"{resource} was closed {resource.closes} times"
