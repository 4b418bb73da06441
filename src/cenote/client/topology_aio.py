"""Other servers while the client is in use: added, removed, replaced.

Strategy: what was given is read as the constructor reads it, and turned into a change of the list
of servers; everything else is the cluster's business.
"""

from __future__ import annotations

from cenote.client.base_aio import AsyncBase
from cenote.client.url import OneServer, Servers, read_servers
from cenote.cluster import Server
from cenote.cluster.changes import Change, adding, removing, replacing, setting
from cenote.errors import ConfigurationError


class AsyncTopology(AsyncBase):
    """The commands that change which servers there are.

    Requests that come after a change see it at once. Those under way end where they were sent; a
    server that has left takes no new ones, and its connections are closed in the background once
    its last request has had the time to end (``timeout``) and its leases are back. Servers that
    stay keep their connections.
    """

    async def add_node(self, server: OneServer) -> None:
        """Add a server behind the others; it has its share of the keys from now on.

        Args:
            server: ``"host:port"``, ``"/path.sock"``, a URL without options, a `Server` (which may
                have a weight and a name), `Replicas`, or an address.

        Raises:
            ConfigurationError: The server is not valid, or there is one of its name already.
            PoolClosed: The client has been closed.
        """
        await self._change(adding(_one(server)))

    async def remove_node(self, server: OneServer) -> None:
        """Remove a server; the others have its keys from now on.

        Args:
            server: Its name as in `nodes`, or what it was made of.

        Raises:
            ConfigurationError: There is no such server, or no other.
            PoolClosed: The client has been closed.
        """
        await self._change(removing(self._name(server)))

    async def replace_node(self, old: OneServer, new: OneServer) -> None:
        """Put a server in the place of another.

        With the same name and weight it has the keys of the old one, with most schemes.

        Args:
            old: The name of the server that leaves, or what it was made of.
            new: The server that comes.

        Raises:
            ConfigurationError: There is no such server, or the new one is not valid.
            PoolClosed: The client has been closed.
        """
        await self._change(replacing(self._name(old), _one(new)))

    async def set_nodes(self, servers: Servers) -> None:
        """Have exactly these servers from now on, in this order.

        Args:
            servers: As for the constructor, without options.

        Raises:
            ConfigurationError: The servers are not valid; nothing has changed.
            PoolClosed: The client has been closed.
        """
        await self._change(setting(_read(servers)))

    async def _change(self, change: Change) -> None:
        if self._cluster.discovering:
            raise ConfigurationError(
                "the servers of this client are found by its discovery, which would undo the change"
            )
        await self._cluster.change(change)

    def _name(self, server: OneServer) -> str:
        if isinstance(server, str) and server in self._cluster.names:
            return server
        return _one(server).name


def _one(server: OneServer) -> Server:
    servers = _read(server)
    if len(servers) != 1:
        raise ConfigurationError(f"that is {len(servers)} servers: give one, or use set_nodes")
    return servers[0]


def _read(servers: Servers) -> tuple[Server, ...]:
    found = read_servers(servers)
    if found.options or found.credentials is not None or found.tls:
        raise ConfigurationError(
            "options and credentials are given when the client is made, and so is memcacheds://: "
            "leave them out here"
        )
    return found.servers
