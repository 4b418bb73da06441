"""Drives fail-over: who is ejected, told, probed, and where the keys of a server go that is down.

Strategy: what to do is decided by the pure parts (``failover.py``, ``node/health.py``); here are
their lock and their alarm, and what follows from a decision: other routes, a probe, a callback.

* All is well: requests are routed to their servers as if nobody watched. Evidence is what a node
  and its connector report when something fails. Once in a while one request of each server goes by
  way of a stop-watch (``detour_aio.py``), which takes itself out of the routes again.
* A server is ejected: the routes of its keys lead to a `AsyncDetour`; no other route changes.
* A server comes back: the connection that proves it has its old values dealt with first, within the
  connect, before its pool has it. Nobody can have read them in between.

Under the lock nothing is called but the pure parts, and no user's code. A callback is called by
whichever thread or task brought the change about, one at a time, in the order of the changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from cenote.cluster.detour_aio import AsyncDetour, AsyncGuard, AsyncStopwatch
from cenote.cluster.diverting_aio import AsyncDiverting
from cenote.cluster.failover import Change, FailoverOptions
from cenote.cluster.member_aio import AsyncMember
from cenote.cluster.placing import Routes
from cenote.cluster.router import Hashing
from cenote.cluster.sentry_aio import AsyncSentry
from cenote.cluster.topology import Topology
from cenote.node.budget import RetryBudget
from cenote.node.health import Vigil
from cenote.runtime.aio import Alarm, Exchange, Turn, monotonic

_SAMPLE_EVERY = 0.5  # seconds between two requests of a server that are timed
_AGAIN = 0.05  # seconds until a probe that came at a bad moment is made again

_log = logging.getLogger("cenote.cluster")


class AsyncFailover(AsyncDiverting):
    """Watches the servers of one cluster.

    Args:
        options: What to do when one fails.
        retry_budget: Second tries as a share of all requests; None: no limit.
        hashing: Which server has a key.
        prefix_size: How many bytes in front of every key are the client's prefix.
        gutter: The servers that step in.
        publish: Puts routes in the place of the present ones.

    Attributes:
        budget: What pays for second tries.
    """

    def __init__(
        self,
        options: FailoverOptions,
        *,
        retry_budget: float | None,
        hashing: Hashing,
        prefix_size: int,
        gutter: Sequence[AsyncMember],
        publish: Callable[[Routes], None],
    ) -> None:
        super().__init__(options, hashing, prefix_size, gutter)
        self.budget = RetryBudget(retry_budget, monotonic())
        self._publish = publish
        self._closed = False
        self._begin()
        self._asleep = False
        for member in gutter:
            member.node.spend = self.spend

    def _begin(self) -> None:
        self._turn = Turn()
        self._telling = Turn()
        self._alarm = Alarm(self._ring)
        self._changes: deque[tuple[str, str | None]] = deque()
        self._unsampled = False

    def renew(self) -> None:
        """In a forked child: whoever kept a turn is not there, nor what the parent has begun."""
        self._begin()
        self._asleep = True
        for vigil, sentry in self._sentries.items():
            sentry.timing = True
            vigil.probe_again(vigil.probe_at)
        self._route()

    # The servers.

    def watch(self, topology: Topology[AsyncMember]) -> None:
        """Watch over these servers from now on, and route to them."""
        with self._turn:
            self._topology = topology
            known, self._sentries = self._sentries, {}
            for member in topology.everybody:
                vigil = member.node.vigil
                sentry = self._sentries[vigil] = known.get(vigil) or AsyncSentry(self, member)
                sentry.belongs_to(member)
                member.node.watched_by(sentry)
                member.node.spend = self.spend
            sets = [member.replicas for member in topology.members if member.replicas]
            for replicas in sets:
                replicas.watched_by(self)
            self._board.enrol(
                list(self._sentries),
                [[each.node.vigil for each in replicas.members] for replicas in sets],
            )
            self._probe_the_last()
            self._route()

    def _probe_the_last(self) -> None:
        """Probe at once a server that was down when the others left: nobody else is there."""
        if len(self._sentries) == 1 and not self._alone:
            now = monotonic()
            for vigil in self._sentries:
                if vigil.down:
                    vigil.probe_again(now)
                    self._plan(now)

    @property
    def ejections(self) -> int:
        """How often a server was ejected, of those there are."""
        return sum(vigil.ejections for vigil in self._board.vigils)

    @property
    def hedged(self) -> int:
        """How many reads were sent twice because their reply was late, of the servers there are."""
        return sum(member.node.hedged for member in self._topology.everybody)

    def close(self) -> None:
        """Probe nothing any more."""
        self._closed = True
        self._alarm.cancel()

    def _route(self) -> None:
        """Publish how the servers are to be asked now; under the lock."""
        topology = self._topology
        if self.diverts(topology):
            requests = [self._entrance(member) for member in topology.members]
            self._publish(Routes(topology.routes.placer, requests))
        else:
            self._publish(topology.routes)

    def _entrance(self, member: AsyncMember) -> Exchange:
        if member.replicas is not None:
            return member.request
        sentry = self._sentries[member.node.vigil]
        if sentry.vigil.down:
            return AsyncDetour(self, member).request
        request = member.request
        if sentry.timing:
            request = AsyncStopwatch(self, sentry).request
        return AsyncGuard(self, member, request).request if self.moves else request

    # Evidence.

    def failed(self, sentry: AsyncSentry, count: int, *, lost: bool) -> None:
        """Take note of requests that were not answered."""
        answered, now = sentry.member.node.answered(), monotonic()
        with self._turn:
            sentry.vigil.failed(answered, now, count, lost=lost)
            ejected = self._review(sentry.vigil, now)
        self._follow_up(ejected)

    def connect_failed(self, sentry: AsyncSentry, *, rejected: bool) -> None:
        """Take note of a connect that failed; one that was rejected was answered all the same."""
        answered, now = sentry.member.node.answered(), monotonic()
        with self._turn:
            if not rejected or sentry.vigil.down:
                sentry.vigil.connect_failed(answered, now)
            ejected = self._review(sentry.vigil, now)
            self._plan(now)
        self._follow_up(ejected)

    def connected(self, sentry: AsyncSentry) -> None:
        """Take note of a connect; it may be the probe that brings a server back."""
        if self.may_return(sentry):
            sentry.member.node.pool.recover()
        now = monotonic()
        with self._turn:
            vigil = sentry.vigil
            vigil.connected()
            if vigil.may_return(now):
                if sentry.journal.empty:
                    sentry.is_stale = False
                    self._note(self._board.restore(vigil, now))
                else:  # written to since it was greeted
                    vigil.probe_again(now + _AGAIN)
            self._plan(now)
        self._follow_up(None)

    def wake(self) -> None:
        """Have servers that are down probed: a forked child begins when it asks for the first."""
        if self._asleep:
            with self._turn:
                self._asleep = False
                self._plan(monotonic())

    def may_return(self, sentry: AsyncSentry) -> bool:
        """Tell whether a connect that succeeds now is the probe that brings the server back."""
        with self._turn:
            return sentry.vigil.may_return(monotonic())

    def take_out(self, member: AsyncMember, reason: str) -> None:
        """Have a replica not asked any more until it has been flushed; the last one stays."""
        now = monotonic()
        with self._turn:
            change = self._board.take_out(member.node.vigil, reason, now)
            self._note(change)
            self._plan(now)
        self._follow_up(None if change is None else member)

    def timing(self, member: AsyncMember) -> Exchange | None:
        """Return what sends a replica's request and times it; None: none is to be timed now."""
        sentry = self._sentries.get(member.node.vigil)
        if sentry is None or not sentry.timing:
            return None
        return AsyncStopwatch(self, sentry).request

    def measured(self, sentry: AsyncSentry, seconds: float) -> None:
        """Take note of how long a request took."""
        now = monotonic()
        with self._turn:
            sentry.vigil.measured(seconds)
            ejected = self._review(sentry.vigil, now)
        self._follow_up(ejected)

    def timed(self, sentry: AsyncSentry) -> None:
        """Have a server's requests take the straight way again: one of them is being timed."""
        with self._turn:
            sentry.timing = False
            self._route()
            unset, self._unsampled = not self._unsampled, True
        if unset and not self._closed:
            self._alarm.set(_SAMPLE_EVERY)

    def _review(self, vigil: Vigil, now: float) -> AsyncMember | None:
        change = self._board.review(vigil, now)
        self._note(change)
        self._plan(now)
        return None if change is None else self._sentries[vigil].member

    def _note(self, change: Change | None) -> None:
        sentry = None if change is None else self._sentries.get(change.vigil)
        if change is not None and sentry is not None:  # else it has left: nobody asks it any more
            self._changes.append((sentry.member.server.name, change.reason))
            self._route()

    # What follows, without the lock.

    def _follow_up(self, ejected: AsyncMember | None) -> None:
        if ejected is not None:
            ejected.node.pool.invalidate_all()
        self._tell()

    def _plan(self, now: float) -> None:
        due = self._board.next_probe()
        if due < inf and not self._closed:
            self._alarm.set(max(0.0, due - now))

    def _ring(self) -> None:
        """Time has come to probe, or to time a request again."""
        now = monotonic()
        with self._turn:
            if self._closed:
                return
            due = [self._sentries[vigil].member for vigil in self._board.to_probe(now)]
            if self._unsampled:
                self._unsampled = False
                for sentry in self._sentries.values():
                    sentry.timing = True
                self._route()
        for member in due:
            if not member.node.probe():
                with self._turn:
                    member.node.vigil.probe_again(monotonic() + _SAMPLE_EVERY)
        with self._turn:
            self._plan(monotonic())

    def _tell(self) -> None:
        """Call those who want to know, one at a time; whoever comes meanwhile leaves it to us."""
        while self._changes and self._telling.acquire(blocking=False):
            try:
                while self._changes:
                    self._announce(*self._changes.popleft())
            finally:
                self._telling.release()

    def _announce(self, name: str, reason: str | None) -> None:
        down, up = self.options.on_node_down, self.options.on_node_up
        if reason is None:
            _log.warning("server %s is back in service", name)
        else:
            _log.warning("server %s is down: %s", name, reason)
        try:
            if reason is None and up is not None:
                up(name)
            elif reason is not None and down is not None:
                down(name, reason)
        except Exception:  # noqa: BLE001 - it is theirs, and must not stop us
            _log.exception("on_node_%s raised for %s", "up" if reason is None else "down", name)

    # Second tries.

    def spend(self) -> bool:
        """Tell whether something may be sent a second time, now."""
        requests, now = sum(m.node.asked() for m in self._topology.everybody), monotonic()
        with self._turn:
            return self.budget.spend(requests, now)
