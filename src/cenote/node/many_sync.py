"""One batch of requests, each to a server of its own, from threads: all in flight before one reply.

Strategy: lease and start on each server in the order given, then finish each as its reply comes; no
thread is made. Leases are taken in one global order (that of the servers in their cluster), one a
server, so two batches can not wait for each other's however small the pools are: of the servers
that batches wait for, whoever holds the last one waits for nobody. For the same reason a request
that may be sent again is sent when the batch holds nothing any more.

A server that hangs must not cost the others their connections. So a lease is given back as soon as
its reply has been read, whoever is still waited for; before the batch queues at a pool, those that
are out have a moment to come back; and a server that has just failed is asked last, when the batch
holds nothing of the others.

Whatever interrupts a batch destroys the connections that have not been finished. Twin:
``many_aio.py``.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from cenote.connection.awaiting_sync import await_any
from cenote.errors import CenoteError
from cenote.node.retry import may_retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.connection.sync import Connection
    from cenote.node.sync import Node
    from cenote.pool.fast import Entry
    from cenote.protocol import Reply, Request

_MOMENT: Final = 0.005  # seconds in which the replies come where all is well


def exchange_all(asked: Sequence[tuple[Node, Request]], deadline: float) -> list[Reply]:
    """Send each request to its server and return the replies, errors as values.

    Args:
        asked: Servers, each once and in their one order, and what to ask them.
        deadline: Absolute, on the monotonic clock; covers everything.
    """
    flights = [_Flight(node, request) for node, request in asked]
    doubtful = [flight for flight in flights if flight.in_doubt()]
    _fly(
        [flight for flight in flights if flight not in doubtful] if doubtful else flights, deadline
    )
    _fly(doubtful, deadline)
    return [flight.land(deadline) for flight in flights]


def _fly(flights: Sequence[_Flight], deadline: float) -> None:
    """Start all, finish all; nothing is held any more after that."""
    try:
        for number, flight in enumerate(flights):
            if not flight.board_at_once():
                _land_soon(flights[:number], deadline, wait=flight.must_queue())
                flight.board(deadline)
            flight.start(deadline)
        _land(flights, deadline)
    except BaseException as error:
        for flight in flights:
            flight.abandon(error)
        raise


def _land(flights: Sequence[_Flight], deadline: float) -> None:
    """Finish all, each as its reply comes; the last one keeps nobody waiting."""
    late = _land_soon(flights[:-1], deadline)
    late += [flight for flight in flights[-1:] if flight.is_out]
    while len(late) > 1 and await_any([flight.channel for flight in late], deadline):
        late = [flight for flight in late if not flight.has_landed(deadline)]
    for flight in late:
        flight.finish(deadline)


def _land_soon(flights: Sequence[_Flight], deadline: float, *, wait: bool = True) -> list[_Flight]:
    """Finish those whose replies come within a moment, one after the other; return the others.

    As a rule all do, and when the first has come so have the rest: that is the quickest way.
    Without ``wait``, those that are there.
    """
    soon = min(deadline, monotonic() + _MOMENT) if wait else 0.0
    return [flight for flight in flights if not flight.lands_by(soon, deadline)]


class _Flight:
    """One request of a batch: on its way, or what came of it."""

    __slots__ = ("_again", "_entry", "_node", "_request", "_result")

    def __init__(self, node: Node, request: Request) -> None:
        self._node = node
        self._request = request
        self._entry: Entry[Connection] | None = None
        self._result: Reply = None
        self._again = False

    def in_doubt(self) -> bool:
        """Tell whether the server has failed lately, and not answered since."""
        return self._node.in_doubt()

    @property
    def is_out(self) -> bool:
        """Whether it holds a connection."""
        return self._entry is not None

    @property
    def channel(self) -> Connection:
        """The connection it has leased, and not given back."""
        assert self._entry is not None
        return self._entry.resource

    def board_at_once(self) -> bool:
        """Lease a connection; False: one would have to be waited for."""
        self._entry = self._node.pool.checkout_nowait()
        return self._entry is not None

    def must_queue(self) -> bool:
        """Tell whether a connection has to come back before there is one to lease."""
        stats = self._node.pool.stats()
        return not stats.idle and stats.live >= stats.max_size

    def board(self, deadline: float) -> None:
        try:
            self._entry = self._node.pool.checkout(deadline)
        except CenoteError as error:
            self._fail(error)

    def start(self, deadline: float) -> None:
        if self._entry is None:
            return
        try:
            self.channel.start(self._request, deadline)
        except CenoteError as error:
            self._fail(error)

    def has_landed(self, deadline: float) -> bool:
        """Finish, unless that would mean to wait; tell whether nothing is held any more."""
        if self._entry is None:
            return True
        try:
            ready = self.channel.advance()
        except CenoteError as error:
            self._fail(error)
            return True
        if ready:
            self.finish(deadline)
        return ready

    def lands_by(self, soon: float, deadline: float) -> bool:
        """Finish, if the reply has come by ``soon``; tell whether nothing is held any more."""
        if self.has_landed(deadline):
            return True
        return await_any([self.channel], soon) and self.has_landed(deadline)

    def finish(self, deadline: float) -> None:
        entry = self._entry
        if entry is None:
            return
        try:
            self._result = entry.resource.finish(deadline)
        except CenoteError as error:
            self._fail(error)
        else:
            self._entry = None
            self._node.pool.checkin(entry)

    def land(self, deadline: float) -> Reply:
        """Return the reply or the error; send again what may be."""
        if not self._again:
            return self._result
        try:
            return self._node.once_more(self._request, deadline)
        except CenoteError as error:
            return error

    def abandon(self, error: BaseException) -> None:
        """Give the connection back as what it is: in the middle of an exchange."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._node.pool.checkin(entry, error)

    def _fail(self, error: CenoteError) -> None:
        self._result = error
        entry = self._entry
        if entry is not None:
            again = may_retry(self._request, error, uses=entry.uses)
            self.abandon(error)
            self._again = again and self._node.spend()
