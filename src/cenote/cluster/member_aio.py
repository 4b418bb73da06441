"""A server of a cluster with what the cluster has made for it: its node, and the way to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count

from cenote.cluster.changes import is_same
from cenote.cluster.replicas import Replicas, check_spoken
from cenote.cluster.replicated_aio import AsyncReplicaSet
from cenote.cluster.server import LocalAddress, Server, check_access
from cenote.cluster.starting_aio import AsyncStarting
from cenote.connection import Access
from cenote.node.aio import AsyncNode
from cenote.pool import Observer, PoolOptions
from cenote.runtime.aio import Exchange


class AsyncMember:
    """One server of a cluster.

    Attributes:
        number: Its place in the order in which batches take their leases.
        server: The server.
        node: Its connections; of replicas, those of the first.
        replicas: The servers that hold its keys together; None: it is one server.
        is_replica: Whether it is one of such servers.
        starting: What starts it before it is asked anything; None: it runs by itself.
        way: Where requests for it go.
        request: Sends a request on that way.
    """

    __slots__ = (
        "is_replica", "node", "number", "replicas", "request", "server", "starting", "way",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        server: Server,
        node: AsyncNode,
        *,
        replicas: AsyncReplicaSet[AsyncMember] | None = None,
        is_replica: bool = False,
    ) -> None:
        self.number = number
        self.server = server
        self.node = node
        self.starting: AsyncStarting | None = None
        if isinstance(server.address, LocalAddress):
            self.starting = AsyncStarting(node, server.address)
        self.replicas = replicas
        self.is_replica = is_replica
        way = replicas or self.starting or node
        self.way: AsyncNode | AsyncStarting | AsyncReplicaSet[AsyncMember] = way
        self.request: Exchange = self.way.request

    @property
    def down(self) -> bool:
        """Whether it is not to be asked; replicas never are all."""
        return self.replicas is None and self.node.vigil.down

    @property
    def each(self) -> tuple[AsyncMember, ...]:
        """The servers that stand in this place: itself, or the replicas that it is."""
        return (self,) if self.replicas is None else self.replicas.members

    async def start(self, deadline: float) -> None:
        """Start the server if it is for the cluster to start it, and has not been.

        Raises:
            LocalServerError: There is no memcached to run, or it did not start.
            OperationTimeout: It has not started by the deadline.
        """
        if self.starting is not None:
            await self.starting.start(deadline)


class AsyncMembership:
    """Makes the members of one cluster.

    Args:
        access: What it takes to be let in by them.
        options: The options of each server's pool.
        observer: Listens to the pools.
        node: Makes the node of a server.
    """

    def __init__(
        self,
        *,
        access: Access,
        options: PoolOptions,
        observer: Observer | None,
        node: Callable[..., AsyncNode],
    ) -> None:
        self._access = access
        self._options = options
        self._observer = observer
        self._node = node
        self._numbers = count()

    def member(self, server: Server, known: Mapping[str, AsyncMember]) -> AsyncMember:
        """Return what belongs to a server, or to replicas; what is known of them is kept.

        Raises:
            ConfigurationError: How it is to be asked means nothing to it.
        """
        if not isinstance(server, Replicas):
            return self._kept(server, known, is_replica=False)
        check_spoken(self._access.protocol)
        members = [self._kept(each, known, is_replica=True) for each in server.servers]
        first = members[0]
        return AsyncMember(
            first.number, server, first.node, replicas=AsyncReplicaSet(server, members)
        )

    def _kept(
        self, server: Server, known: Mapping[str, AsyncMember], *, is_replica: bool
    ) -> AsyncMember:
        member = known.get(server.name)
        if member is None or not is_same(member.server, server):
            member = self.admit(server)
        return AsyncMember(member.number, server, member.node, is_replica=is_replica)

    def admit(self, server: Server) -> AsyncMember:
        """Make what belongs to a server; nothing is opened.

        Raises:
            ConfigurationError: It is private, and credentials or TLS would mean nothing to it.
        """
        check_access(server.address, self._access)
        node = self._node(
            server.address,
            name=server.name,
            access=self._access,
            options=self._options,
            observer=self._observer,
        )
        return AsyncMember(next(self._numbers), server, node)

    def endpoint(self, server: Server) -> AsyncNode:
        """Make the node of a server that is asked for the others, once, in the text protocol.

        A login by SASL can not be said there, and its password is not shown there either.
        """
        said = None if self._access.protocol == "binary" else self._access.credentials
        return self._node(
            server.address,
            name=server.name,
            access=replace(self._access, protocol="classic", credentials=said),
            options=replace(self._options, min_size=0, max_size=1),
        )
