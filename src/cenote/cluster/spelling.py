"""How peers spell a server where they hash it: its host, its port, its path.

Strategy: a server is placed by what its user wrote, never by what a name resolves to. What only
cenote and uhashring look at is the server's name, which the user may set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.cluster.server import LocalAddress
from cenote.connection import TCPAddress

if TYPE_CHECKING:
    from cenote.cluster.server import Server


def host_and_port(server: Server) -> tuple[str, int | None]:
    """Return the host and the port; of a unix socket its path, and None."""
    address = server.address
    if isinstance(address, LocalAddress):
        return str(address), None  # its path is asked for when it is started, not before
    if isinstance(address, TCPAddress):
        return address.host, address.port
    return address.path, None


def joined(server: Server, separator: str) -> str:
    """Return the host and the port with a separator between them, or the path."""
    host, port = host_and_port(server)
    return host if port is None else f"{host}{separator}{port}"
