"""What a cluster knows of its servers at one moment: a value that is replaced whole, never changed.

Strategy: whoever works with the servers takes the topology once and sees one state of the cluster,
whatever happens meanwhile. The hot path reads its `Routes` with one load. A cluster that changes
makes a new topology and puts it in the place of the old one.

Members are numbered in the order in which they came to the cluster, through all topologies. That is
the one order in which batches take their leases, so two batches can not wait for each other even
while one of them works with an older topology.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from cenote.cluster.placing import Routes
from cenote.cluster.replicas import members_of
from cenote.cluster.router import placer_for
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.cluster.router import Hashing
    from cenote.cluster.server import Server


class Placed(Protocol):
    """What a topology must know of a server, and of what the cluster has made for it."""

    @property
    def number(self) -> int:
        """Its place in the order of leases."""
        ...

    @property
    def server(self) -> Server:
        """The server."""
        ...

    @property
    def request(self) -> Any:
        """Sends a request to it."""
        ...

    @property
    def each(self) -> Sequence[Any]:
        """The servers that stand in its place: itself, or the replicas that it is."""
        ...


M = TypeVar("M", bound=Placed)


class Topology(Generic[M]):
    """One state of a cluster's servers.

    Args:
        members: The servers, in the user's order, with what belongs to each.
        hashing: Which of them has a key, where there are several.
        prefix_size: How many bytes in front of every key are the client's prefix.

    Raises:
        ConfigurationError: The hashing can not count with these servers.

    Attributes:
        members: The servers.
        everybody: The servers, of replicas each.
        names: Their names.
        routes: Which of them has a key, and how it is asked.
        several: Whether there are several.
    """

    __slots__ = ("_placer", "everybody", "members", "names", "routes", "several")

    def __init__(self, members: Sequence[M], hashing: Hashing, prefix_size: int) -> None:
        self.members = tuple(members)
        self.everybody: tuple[M, ...] = tuple(each for member in members for each in member.each)
        self.names = [member.server.name for member in members]
        self.several = len(members) > 1
        servers = [member.server for member in members]
        self._placer = placer_for(hashing, servers, prefix_size) if self.several else None
        self.routes = Routes(self._placer, [member.request for member in members])

    def owner(self, key: bytes) -> M:
        """Return the server that owns a key."""
        return self.members[0 if self._placer is None else self._placer.place(key)]

    def spread(self, keys: Sequence[bytes]) -> list[tuple[M, list[int]]]:
        """Return the servers that own any of ``keys``, and which keys those are.

        They come in the order that batches take their leases in.
        """
        if self._placer is None:
            return [(self.members[0], list(range(len(keys))))]
        spread = zip(self.members, self._placer.spread(keys), strict=True)
        return in_lease_order([(member, positions) for member, positions in spread if positions])

    def named(self, name: str | None) -> M:
        """Return a server by its name; None: the only one.

        Raises:
            ConfigurationError: It is not known which.
        """
        names = [member.server.name for member in self.everybody]
        if name is None and len(names) > 1:
            raise ConfigurationError(f"name one of the servers: {', '.join(names)}")
        if name is not None and name not in names:
            raise ConfigurationError(f"no server is named {name!r}: {', '.join(names)}")
        return self.everybody[0 if name is None else names.index(name)]


T = TypeVar("T")


def in_lease_order(work: list[tuple[M, T]]) -> list[tuple[M, T]]:
    """Return work for several servers in the order that leases are taken in."""
    return sorted(work, key=_number_of)


def _number_of(work: tuple[Placed, object]) -> int:
    return work[0].number


def refuse_namesakes(servers: Sequence[Server]) -> None:
    """Refuse servers of which two have one name.

    Raises:
        ConfigurationError: Two have.
    """
    places = [server.name for server in servers]
    within = [each.name for server in servers for each in members_of(server) if each is not server]
    names = places + within
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"two servers are named {name!r}: name each once, and give it a weight if it is to "
                "have more of the keys"
            )
