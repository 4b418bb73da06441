"""One memcached server, from asyncio: an exclusive lease for each request.

Strategy: a request takes a connection from the node's pool, is exchanged on it, and gives it back;
the connection proves by itself whether it is clean. A request suspends once where a connection is
idle (for its reply), twice where it must wait for one. Twin: ``sync.py``.
"""

from __future__ import annotations

from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection.aio import AsyncConnection, connect
from cenote.node.health import NodeHealth, assess
from cenote.node.retry import may_retry
from cenote.node.verdicts import classify
from cenote.pool.aio import AsyncPool
from cenote.protocol import meta_noop, version

if TYPE_CHECKING:
    from cenote.connection import Address, ProtocolChoice, Traits
    from cenote.pool import Observer, PoolOptions
    from cenote.pool.fast_aio import AsyncLease
    from cenote.protocol import Reply, Request


class AsyncServerConnector:
    """Tells a pool how to open, check and judge connections to one server.

    Attributes:
        traits: What the latest handshake learned; None before the first.
        last_error: Why the latest connect failed; None if it did not.
    """

    def __init__(self, address: Address, protocol: ProtocolChoice, timeout: float) -> None:
        self._address = address
        self._protocol: ProtocolChoice = protocol
        self._timeout = timeout
        self.traits: Traits | None = None
        self.last_error: str | None = None

    async def connect(self, timeout: float) -> AsyncConnection:
        """Open a connection and shake hands, within ``timeout`` seconds."""
        try:
            connection = await connect(self._address, protocol=self._protocol, timeout=timeout)
        except Exception as error:
            self.last_error = str(error)
            raise
        self.traits, self.last_error = connection.traits, None
        return connection

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
        probe = meta_noop() if connection.traits.meta else version()
        await connection.exchange(probe, monotonic() + self._timeout)

    is_clean = staticmethod(attrgetter("clean"))
    classify = staticmethod(classify)


class AsyncNode:
    """One server and the pool of connections to it.

    Belongs to one event loop. Opens nothing until the first request or ``open``.

    Args:
        address: Where the server listens.
        name: Its name in health reports and error texts.
        protocol: Which commands to use: ``"auto"`` asks the server.
        options: The pool's options.
        observer: Listens to the pool.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str,
        protocol: ProtocolChoice,
        options: PoolOptions,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.retries = 0
        self._connector = AsyncServerConnector(address, protocol, options.connect_timeout)
        self.pool: AsyncPool[AsyncConnection] = AsyncPool.from_options(
            self._connector, options, name=name, observer=observer
        )
        self._checkout_nowait = self.pool.checkout_nowait
        self._checkin = self.pool.checkin

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

    async def close(self, timeout: float = 10.0) -> None:
        """Close the pool; requests under way have ``timeout`` seconds to end."""
        await self.pool.close(timeout)

    async def request(self, request: Request, deadline: float) -> Reply:
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
        # Cancelled while it waits, checkout passes on what it was granted; cancelled in the
        # exchange, the connection is dirty and goes.
        entry = self._checkout_nowait() or await self.pool.checkout(deadline)
        try:
            reply = await entry.resource.exchange(request, deadline)
        except BaseException as error:
            uses = entry.uses
            self._checkin(entry, error)
            if not may_retry(request, error, uses=uses):
                raise
        else:
            self._checkin(entry)
            return reply
        return await self._once_more(request, deadline)

    async def post(self, request: Request, deadline: float) -> None:
        """Send a quiet ``request`` and return without its reply, which is verified later.

        Raises: As ``request``, but for errors of the server, which nobody hears of.
        """
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
            retries=self.retries,
            last_error=self._connector.last_error,
        )

    async def _once_more(self, request: Request, deadline: float) -> Reply:
        """The one retry, on another connection; what it raises stands."""
        self.retries += 1
        async with self.lease(deadline) as connection:
            return await connection.exchange(request, deadline)
