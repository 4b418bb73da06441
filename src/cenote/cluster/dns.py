"""Servers that stand in the DNS: the addresses of a name, or the targets of its SRV records.

Strategy: what is looked up is text that a name server sends in any order. It is sorted before it
becomes servers, so that placement never depends on the order of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from cenote.cluster.elasticache import check_times
from cenote.cluster.server import Server
from cenote.connection import TCPAddress
from cenote.connection.found import Found, Target
from cenote.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class DNS:
    """Servers are all those that the DNS has under the names of the client's ``servers``.

    Each address of a name (A and AAAA, as a headless service of Kubernetes has them) is a server
    with the port and the weight of the name. A name whose first label begins with an underscore
    (``_memcache._tcp.cache.example``) is looked up as SRV: each target of the lowest priority is a
    server with its own port, called ``target:port``; SRV weights are not used.

    Args:
        interval: Seconds between two looks; a shorter TTL counts, where it is known.
        timeout: Seconds a look may take.
        nameservers: Who is asked, ``"ip"`` or ``"ip:port"``; none: as the system is set up. SRV
            and name servers of one's own need ``pip install cenote[dns]``.

    Raises:
        ConfigurationError: An option is out of range.
    """

    interval: float = 30.0
    timeout: float = 5.0
    nameservers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_times(self.interval, self.timeout)
        for each in self.nameservers:
            _nameserver(each)

    @property
    def asked(self) -> list[tuple[str, int]]:
        """The name servers, as addresses and ports."""
        return [_nameserver(each) for each in self.nameservers]


def _nameserver(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "53")
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise ConfigurationError(
            f"{text!r} is no name server: write an IP address, or 'ip:port' for IPv4"
        )
    return host, number


def is_service(server: Server) -> bool:
    """Tell whether a name is to be looked up as SRV."""
    return isinstance(server.address, TCPAddress) and server.address.host.startswith("_")


def check_names(servers: Sequence[Server]) -> None:
    """Refuse what is no name.

    Raises:
        ConfigurationError: A server is a unix socket.
    """
    for server in servers:
        if not isinstance(server.address, TCPAddress):
            raise ConfigurationError(
                f"discovery='dns' looks up names, and {server.name} is none: write host:port"
            )


def servers_of(name: Server, found: Found) -> list[Server]:
    """Return the servers that were found under a name, in an order that depends on nothing else."""
    addresses = [TCPAddress(target.host, target.port) for target in _sorted(found.targets)]
    return [Server(address, name.weight) for address in dict.fromkeys(addresses)]


def _sorted(targets: Iterable[Target]) -> list[Target]:
    return sorted(targets, key=_rank)


def _rank(target: Target) -> tuple[int, int, str, int]:
    try:
        ip = ip_address(target.host)
    except ValueError:
        return (0, 0, target.host, target.port)
    return (ip.version, int(ip), "", target.port)
