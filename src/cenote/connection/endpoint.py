"""One thing to connect to, after names were looked up, and how its socket is set up."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from cenote.connection.address import TCPAddress, UnixAddress
from cenote.connection.race import alternate

SocketAddress: TypeAlias = "str | tuple[Any, ...]"  # as the socket module has it
Resolved: TypeAlias = Iterable[tuple[Any, Any, int, str, Any]]

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds of silence before the kernel asks whether the peer is there, between questions, and how
many go unanswered before the connection is dead: a half-open peer is noticed within a minute."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address family and a socket address of that family."""

    family: int
    sockaddr: SocketAddress

    def __str__(self) -> str:
        if isinstance(self.sockaddr, str):
            return self.sockaddr
        return str(TCPAddress(self.sockaddr[0], self.sockaddr[1]))

    def open(self) -> socket.socket:
        """Make a socket for it: not yet connected, not blocking, closed on exec.

        The size of the receive buffer is left to the kernel: once set it no longer grows, and a
        small one makes a large value crawl.
        """
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if not isinstance(self.sockaddr, str):
            _tune(sock)
        return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE.items():
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, seconds)


def unix_endpoint(address: UnixAddress) -> Endpoint:
    """The endpoint of a unix socket."""
    return Endpoint(socket.AF_UNIX, address.path)


def tcp_endpoints(resolved: Resolved) -> list[Endpoint]:
    """What ``getaddrinfo`` found, families alternating, without repetitions."""
    unique = dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in resolved)
    return alternate((family, Endpoint(family, sockaddr)) for family, sockaddr in unique)


def literal_endpoints(address: TCPAddress) -> list[Endpoint] | None:
    """The endpoint of a literal IP address; None if the host is a name and must be looked up."""
    try:
        return tcp_endpoints(
            socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        )
    except (socket.gaierror, UnicodeError):  # a name, or nothing that could be one
        return None


def is_connected_to_itself(sock: socket.socket) -> bool:
    """Whether the kernel picked the very port it was to connect to, and met itself there.

    It happens on loopback when nobody listens on a port of the range that is also given to clients.
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # reset already: the handshake will say so
        return False
