# Generated from src/cenote/cluster/starting_aio.py by tools/unasync.py; do not edit.
"""Ways to servers that something has to be done for before they are asked anything.

The private server of ``local://`` is started: what keeps it from starting is no outage of a server,
so it is raised as it is, also by a client that forgives outages. Once it has started, a server that
dies is replaced when a connection is next opened. Servers that are to be found are looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cenote.cluster.replicated_sync import ReplicaSet
from cenote.cluster.server import LocalAddress
from cenote.connection import Traits
from cenote.node.sync import Node
from cenote.protocol import Reply, Request
from cenote.runtime.sync import aside


class Starting:
    """Stands before a node, and starts its server on first use.

    Args:
        node: The node.
        address: The address that starts the server.
    """

    def __init__(self, node: Node, address: LocalAddress) -> None:
        self.node = node
        self._address = address
        self._started = False

    def start(self, deadline: float) -> None:
        """Start the server unless this has been done.

        Raises:
            LocalServerError: There is no memcached to run, or it did not start.
            OperationTimeout: It has not started by the deadline.
        """
        if not self._started:
            aside(self._address.start, deadline)
            self._started = True

    def request(self, request: Request, deadline: float) -> Reply:
        """Send a request and return its reply, as the node does."""
        self.start(deadline)
        reply: Reply = self.node.request(request, deadline)
        return reply

    def post(self, request: Request, deadline: float) -> None:
        """Send a quiet request, as the node does."""
        self.start(deadline)
        self.node.post(request, deadline)

    def traits(self, deadline: float) -> Traits:
        """Return what the server can do, as the node does."""
        self.start(deadline)
        return self.node.traits(deadline)


class Finding:
    """Stands before the server of a key while the servers have yet to be found.

    Args:
        begin: Has them found, by a deadline.
        find: Returns the way to the server of the key, once they are.
    """

    def __init__(self, begin: Callable[[float], Any], find: Callable[[], Way]) -> None:
        self._begin = begin
        self._find = find

    def request(self, request: Request, deadline: float) -> Reply:
        """Send a request and return its reply, as the node does."""
        self._begin(deadline)
        reply: Reply = self._find().request(request, deadline)
        return reply

    def post(self, request: Request, deadline: float) -> None:
        """Send a quiet request, as the node does."""
        self._begin(deadline)
        self._find().post(request, deadline)

    def traits(self, deadline: float) -> Traits:
        """Return what the server can do, as the node does."""
        self._begin(deadline)
        return self._find().traits(deadline)


Way: TypeAlias = Node | Starting | Finding | ReplicaSet[Any]
"""Where requests about a key go."""
