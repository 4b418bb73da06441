"""The servers of a client, and the way from a key to the one that owns it.

Strategy: routing one key to the only server there is would cost a call for nothing, so ``request``,
``post`` and ``traits`` *are* that server's own. Several servers need a ring and come with it; until
then asking for them is an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from cenote.cluster.server import LocalAddress, Server
from cenote.cluster.starting_aio import AsyncStarting
from cenote.connection import ProtocolChoice
from cenote.errors import CenoteError, ConfigurationError
from cenote.node.aio import AsyncNode
from cenote.node.health import NodeHealth
from cenote.pool import Observer, PoolOptions, PoolStats
from cenote.protocol import Reply, Request
from cenote.runtime.aio import monotonic


class AsyncCluster:
    """The servers of one client; makes no connection before it is used.

    Args:
        servers: The servers; exactly one in this version.
        protocol: Which commands to use with them.
        options: The options of each server's pool.
        observer: Listens to the pools.

    Raises:
        ConfigurationError: There is not exactly one server.

    Attributes:
        request: Sends a request to the server that owns its key and returns the reply:
            ``await request(request, deadline)``, the deadline on the clock of ``time.monotonic``.
        post: Sends a quiet request likewise, and does not wait for its reply.
        traits: Returns what the server that owns a key can do: ``await traits(deadline)``.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        protocol: ProtocolChoice,
        options: PoolOptions,
        observer: Observer | None = None,
    ) -> None:
        if len(servers) != 1:
            raise ConfigurationError(
                f"{len(servers)} servers are named ({', '.join(s.name for s in servers)}): more "
                "than one is not supported in this version"
            )
        self._nodes = {
            server.name: AsyncNode(
                server.address,
                name=server.name,
                protocol=protocol,
                options=options,
                observer=observer,
            )
            for server in servers
        }
        self._starting = {
            server.name: AsyncStarting(self._nodes[server.name], server.address)
            for server in servers
            if isinstance(server.address, LocalAddress)
        }
        self._ways: dict[str, AsyncNode | AsyncStarting] = {**self._nodes, **self._starting}
        (way,) = self._ways.values()
        self.request = way.request
        self.post = way.post
        self.traits = way.traits

    @property
    def names(self) -> list[str]:
        """The names of the servers."""
        return list(self._nodes)

    async def each(self, request: Request, deadline: float) -> dict[str, Reply]:
        """Send a request to every server.

        Returns:
            The reply, or the error, of each server by its name.
        """
        replies: dict[str, Reply] = {}
        for name, way in self._ways.items():
            try:
                replies[name] = await way.request(request, deadline)
            except CenoteError as error:
                replies[name] = error
        return replies

    def health(self) -> dict[str, NodeHealth]:
        """Return the health of every server by its name."""
        return {name: node.health() for name, node in self._nodes.items()}

    def pools(self) -> dict[str, PoolStats]:
        """Return the statistics of every server's pool by its name."""
        return {name: node.pool.stats() for name, node in self._nodes.items()}

    async def open(self, timeout: float) -> None:
        """Wait until every pool has its minimum of connections, at most ``timeout`` seconds."""
        deadline = monotonic() + timeout
        for starting in self._starting.values():
            await starting.start(deadline)
        for node in self._nodes.values():
            await node.open(max(0.0, deadline - monotonic()))

    async def close(self, timeout: float) -> None:
        """Close every connection, waiting at most ``timeout`` seconds for those in use."""
        deadline = monotonic() + timeout
        for node in self._nodes.values():
            await node.close(max(0.0, deadline - monotonic()))
