"""What a node tells of itself to whoever watches its pool, in OpenTelemetry's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.connection.address import TCPAddress

if TYPE_CHECKING:
    from cenote.connection import Address


def attributes(address: Address) -> dict[str, str | int]:
    """Return the system and where it listens; nothing is looked up."""
    found: dict[str, str | int] = {"db.system.name": "memcached"}
    if isinstance(address, TCPAddress):
        return found | {"server.address": address.host, "server.port": address.port}
    return found | {"server.address": str(address)}
