# Generated from src/cenote/cluster/aio.py by tools/unasync.py; do not edit.
"""The servers of a client, and the way from a key to the one that owns it.

Strategy: routing one key to the only server there is would cost a call for nothing, so ``request``
then *is* that server's own. With several it is a `Crossing`, which is compiled where possible.
Commands about many keys are split here into one batch a server, all of which are in flight before
the first reply is read (``node/many_sync.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenote.cluster.placing import Crossing, Placer
from cenote.cluster.router import Hashing, placer_for
from cenote.cluster.server import LocalAddress, Server
from cenote.cluster.starting_sync import Starting
from cenote.connection import ProtocolChoice
from cenote.errors import CenoteError, ConfigurationError, PoolError
from cenote.node.sync import Node
from cenote.node.health import NodeHealth
from cenote.node.many_sync import exchange_all
from cenote.pool import Observer, PoolOptions, PoolStats
from cenote.protocol import Reply, Request
from cenote.runtime.sync import Exchange, monotonic


class Cluster:
    """The servers of one client; makes no connection before it is used.

    Args:
        servers: The servers; at least one, and no two of the same name.
        protocol: Which commands to use with them.
        options: The options of each server's pool.
        hashing: Which server has a key, where there are several.
        prefix_size: How many bytes in front of every key are the client's prefix.
        observer: Listens to the pools.
        node: Makes the node of a server.

    Raises:
        ConfigurationError: Two servers have one name, or the hashing can not count with them.

    Attributes:
        request: Sends a request about one key to the server that owns it and returns the reply:
            ``request(request, deadline)``, the deadline on the clock of ``time.monotonic``.
        several: Whether there are several servers.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        protocol: ProtocolChoice,
        options: PoolOptions,
        hashing: Hashing = "rendezvous",
        prefix_size: int = 0,
        observer: Observer | None = None,
        node: Callable[..., Node] = Node,
    ) -> None:
        _refuse_namesakes(servers)
        self._nodes = [
            node(
                server.address,
                name=server.name,
                protocol=protocol,
                options=options,
                observer=observer,
            )
            for server in servers
        ]
        self._starting = [
            Starting(node, server.address)
            for node, server in zip(self._nodes, servers, strict=True)
            if isinstance(server.address, LocalAddress)
        ]
        started = {starting.node: starting for starting in self._starting}
        self._ways = [started.get(node, node) for node in self._nodes]
        self._placer: Placer | None = None
        self.several = len(servers) > 1
        self.request: Exchange = self._ways[0].request
        if self.several:
            self._placer = placer_for(hashing, servers, prefix_size)
            self.request = Crossing(self._placer, [way.request for way in self._ways]).request

    @property
    def names(self) -> list[str]:
        """The names of the servers."""
        return [node.name for node in self._nodes]

    def way(self, key: bytes) -> Node | Starting:
        """Return the way to the server that owns a key: for several requests about it."""
        return self._ways[0 if self._placer is None else self._placer.place(key)]

    def started(self, name: str | None, deadline: float) -> Node:
        """Return the node of a server, which runs; None: of the only one.

        Raises:
            ConfigurationError: It is not known which.
        """
        if name is None and self.several:
            raise ConfigurationError(f"name one of the servers: {', '.join(self.names)}")
        if name is not None and name not in self.names:
            raise ConfigurationError(f"no server is named {name!r}: {', '.join(self.names)}")
        for starting in self._starting:
            starting.start(deadline)
        return self._nodes[0 if name is None else self.names.index(name)]

    def way_to(self, number: int) -> Node | Starting:
        """Return the way to a server by its number."""
        return self._ways[number]

    def spread(self, keys: Sequence[bytes]) -> list[tuple[int, list[int]]]:
        """Return the numbers of the servers that own any of ``keys``, and which keys those are.

        The numbers ascend: it is the order that batches take their leases in.
        """
        if self._placer is None:
            return [(0, list(range(len(keys))))]
        spread = enumerate(self._placer.spread(keys))
        return [(number, positions) for number, positions in spread if positions]

    def batch(self, asked: Sequence[tuple[int, Request]], deadline: float) -> list[Reply]:
        """Send requests to servers by their numbers, which ascend; all at the same time.

        Returns:
            Their replies in the same order, errors as values.
        """
        try:
            for starting in self._starting:
                starting.start(deadline)
        except CenoteError as error:
            return [error] * len(asked)
        return exchange_all([(self._nodes[number], request) for number, request in asked], deadline)

    def each(self, request: Request, deadline: float) -> dict[str, Reply]:
        """Send a request to every server at the same time.

        Returns:
            The reply, or the error, of each server by its name.
        """
        asked = [(number, request) for number in range(len(self._nodes))]
        return dict(zip(self.names, self.batch(asked, deadline), strict=True))

    def health(self) -> dict[str, NodeHealth]:
        """Return the health of every server by its name."""
        return {node.name: node.health() for node in self._nodes}

    def pools(self) -> dict[str, PoolStats]:
        """Return the statistics of every server's pool by its name."""
        return {node.name: node.pool.stats() for node in self._nodes}

    def open(self, timeout: float) -> None:
        """Wait until every pool has its minimum of connections, at most ``timeout`` seconds.

        Raises:
            PoolError: No server could be connected to in time. Where some could, the others are
                tried again when they are needed.
        """
        deadline = monotonic() + timeout
        for starting in self._starting:
            starting.start(deadline)
        for node in self._nodes[1:]:
            node.pool.open(wait=False)  # all connect at the same time
        failed: list[PoolError] = []
        for node in self._nodes:
            try:
                node.open(max(0.0, deadline - monotonic()))
            except PoolError as error:
                failed.append(error)
        if len(failed) == len(self._nodes):
            raise failed[0]

    def close(self, timeout: float) -> None:
        """Close every connection, waiting at most ``timeout`` seconds for those in use."""
        _close(self._nodes, monotonic() + timeout)


def _close(nodes: Sequence[Node], deadline: float) -> None:
    """Close nodes one after the other; what interrupts that finds the others closed at once."""
    for number, node in enumerate(nodes):
        try:
            node.close(max(0.0, deadline - monotonic()))
        except BaseException:
            _close(nodes[number + 1 :], 0.0)
            raise


def _refuse_namesakes(servers: Sequence[Server]) -> None:
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"two servers are named {name!r}: name each once, and give it a weight if it is to "
                "have more of the keys"
            )
