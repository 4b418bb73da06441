"""The servers of a client, and the way from a key to the one that owns it.

Strategy: all that is known of the servers is one `Topology`, which is replaced whole when they
change. A request about one key goes through a `Crossing`, which is compiled where possible and
reads the current routes; with one server it hands on to that server's own. Commands about many keys
are split into one batch a server, all of which are in flight before the first reply is read
(``node/many_aio.py``); they name servers by their members, so that a batch ends as it began.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from cenote.cluster.batches_aio import send_batch
from cenote.cluster.changes import Change, setting
from cenote.cluster.detour_aio import AsyncDetour
from cenote.cluster.discovering_aio import AsyncDiscovering
from cenote.cluster.discovery import DiscoveryStatus
from cenote.cluster.diverting_aio import GUTTER
from cenote.cluster.failover import NO_FAILOVER, FailoverOptions
from cenote.cluster.failover_aio import AsyncFailover
from cenote.cluster.finding import AnyDiscovery
from cenote.cluster.leaving_aio import AsyncLeaving
from cenote.cluster.member_aio import AsyncMember, AsyncMembership
from cenote.cluster.placing import Crossing, Routes
from cenote.cluster.replicas import check_replicas
from cenote.cluster.router import Hashing
from cenote.cluster.server import Server
from cenote.cluster.sources_aio import source_of
from cenote.cluster.starting_aio import AsyncFinding
from cenote.cluster.starting_aio import AsyncWay as AsyncStraight
from cenote.cluster.topology import Topology, in_lease_order, refuse_namesakes
from cenote.connection import Access
from cenote.errors import CenoteError, PoolClosed, PoolError
from cenote.node.aio import AsyncNode
from cenote.node.health import NodeHealth
from cenote.node.many_aio import exchange_all
from cenote.pool import Observer, PoolOptions, PoolStats
from cenote.protocol import Reply, Request
from cenote.runtime.aio import Exchange, Turn, give_way, monotonic, together

AsyncWay: TypeAlias = AsyncStraight | AsyncDetour
"""What requests about a key are sent on; each has ``request``, ``post`` and ``traits``."""

_KEPT = 64  # routes that were in force lately


class AsyncCluster:
    """The servers of one client; makes no connection before it is used.

    Args:
        servers: The servers; at least one, and no two of the same name.
        access: What it takes to be let in by them.
        options: The options of each server's pool.
        grace: Seconds that an operation takes at most: so long nobody is turned away by a server
            that has left.
        hashing: Which server has a key, where there are several.
        discovery: Finds the servers, by those that were given; None: they are the servers.
        prefix_size: How many bytes in front of every key are the client's prefix.
        failover: What to do when a server fails.
        retry_budget: Second tries as a share of all requests; None: no limit.
        observer: Listens to the pools.
        node: Makes the node of a server.

    Raises:
        ConfigurationError: Two servers have one name, or the hashing can not count with them.

    Attributes:
        topology: The servers as they are now; work of several steps takes it once.
        failover: Watches over them.
        request: Sends a request about one key to the server that owns it and returns the reply:
            ``await request(request, deadline)``, the deadline on the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        access: Access,
        options: PoolOptions,
        grace: float,
        hashing: Hashing = "rendezvous",
        discovery: AnyDiscovery | None = None,
        prefix_size: int = 0,
        failover: FailoverOptions = NO_FAILOVER,
        retry_budget: float | None = None,
        observer: Observer | None = None,
        node: Callable[..., AsyncNode] = AsyncNode,
    ) -> None:
        self._membership = AsyncMembership(
            access=access, options=options, observer=observer, node=node
        )
        self._placing = (hashing, prefix_size)
        self._grace = grace
        self._turn = Turn()  # is held while the topology is replaced
        self._closed = False
        self._leaving: list[AsyncLeaving] = []
        self._failing = failover
        self._replicated = False  # once there have been replicas
        check_replicas(servers, failover, discovery)
        self._discovering: AsyncDiscovering | None = None
        if discovery is not None:
            source = source_of(discovery, servers, self._membership.endpoint)
            self._discovering = AsyncDiscovering(source, servers, self._adopt)
        self.topology = self._made([], [] if self._discovering else servers)
        self._crossing = Crossing(self._routes())
        self._past: deque[Routes] = deque(maxlen=_KEPT)
        self.request: Exchange = self._crossing.request
        self.failover = AsyncFailover(
            failover,
            retry_budget=retry_budget,
            hashing=hashing,
            prefix_size=prefix_size,
            gutter=[
                AsyncMember(GUTTER + number, server, self._membership.admit(server).node)
                for number, server in enumerate(failover.gutter)
            ],
            publish=self._publish,
        )
        self.failover.watch(self.topology)
        _CLUSTERS.add(self)

    def _publish(self, routes: Routes) -> None:
        """Have requests take other routes; those of a moment ago may be being read still."""
        if routes.requests:  # else the servers have yet to be found
            self._past.append(self._crossing.routes)
            self._crossing.routes = routes

    @property
    def names(self) -> list[str]:
        """The names of the servers."""
        return self.topology.names

    def way(self, key: bytes) -> AsyncWay:
        """Return the way to the server that owns a key, or around it: for several requests."""
        if self.undiscovered:
            return AsyncFinding(self.begin, lambda: self.topology.owner(key).way)
        member = self.topology.owner(key)
        return self.failover.way(member, key) or member.way

    def asks(self, key: bytes) -> Exchange:
        """Return what sends requests that are placed by ``key``, whatever their own keys."""
        if self.undiscovered:
            return self.way(key).request
        return self.failover.asks(self.topology.owner(key), key)

    async def started(self, name: str | None, deadline: float) -> AsyncNode:
        """Return the node of a server, which runs; None: of the only one.

        Raises:
            ConfigurationError: It is not known which.
        """
        await self.begin(deadline)
        member = self.topology.named(name)
        await member.start(deadline)
        return member.node

    def spread(
        self, places: Sequence[bytes], wires: Sequence[bytes], *, writes: bool
    ) -> list[tuple[AsyncMember, list[int], CenoteError | None]]:
        """Return the servers that are to be asked about keys, and about which of them.

        Args:
            places: What places each key.
            wires: The keys.
            writes: Whether they are to be changed.

        Returns:
            Those that can be asked, in the order of leases; and those that are not to be, with
            the reason.
        """
        return self.failover.spread(self.topology.spread(places), places, wires, writes=writes)

    async def batch(
        self, asked: Sequence[tuple[AsyncMember, Request]], deadline: float
    ) -> list[Reply]:
        """Send requests to servers, each once and in the order of leases; all at the same time.

        Returns:
            Their replies in the same order, errors as values.
        """
        if not asked:  # nobody could be: that is known at once
            await give_way()
        try:
            for member, _ in asked:
                await member.start(deadline)
        except CenoteError as error:
            return [error] * len(asked)
        if self._replicated:
            return await send_batch(asked, deadline)
        fitted = self.failover.fitted
        return await exchange_all(
            [(member.node, fitted(member, request)) for member, request in asked], deadline
        )

    async def each(self, request: Request, deadline: float) -> dict[str, Reply]:
        """Send a request to every server at the same time; what flushes, to the gutter too.

        Returns:
            The reply, or the error, of each server by its name.

        Raises:
            NoNodesAvailable: The servers can not be found.
        """
        await self.begin(deadline)
        topology = self.topology
        members: Sequence[AsyncMember] = topology.everybody
        flushes = request.verb == "flush_all"
        if flushes:
            self.failover.flushed()
            members = [*members, *self.failover.gutter]
        asked = in_lease_order([(member, request) for member in members])
        replies = await self.batch(asked, deadline)
        answers = {member: reply for (member, _), reply in zip(asked, replies, strict=True)}
        for member in topology.members:
            if flushes and member.replicas:
                member.replicas.judge({each: answers[each] for each in member.each})
        return {member.server.name: answers[member] for member in members}

    def health(self) -> dict[str, NodeHealth]:
        """Return the health of every server by its name."""
        return {member.server.name: member.node.health() for member in self.everybody}

    def pools(self) -> dict[str, PoolStats]:
        """Return the statistics of every server's pool by its name."""
        return {member.server.name: member.node.pool.stats() for member in self.everybody}

    @property
    def everybody(self) -> list[AsyncMember]:
        """The servers, of replicas each, and those of the gutter."""
        return [*self.topology.everybody, *self.failover.gutter]

    async def open(self, timeout: float) -> None:
        """Wait until every pool has its minimum of connections, at most ``timeout`` seconds.

        Raises:
            PoolError: No server could be connected to in time. Where some could, the others are
                tried again when they are needed.
        """
        deadline = monotonic() + timeout
        await self.begin(deadline)
        members = self.topology.everybody
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
        """Close every connection, waiting at most ``timeout`` seconds for those in use.

        All servers are closed at the same time; what interrupts the wait finds each of them shut.
        """
        with self._turn:
            self._closed = True
            members, leaving = self.everybody, list(self._leaving)
        self.failover.close()
        if self._discovering is not None:
            self._discovering.stop()
        for group in leaving:
            group.stop()
            members += group.members
        deadline = monotonic() + timeout
        for member in members:
            member.node.shut()
        await together([member.node.close(max(0.0, deadline - monotonic())) for member in members])

    # Discovery.

    @property
    def discovering(self) -> bool:
        """Whether the servers are found rather than given."""
        return self._discovering is not None

    @property
    def undiscovered(self) -> bool:
        """Whether the servers have yet to be found, by ``begin``."""
        return self._discovering is not None and not self._discovering.begun

    async def begin(self, deadline: float) -> None:
        """Have the servers found, if they are to be and have not been.

        Raises:
            NoNodesAvailable: They can not be; the cause is chained.
            OperationTimeout: They were not by the deadline.
        """
        if self._discovering is not None and not self._discovering.begun:
            await self._discovering.begin(deadline)
            with self._turn:
                self.failover.watch(self.topology)

    def discovery_status(self) -> DiscoveryStatus | None:
        """Tell what has come of the looks for servers; None: they are given."""
        return None if self._discovering is None else self._discovering.status()

    async def _adopt(self, servers: Sequence[Server]) -> None:
        await self.change(setting(servers))

    def _routes(self) -> Routes:
        """Return the way of requests: by the place of their key, or first to have it found."""
        return Routes(None, [self._found]) if self.undiscovered else self.topology.routes

    async def _found(self, request: Request, deadline: float) -> Reply:
        await self.begin(deadline)
        reply: Reply = await self.request(request, deadline)
        return reply

    def renew(self) -> None:
        """In a forked child: begin anew; nothing of the parent's is under way here."""
        self._turn = Turn()
        self.failover.renew()
        if self._discovering is not None:
            self._discovering.renew()
            if self.undiscovered:
                self._crossing.routes = self._routes()

    # Change.

    async def change(self, change: Change) -> None:
        """Have other servers from now on; those that leave are drained in the background.

        A change that comes at the same time as another is worked out again on top of it: nothing
        is done under the lock but to replace the topology.

        Raises:
            ConfigurationError: The servers do not fit together; nothing has changed.
            PoolClosed: The client has been closed.
        """
        while True:
            before = self.topology
            members = before.members
            after = self._made(members, change([member.server for member in members]))
            if self._replace(before, after):
                return

    def _made(
        self, members: Sequence[AsyncMember], servers: Sequence[Server]
    ) -> Topology[AsyncMember]:
        """Make the topology of some servers; the nodes of those that stay are kept."""
        refuse_namesakes([*servers, *self._failing.gutter])
        check_replicas(servers, self._failing)
        known = {each.server.name: each for member in members for each in member.each}
        admitted = [self._membership.member(server, known) for server in servers]
        if any(member.replicas for member in admitted):
            self._replicated = True
        return Topology(admitted, *self._placing)

    def _replace(self, before: Topology[AsyncMember], after: Topology[AsyncMember]) -> bool:
        """Put ``after`` in the place of ``before``; False: another has come before it."""
        staying = {member.number for member in after.everybody}
        leaving = AsyncLeaving(
            [member for member in before.everybody if member.number not in staying],
            before,
            self._leaving.remove,
        )
        with self._turn:
            if self._closed:
                raise PoolClosed("the client has been closed: its servers are no more")
            if self.topology is not before:
                return False
            self.topology = after
            self.failover.watch(after)
            self._leaving.append(leaving)
        leaving.start(self._grace)
        return True


_CLUSTERS: weakref.WeakSet[AsyncCluster] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for cluster in list(_CLUSTERS):
        cluster.renew()


os.register_at_fork(after_in_child=_after_fork_in_child)
