# Generated from src/cenote/cluster/sources_aio.py by tools/unasync.py; do not edit.
"""Where lists of servers come from: configuration endpoints, and the DNS.

Strategy: a source asks and has the answer read by what is pure (``elasticache.py``, ``dns.py``).
An endpoint is asked over a connection of its own for each look: its name may lead elsewhere by the
next one, and a minute of idleness is not worth keeping it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from cenote.cluster import dns
from cenote.cluster.discovery import Discovery, Discovered
from cenote.cluster.dns import DNS
from cenote.cluster.elasticache import (
    ElastiCache,
    check_endpoints,
    config_request,
    old_config_request,
    read_config,
)
from cenote.cluster.finding import AnyDiscovery, plain
from cenote.cluster.server import Server
from cenote.connection import TCPAddress
from cenote.connection.found import Found
from cenote.connection.names_sync import look_up, look_up_services
from cenote.errors import CenoteError, ProtocolError, UnknownCommand
from cenote.node.sync import Node
from cenote.runtime.sync import monotonic

_CLOSING = 0.1  # seconds that closing a connection may take, even past the deadline


class Endpoints:
    """The configuration endpoints of a cluster.

    Args:
        options: What was said of them.
        node: Makes the node of one.
    """

    def __init__(self, options: ElastiCache, node: Callable[[Server], Node]) -> None:
        self._options = options
        self._node = node
        self._first: str | None = None
        self.interval = options.interval
        self.timeout = options.timeout

    def find(self, servers: Sequence[Server], timeout: float) -> Discovered:
        """Ask the endpoints, the one that answered last first, until one answers.

        Raises:
            CenoteError: None did; it is what the last one failed with.
        """
        deadline = monotonic() + timeout
        endpoints = sorted(servers, key=lambda server: server.name != self._first)
        failure: CenoteError = ProtocolError("no configuration endpoint was named")
        for number, endpoint in enumerate(endpoints):
            left = deadline - monotonic()
            try:
                found = self._ask(endpoint, left / (len(endpoints) - number))
            except CenoteError as error:
                failure = error
            else:
                self._first = endpoint.name
                return found
        raise failure

    def _ask(self, endpoint: Server, seconds: float) -> Discovered:
        deadline = monotonic() + seconds
        node = self._node(endpoint)
        try:
            try:
                text: Any = node.request(config_request(), deadline)
            except UnknownCommand:
                item: Any = node.request(old_config_request(), deadline)
                text = None if item is None else item[0].decode("utf-8", "replace")
        finally:
            node.close(max(_CLOSING, deadline - monotonic()))
        if text is None:
            raise ProtocolError(f"{endpoint.name} keeps no list of servers: it is no such endpoint")
        return read_config(text, self._options.prefer)


class Names:
    """Names whose servers stand in the DNS."""

    def __init__(self, options: DNS) -> None:
        self._asked = options.asked
        self.interval = options.interval
        self.timeout = options.timeout

    def find(self, servers: Sequence[Server], timeout: float) -> Discovered:
        """Look all names up.

        Raises:
            OSError: One could not be.
        """
        deadline = monotonic() + timeout
        found: dict[str, Server] = {}
        ttls: list[float] = []
        for name in servers:
            answer = self._look_up(name, max(0.001, deadline - monotonic()))
            found.update((server.name, server) for server in dns.servers_of(name, answer))
            if answer.ttl is not None:
                ttls.append(answer.ttl)
        return Discovered(list(found.values()), ttl=min(ttls, default=None))

    def _look_up(self, name: Server, seconds: float) -> Found:
        assert isinstance(name.address, TCPAddress)
        find = look_up_services if dns.is_service(name) else look_up
        return find(name.address, self._asked, seconds)


def source_of(
    discovery: AnyDiscovery, servers: Sequence[Server], node: Callable[[Server], Node]
) -> Discovery:
    """Return what finds servers, by what was given as ``discovery``.

    Args:
        discovery: A name, the options that belong to it, or an object of the user's.
        servers: What the client was given as ``servers``.
        node: Makes a node of an endpoint.

    Raises:
        ConfigurationError: It is none, or does not go with these servers.
    """
    given = plain(discovery)
    if isinstance(given, ElastiCache):
        check_endpoints(servers)
        return Endpoints(given, node)
    if isinstance(given, DNS):
        dns.check_names(servers)
        return Names(given)
    return cast(Discovery, given)
