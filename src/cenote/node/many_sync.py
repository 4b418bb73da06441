"""One batch of requests, each to a server of its own, from threads: all in flight before one reply.

Strategy: lease and start on each server in the order given, then finish each; no thread is made.
Leases are taken in one global order (that of the servers in their cluster), one a server, so two
batches can not wait for each other's however small the pools are: of the servers that batches wait
for, whoever holds the last one waits for nobody. For the same reason a request that may be sent
again is sent when the batch holds nothing any more.

A server that has just failed is asked last, when the batch holds nothing of the others: whoever
waits for one that may be dead must not keep theirs.

Whatever interrupts a batch destroys the connections that have not been finished. Twin:
``many_aio.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.errors import CenoteError
from cenote.node.retry import may_retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.connection.sync import Connection
    from cenote.node.sync import Node
    from cenote.pool.fast import Entry
    from cenote.protocol import Reply, Request


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
        for flight in flights:
            flight.start(deadline)
        for flight in flights:
            flight.finish(deadline)
    except BaseException as error:
        for flight in flights:
            flight.abandon(error)
        raise


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

    def start(self, deadline: float) -> None:
        pool = self._node.pool
        try:
            self._entry = pool.checkout_nowait() or pool.checkout(deadline)
            self._entry.resource.start(self._request, deadline)
        except CenoteError as error:
            self._fail(error)

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
