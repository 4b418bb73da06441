"""The servers of a client, and the way from a key to the one that owns it.

Strategy: all that is known of the servers is one `Topology`, which is replaced whole when they
change. A request about one key goes through a `Crossing`, which is compiled where possible and
reads the current routes; with one server it hands on to that server's own. Commands about many keys
are split into one batch a server, all of which are in flight before the first reply is read
(``node/many_aio.py``); they name servers by their members, so that a batch ends as it began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenote.cluster.member_aio import AsyncMember, AsyncMembership
from cenote.cluster.placing import Crossing
from cenote.cluster.router import Hashing
from cenote.cluster.server import Server
from cenote.cluster.starting_aio import AsyncStarting
from cenote.cluster.topology import Topology, in_lease_order, refuse_namesakes
from cenote.connection import Access
from cenote.errors import CenoteError, PoolError
from cenote.node.aio import AsyncNode
from cenote.node.health import NodeHealth
from cenote.node.many_aio import exchange_all
from cenote.pool import Observer, PoolOptions, PoolStats
from cenote.protocol import Reply, Request
from cenote.runtime.aio import Exchange, monotonic


class AsyncCluster:
    """The servers of one client; makes no connection before it is used.

    Args:
        servers: The servers; at least one, and no two of the same name.
        access: What it takes to be let in by them.
        options: The options of each server's pool.
        hashing: Which server has a key, where there are several.
        prefix_size: How many bytes in front of every key are the client's prefix.
        observer: Listens to the pools.
        node: Makes the node of a server.

    Raises:
        ConfigurationError: Two servers have one name, or the hashing can not count with them.

    Attributes:
        topology: The servers as they are now; work of several steps takes it once.
        request: Sends a request about one key to the server that owns it and returns the reply:
            ``await request(request, deadline)``, the deadline on the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        access: Access,
        options: PoolOptions,
        hashing: Hashing = "rendezvous",
        prefix_size: int = 0,
        observer: Observer | None = None,
        node: Callable[..., AsyncNode] = AsyncNode,
    ) -> None:
        refuse_namesakes(servers)
        membership = AsyncMembership(access=access, options=options, observer=observer, node=node)
        members = [membership.admit(number, server) for number, server in enumerate(servers)]
        self.topology: Topology[AsyncMember] = Topology(members, hashing, prefix_size)
        self._crossing = Crossing(self.topology.routes)
        self.request: Exchange = self._crossing.request

    @property
    def names(self) -> list[str]:
        """The names of the servers."""
        return self.topology.names

    def way(self, key: bytes) -> AsyncNode | AsyncStarting:
        """Return the way to the server that owns a key: for several requests about it."""
        return self.topology.owner(key).way

    async def started(self, name: str | None, deadline: float) -> AsyncNode:
        """Return the node of a server, which runs; None: of the only one.

        Raises:
            ConfigurationError: It is not known which.
        """
        member = self.topology.named(name)
        await member.start(deadline)
        return member.node

    def spread(self, keys: Sequence[bytes]) -> list[tuple[AsyncMember, list[int]]]:
        """Return the servers that own any of ``keys``, and which keys those are."""
        return self.topology.spread(keys)

    async def batch(
        self, asked: Sequence[tuple[AsyncMember, Request]], deadline: float
    ) -> list[Reply]:
        """Send requests to servers, each once and in the order of leases; all at the same time.

        Returns:
            Their replies in the same order, errors as values.
        """
        try:
            for member, _ in asked:
                await member.start(deadline)
        except CenoteError as error:
            return [error] * len(asked)
        return await exchange_all([(member.node, request) for member, request in asked], deadline)

    async def each(self, request: Request, deadline: float) -> dict[str, Reply]:
        """Send a request to every server at the same time.

        Returns:
            The reply, or the error, of each server by its name.
        """
        topology = self.topology
        asked = in_lease_order([(member, request) for member in topology.members])
        replies = await self.batch(asked, deadline)
        names = [member.server.name for member, _ in asked]
        answers = dict(zip(names, replies, strict=True))
        return {name: answers[name] for name in topology.names}

    def health(self) -> dict[str, NodeHealth]:
        """Return the health of every server by its name."""
        return {member.server.name: member.node.health() for member in self.topology.members}

    def pools(self) -> dict[str, PoolStats]:
        """Return the statistics of every server's pool by its name."""
        return {member.server.name: member.node.pool.stats() for member in self.topology.members}

    async def open(self, timeout: float) -> None:
        """Wait until every pool has its minimum of connections, at most ``timeout`` seconds.

        Raises:
            PoolError: No server could be connected to in time. Where some could, the others are
                tried again when they are needed.
        """
        deadline = monotonic() + timeout
        members = self.topology.members
        for member in members:
            await member.start(deadline)
        for member in members[1:]:
            await member.node.pool.open(wait=False)  # all connect at the same time
        failed: list[PoolError] = []
        for member in members:
            try:
                await member.node.open(max(0.0, deadline - monotonic()))
            except PoolError as error:
                failed.append(error)
        if len(failed) == len(members):
            raise failed[0]

    async def close(self, timeout: float) -> None:
        """Close every connection, waiting at most ``timeout`` seconds for those in use."""
        nodes = [member.node for member in self.topology.members]
        await _close(nodes, monotonic() + timeout)


async def _close(nodes: Sequence[AsyncNode], deadline: float) -> None:
    """Close nodes one after the other; what interrupts that finds the others closed at once."""
    for number, node in enumerate(nodes):
        try:
            await node.close(max(0.0, deadline - monotonic()))
        except BaseException:
            await _close(nodes[number + 1 :], 0.0)
            raise
