"""One memcached server, from asyncio: callers share a few connections.

Strategy: requests of all callers travel in pipelines over lanes, which are connections leased from
the node's pool (``lane_aio.py``); a request suspends once, for its reply. Long values have lanes of
their own (``wide``), so that short ones do not wait behind them. Whoever needs a connection to
himself leases one. Twin: ``sync.py``.
"""

from __future__ import annotations

from operator import attrgetter
from random import Random
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakMethod

from cenote.connection.aio import AsyncConnection, connect
from cenote.connection.whereabouts import Whereabouts
from cenote.errors import CenoteError, ConnectionLost
from cenote.node.health import Condition, NodeHealth, Vigil, assess, condition
from cenote.node.hedged_aio import AsyncHedge
from cenote.node.identity import attributes
from cenote.node.lane_path_aio import Lanes
from cenote.node.line_aio import Line
from cenote.node.sharing import DEFAULTS, Sharing
from cenote.node.verdicts import NOT_ANSWERED, SOONER, Told, classify
from cenote.node.witness_aio import UNWATCHED, AsyncWitness
from cenote.pool import registry
from cenote.pool.aio import AsyncPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.connection import Access, Address, Traits
    from cenote.pool import CloseReport, Observer, PoolOptions, PoolStats
    from cenote.pool.connector import Verdict
    from cenote.pool.fast_aio import AsyncLease
    from cenote.protocol import Request
    from cenote.runtime.aio import Exchange


__all__ = ["AsyncConnection", "AsyncNode", "AsyncServerConnector"]


class AsyncServerConnector:
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
        self.witness: AsyncWitness = UNWATCHED

    async def connect(self, timeout: float) -> AsyncConnection:
        """Open a connection and shake hands, within ``timeout`` seconds."""
        deadline = monotonic() + timeout * SOONER
        try:
            connection = await connect(
                self._address,
                self._access,
                timeout=timeout * SOONER,
                whereabouts=self.whereabouts,
            )
            if self.witness.greets:
                await self._greet(connection, deadline)
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

    async def _greet(self, connection: AsyncConnection, deadline: float) -> None:
        try:
            await self.witness.greet(connection, deadline)
        except BaseException:
            connection.abort()
            raise

    def close(self, connection: AsyncConnection) -> None:
        """Close a connection."""
        connection.close()

    def abort(self, connection: AsyncConnection) -> None:
        """Let go of a connection without a word to the peer."""
        connection.abort()

    def is_alive(self, connection: AsyncConnection) -> bool:
        """Look whether the peer is there and silent; no round trip."""
        return connection.is_alive()

    async def ping(self, connection: AsyncConnection) -> None:
        """Make a round trip, or raise."""
        await connection.exchange(connection.traits.probe(), monotonic() + self._timeout)

    is_clean = staticmethod(attrgetter("clean"))

    def classify(self, error: BaseException) -> Verdict:
        """Judge the error that a lease ended with."""
        if isinstance(error, NOT_ANSWERED):
            if not isinstance(error, Told):
                self.witness.failed(lost=isinstance(error, ConnectionLost))
            self.unanswered += 1  # of the leases that ended, as this one is about to
        return classify(error)


class AsyncNode:
    """One server and the pool of connections to it.

    Belongs to one event loop. Opens nothing until the first request or ``open``.

    Args:
        address: Where the server listens.
        name: Its name in health reports and error texts.
        access: What it takes to be let in.
        options: The pool's options.
        sharing: How requests share connections.
        observer: Listens to the pool.

    Attributes:
        pool: The connections.
        vigil: What is known of the server's health.
        hedge: Sends reads a second time where that was asked for; else None.
        spend: Asked before a request is sent a second time: whether that may be.
        request: Sends a request and returns the future of its reply; see ``Lanes.request``.
            Cancelled or past its deadline, a request costs no connection; it fails with

            * ``PoolError``: no connection could be had;
            * ``OperationTimeout``, ``ConnectionLost``, ``ProtocolError``: there was no reply;
            * ``ServerError``, ``ClientError``: the server answered with an error.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        access: Access,
        options: PoolOptions,
        sharing: Sharing = DEFAULTS,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.vigil = Vigil(options.down_after, Random())
        self.spend: Callable[[], bool] = _freely
        self._connector = AsyncServerConnector(address, access, options.connect_timeout)
        self.pool: AsyncPool[AsyncConnection] = AsyncPool.from_options(
            self._connector, options, name=name, observer=observer
        )
        self._connector.whereabouts = Whereabouts(self.pool.invalidate_all)
        registry.describe(self.pool, attributes(address), WeakMethod(self.condition))
        waiting = options.max_waiting
        self._wide = None
        if options.max_size > 1:
            self._wide = Lanes(
                self.pool,
                Line(self.pool, waiting),
                max_in_flight=1,
                max_lanes=options.max_size - 1,  # one is left for what is short
            )
        self._lanes = Lanes(
            self.pool,
            Line(self.pool, waiting),
            max_in_flight=sharing.max_in_flight,
            max_lanes=options.max_size,
            long=sharing.long_value,
            wide=self._wide,
        )
        self._long_value = sharing.long_value
        self._kinds = [self._lanes] if self._wide is None else [self._lanes, self._wide]
        for lanes in self._kinds:
            lanes.late = self._late
            lanes.may_spend = self._may_spend
        self.request: Exchange = self._lanes.request
        self.hedge: AsyncHedge | None = None
        if sharing.hedge_after is not None and self._wide is not None:
            second = self._wide.request
            self.hedge = AsyncHedge(sharing.hedge_after, self.request, second, self._may_spend)
            self.request = self.hedge.request

    def __repr__(self) -> str:
        return f"<AsyncNode {self.name}>"

    async def open(self, timeout: float | None = None) -> None:
        """Wait until the pool has its minimum of connections.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            PoolTimeout: They were not open in time.
        """
        await self.pool.open(wait=True, timeout=timeout)

    def shut(self) -> None:
        """Begin to close without waiting: refuse new requests, let those under way end.

        Raises:
            WrongLoop: Its loop runs elsewhere; nothing was done.
        """
        self.pool.stay()
        for lanes in self._kinds:
            lanes.close()
        self.pool.shut()

    async def close(self, timeout: float = 10.0) -> CloseReport:
        """Close the pool; requests under way have ``timeout`` seconds to end.

        A cancel ends the wait; what is in flight then fails.

        Raises:
            WrongLoop: Its loop runs elsewhere; nothing was closed.
        """
        self.shut()
        try:
            return await self.pool.close(timeout)
        finally:
            for lanes in self._kinds:
                lanes.abort()

    async def post(self, request: Request, deadline: float) -> None:
        """Send a quiet ``request`` and return without its reply, which is verified later.

        Raises: As ``request``, but for errors of the server, which nobody hears of.
        """
        long = len(request.payload) >= self._long_value
        lanes = self._wide if long and self._wide is not None else self._lanes
        lanes.enter()
        lane = lanes.choose()
        if lane is not None:
            try:
                lane.channel.post(request, deadline)
            except CenoteError:
                lanes.refill(lane)  # it may have been opened for this request alone
                raise
            return
        async with self.lease(deadline) as connection:
            connection.post(request, deadline)

    def lease(self, deadline: float) -> AsyncLease[AsyncConnection]:
        """Lease a connection for work of several steps; it comes back when the block ends."""
        return self.pool.connection(max(0.0, deadline - monotonic()))

    async def traits(self, deadline: float) -> Traits:
        """What the server can do, by its latest handshake; connects if there was none."""
        known = self._connector.traits
        if known is not None:
            return known
        async with self.lease(deadline) as connection:
            return connection.traits

    def health(self) -> NodeHealth:
        """What is known of the server now, from the pool's evidence; no I/O."""
        return assess(
            self.name,
            self.pool.stats(),
            retries=self._lanes.retries + (self._wide.retries if self._wide else 0),
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

    def watched_by(self, witness: AsyncWitness) -> None:
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

    def asked(self) -> int:
        """How many requests there have been."""
        return self._lanes.asked

    @property
    def hedged(self) -> int:
        """How many reads were sent twice because their reply was late."""
        return 0 if self.hedge is None else self.hedge.hedged

    def _late(self, count: int) -> None:
        self._connector.witness.failed(count)

    def _may_spend(self) -> bool:
        return self.spend()


def _freely() -> bool:
    return True
