"""One memcached server, from threads: an exclusive lease for each request.

Strategy: a request takes a connection from the node's pool, is exchanged on it, and gives it back;
the connection proves by itself whether it is clean. That is ``lane.py``. Everything else (the one
retry, what the server can do, its health) is asked for only when it matters. Twin: ``aio.py``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from operator import attrgetter
from random import Random
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakMethod

from cenote._implementation import use_compiled
from cenote.connection.sync import Connection, connect
from cenote.connection.whereabouts import Whereabouts
from cenote.errors import ConnectionLost
from cenote.node.health import Condition, NodeHealth, Vigil, assess, condition
from cenote.node.identity import attributes
from cenote.node.verdicts import NOT_ANSWERED, SOONER, classify
from cenote.node.witness_sync import UNWATCHED, Witness
from cenote.pool import registry
from cenote.pool.sync import Pool

if TYPE_CHECKING or not use_compiled("cenote.node._lane_c"):
    from cenote.node.lane import Lane
else:
    from cenote.node._lane_c import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.connection import Access, Address, Traits
    from cenote.pool import CloseReport, Observer, PoolOptions, PoolStats
    from cenote.pool.connector import Verdict
    from cenote.protocol import Reply, Request


__all__ = ["Connection", "Node", "ServerConnector"]


class ServerConnector:
    """Tells a pool how to open, check and judge connections to one server.

    Attributes:
        traits: What the latest handshake learned; None before the first.
        last_error: Why the latest connect failed; None if it did not.
        whereabouts: Watches where the server's name leads.
        unanswered: Leases that ended because the server did not answer.
        witness: Is told how it does.
    """

    def __init__(self, address: Address, access: Access, timeout: float) -> None:
        self._address = address
        self._access = access
        self._timeout = timeout
        self.traits: Traits | None = None
        self.last_error: str | None = None
        self.whereabouts: Whereabouts | None = None
        self.unanswered = 0
        self.witness: Witness = UNWATCHED

    def connect(self, timeout: float) -> Connection:
        """Open a connection and shake hands, within ``timeout`` seconds."""
        deadline = monotonic() + timeout * SOONER
        try:
            connection = connect(
                self._address,
                self._access,
                timeout=timeout * SOONER,
                whereabouts=self.whereabouts,
            )
            if self.witness.greets:
                self._greet(connection, deadline)
        except Exception as error:
            self.last_error = str(error)
            self.witness.connect_failed(error)
            raise
        self.traits, self.last_error = connection.traits, None
        try:
            self.witness.connected()
        except BaseException:  # of a user's callback: nobody else knows of the connection
            connection.abort()
            raise
        return connection

    def _greet(self, connection: Connection, deadline: float) -> None:
        try:
            self.witness.greet(connection, deadline)
        except BaseException:
            connection.abort()
            raise

    def close(self, connection: Connection) -> None:
        """Close a connection."""
        connection.close()

    def abort(self, connection: Connection) -> None:
        """Let go of a connection without a word to the peer."""
        connection.abort()

    def is_alive(self, connection: Connection) -> bool:
        """Look whether the peer is there and silent; no round trip."""
        return connection.is_alive()

    def ping(self, connection: Connection) -> None:
        """Make a round trip, or raise."""
        connection.exchange(connection.traits.probe(), monotonic() + self._timeout)

    is_clean = staticmethod(attrgetter("clean"))

    def classify(self, error: BaseException) -> Verdict:
        """Judge the error that a lease ended with."""
        if isinstance(error, NOT_ANSWERED):
            self.witness.failed(lost=isinstance(error, ConnectionLost))
            self.unanswered += 1  # of the leases that ended, as this one is about to
        return classify(error)


class Node:
    """One server and the pool of connections to it.

    Thread-safe. Opens nothing until the first request or ``open``.

    Args:
        address: Where the server listens.
        name: Its name in health reports and error texts.
        access: What it takes to be let in.
        options: The pool's options.
        observer: Listens to the pool.

    Attributes:
        pool: The connections.
        vigil: What is known of the server's health.
        spend: Asked before a request is sent a second time: whether that may be.
        hedged: Reads that were sent twice because their reply was late: none, from threads.
        request: Sends a request and returns its reply: ``request(request, deadline)``; `Lane` says
            what it raises.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        access: Access,
        options: PoolOptions,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.retries = 0
        self.vigil = Vigil(options.down_after, Random())
        self.spend: Callable[[], bool] = _freely
        self.hedged = 0
        self._connector = ServerConnector(address, access, options.connect_timeout)
        self.pool: Pool[Connection] = Pool.from_options(
            self._connector, options, name=name, observer=observer
        )
        self._connector.whereabouts = Whereabouts(self.pool.invalidate_all)
        registry.describe(self.pool, attributes(address), WeakMethod(self.condition))
        self.request = Lane(self.pool, self.once_more, self._may_spend).request

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    def open(self, timeout: float | None = None) -> None:
        """Wait until the pool has its minimum of connections.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            PoolTimeout: They were not open in time.
        """
        self.pool.open(wait=True, timeout=timeout)

    def shut(self) -> None:
        """Begin to close without waiting: refuse new requests, let those under way end."""
        self.pool.shut()

    def close(self, timeout: float = 10.0) -> CloseReport:
        """Close the pool; requests under way have ``timeout`` seconds to end."""
        return self.pool.close(timeout)

    def post(self, request: Request, deadline: float) -> None:
        """Send a quiet ``request`` and return without its reply, which is verified later.

        Raises: As `Lane.request`, but for errors of the server, which nobody hears of.
        """
        with self.lease(deadline) as connection:
            connection.post(request, deadline)

    def lease(self, deadline: float) -> AbstractContextManager[Connection]:
        """Lease a connection for work of several steps; it comes back when the block ends."""
        return self.pool.connection(max(0.0, deadline - monotonic()))

    def traits(self, deadline: float) -> Traits:
        """What the server can do, by its latest handshake; connects if there was none."""
        known = self._connector.traits
        if known is not None:
            return known
        with self.lease(deadline) as connection:
            return connection.traits

    def health(self) -> NodeHealth:
        """What is known of the server now, from the pool's evidence; no I/O."""
        return assess(
            self.name,
            self.pool.stats(),
            retries=self.retries,
            last_error=self._connector.last_error,
            vigil=self.vigil,
            suspect=self.in_doubt(),
        )

    def condition(self, stats: PoolStats) -> Condition:
        """What is exported of the server, by its pool's figures; from any thread."""
        connector = self._connector
        return condition(
            stats,
            last_error=connector.last_error,
            unanswered=connector.unanswered,
            vigil=self.vigil,
        )

    def in_doubt(self) -> bool:
        """Tell whether the server has failed, and not answered since."""
        return self.vigil.suspect and not self.vigil.answered_since(self.answered())

    def watched_by(self, witness: Witness) -> None:
        """Have somebody told how the server does, from now on."""
        self._connector.witness = witness

    def answered(self) -> int:
        """How many leases have ended well; it grows while the server answers."""
        return self.pool.stats().released - self._connector.unanswered

    def probe(self) -> bool:
        """Open a connection to see how the server does, on none of which is relied any more.

        Returns:
            False: not now, the pool is backing off or opens one already.
        """
        self.pool.invalidate_all()
        return self.pool.grow()

    def _may_spend(self) -> bool:
        return self.spend()

    def asked(self) -> int:
        """How many requests there have been."""
        return self.pool.stats().acquired

    def once_more(self, request: Request, deadline: float) -> Reply:
        """The one retry, on another connection; what it raises stands."""
        self.retries += 1
        with self.lease(deadline) as connection:
            return connection.exchange(request, deadline)


def _freely() -> bool:
    return True
