r"""The list of servers that Amazon ElastiCache and Google Memorystore keep: ``config get cluster``.

Strategy: read completely and strictly. What can not be read is an error, of which nothing is used:
half a list would move keys. Both services answer alike::

    CONFIG cluster 0 <length>\r\n
    <version>\n
    <host>|<ip>|<port> <host>|<ip>|<port> ...\n\r\n
    END\r\n

Amazon names hosts, and may not know their IP (``host||port``); Google has an IP in both places.
Engines before 1.4.14 keep the same text under a key, to be read by ``get``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, get_args

from cenote import protocol
from cenote.cluster.discovery import Discovered
from cenote.cluster.server import LocalAddress, Server
from cenote.connection import TCPAddress
from cenote.errors import ConfigurationError, ProtocolError
from cenote.protocol import Request

Prefer = Literal["host", "ip"]

OLD_KEY: Final = b"AmazonElastiCache:cluster"
"""Where engines before 1.4.14 keep the list."""

_HOST: Final = re.compile(r"[0-9A-Za-z_.:-]{1,253}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ElastiCache:
    """Servers are those of an ElastiCache or Memorystore cluster, by its configuration endpoint.

    The client's ``servers`` are the configuration endpoints: the first that answers is believed.
    A server is called ``host:port``, however it is connected to, and places keys by that.

    Args:
        interval: Seconds between two looks.
        timeout: Seconds a look may take.
        prefer: Connect to the servers by ``"host"``, or by ``"ip"`` where it is known.

    Raises:
        ConfigurationError: An option is out of range.
    """

    interval: float = 60.0
    timeout: float = 5.0
    prefer: Prefer = "host"

    def __post_init__(self) -> None:
        check_times(self.interval, self.timeout)
        if self.prefer not in get_args(Prefer):
            legal = ", ".join(map(repr, get_args(Prefer)))
            raise ConfigurationError(f"prefer={self.prefer!r} is not known: {legal}")


def check_endpoints(servers: Sequence[Server]) -> None:
    """Refuse what can not be asked, and what is said of servers that are only asked for others.

    Raises:
        ConfigurationError: One is the private server of ``local://``, or has a weight.
    """
    for server in servers:
        if isinstance(server.address, LocalAddress):
            raise ConfigurationError(
                "local:// is no configuration endpoint: name one, or leave discovery out"
            )
        if server.weight != 1:
            raise ConfigurationError(
                f"the weight of a configuration endpoint ({server.name}) means nothing: the "
                "servers that it names have the same share of the keys each"
            )


def check_times(interval: float, timeout: float) -> None:
    """Refuse times that can not be.

    Raises:
        ConfigurationError: One is not a number above 0.
    """
    for name, seconds in (("interval", interval), ("timeout", timeout)):
        if type(seconds) not in (int, float) or not 0 < seconds < 1e9:
            raise ConfigurationError(f"{name}={seconds!r} is out of range: use seconds above 0")


def config_request() -> Request:
    """Ask for the list."""
    return protocol.config_get("cluster")


def old_config_request() -> Request:
    """Ask an engine before 1.4.14 for the list."""
    return protocol.get(OLD_KEY)


def read_config(text: str, prefer: Prefer) -> Discovered:
    """Read a list of servers.

    Args:
        text: What stands between the lines of the answer.
        prefer: Connect by host or by IP.

    Raises:
        ProtocolError: It is none.
    """
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    if len(lines) > 2 or not _NUMBER.fullmatch(lines[0]):
        raise _unread(text, "it is not a line with a version and a line with servers")
    nodes = lines[1].split(" ") if len(lines) == 2 else []
    servers = [_server(node, prefer, text) for node in nodes if node]
    if len({server.name for server in servers}) < len(servers):
        raise _unread(text, "it names a server twice")
    return Discovered(servers, version=int(lines[0]))


def _server(node: str, prefer: Prefer, text: str) -> Server:
    parts = node.split("|")
    if len(parts) != 3:
        raise _unread(text, f"{node!r} is not host|ip|port")
    host, ip, port = parts
    if not _HOST.fullmatch(host or ip) or (ip and not _is_ip(ip)):
        raise _unread(text, f"{node!r} names no host")
    if not _NUMBER.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _unread(text, f"{node!r} has no port")
    named = TCPAddress(host or ip, int(port))
    address = TCPAddress(ip, int(port)) if ip and prefer == "ip" else named
    return Server(address, name=str(named))


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _unread(text: str, why: str) -> ProtocolError:
    return ProtocolError(f"the list of servers can not be read, {why}: {text[:200]!r}")
