"""How a list of servers changes: pure functions from the servers there are to those there will be.

Strategy: order matters to some schemes of placement, so a server that is replaced leaves its place
to its successor, and a new one comes last. What is known of the servers that stay (their pools) is
kept by whoever applies the change: see ``is_same``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from cenote.cluster.server import Server

Change: TypeAlias = "Callable[[Sequence[Server]], Sequence[Server]]"
"""Given the servers there are, returns those there will be."""


def adding(server: Server) -> Change:
    """Add a server behind the others."""
    return lambda servers: [*servers, server]


def removing(name: str) -> Change:
    """Remove the server of that name; it raises `ConfigurationError` if there is none."""
    return partial(_remove, name)


def replacing(name: str, server: Server) -> Change:
    """Put a server in the place of another; `ConfigurationError` if there is none of that name."""
    return partial(_replace, name, server)


def setting(servers: Sequence[Server]) -> Change:
    """Have exactly these servers."""
    return lambda _: servers


def is_same(one: Server, other: Server) -> bool:
    """Tell whether connections to a server may be kept: its weight alone may have changed."""
    return (one.name, one.address) == (other.name, other.address)


def _remove(name: str, servers: Sequence[Server]) -> Sequence[Server]:
    place = _place(name, servers)
    if len(servers) == 1:
        raise ConfigurationError(
            f"{name} is the only server: add another before, or replace it, or close the client"
        )
    return [*servers[:place], *servers[place + 1 :]]


def _replace(name: str, server: Server, servers: Sequence[Server]) -> Sequence[Server]:
    place = _place(name, servers)
    return [*servers[:place], server, *servers[place + 1 :]]


def _place(name: str, servers: Sequence[Server]) -> int:
    names = [server.name for server in servers]
    if name not in names:
        raise ConfigurationError(f"no server is named {name!r}: {', '.join(names)}")
    return names.index(name)
