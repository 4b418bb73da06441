"""The way of one request through a blocking node: lease, exchange, give back.

Strategy: this is all that happens to a request on a good day, so it is one function, compiled where
possible: the same file, as ``cenote.node._lane_c`` with the types in ``_lane_c.pxd``. It repeats in
its own words what ``Front.checkout`` and ``Front.checkin`` do, to do it without another call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.node.retry import may_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote import protocol
    from cenote.connection.sync import Connection
    from cenote.pool import sync


class Lane:
    """Carries requests over the connections of one pool; thread-safe as the pool is.

    Args:
        pool: Where the connections are.
        once_more: Sends a request that may be sent again.
        may_spend: Tells whether anything may, now.
    """

    __slots__ = ("__weakref__", "_may_spend", "_once_more", "_pool")

    def __init__(
        self,
        pool: sync.Pool[Connection],
        once_more: Callable[[protocol.Request, float], protocol.Reply],
        may_spend: Callable[[], bool],
    ) -> None:
        self._pool = pool
        self._may_spend = may_spend
        self._once_more = once_more

    def request(self, request: protocol.Request, deadline: float) -> protocol.Reply:
        """Send ``request`` and return its reply.

        Args:
            request: What an encoder of ``cenote.protocol`` made.
            deadline: Absolute, on the monotonic clock; covers the wait, the exchange, a retry.

        Raises:
            PoolError: No connection could be had.
            OperationTimeout, ConnectionLost, ProtocolError: The exchange failed; the connection is
                destroyed.
            ServerError, ClientError: The server answered with an error.
        """
        # An interrupt between the checkout and the try loses nothing: an entry that nobody holds
        # any more goes back to its pool as lost.
        pool = self._pool
        entry = pool.stack.take(pool.instruments.now())
        if entry is None:
            entry = pool.checkout(deadline)
        try:
            connection = entry.resource
            reply = connection.exchange(request, deadline)
        except BaseException as error:
            uses = entry.uses
            pool.checkin(entry, error)
            if not (may_retry(request, error, uses=uses) and self._may_spend()):
                raise
        else:
            answer = pool.stack.give(entry, pool.instruments.now())
            if answer:
                pool.conclude(entry, answer)
            return reply
        return self._once_more(request, deadline)
