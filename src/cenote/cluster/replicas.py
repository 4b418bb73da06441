"""Several servers that hold the same keys: who is asked what, and who is to be trusted.

Strategy: one rule keeps old values away: *whoever may lack a write is not read from* until it has
been flushed. So every reply to a write is judged, and whoever has not taken what another has is
taken out of service. Commands whose outcome depends on what is stored are decided by one server,
the first in service; the others drop the key, since they might decide otherwise. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, get_args

from cenote import protocol
from cenote.cluster.server import LocalAddress, Server, parse_address
from cenote.connection import Address, TCPAddress, UnixAddress
from cenote.errors import (
    CenoteError,
    ClientError,
    ConfigurationError,
    OutOfMemory,
    PoolError,
    ServerError,
    ValueTooLarge,
)
from cenote.protocol import EXISTS, NOT_FOUND, NOT_STORED, Reply, Request, binary
from cenote.protocol import frames as f

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cenote.cluster.failover import FailoverOptions
    from cenote.cluster.finding import AnyDiscovery
    from cenote.connection import ProtocolChoice
    from cenote.protocol.encoders import Encoders

ReadFrom: TypeAlias = Literal["first", "fastest"]

_FASTER: Final = 0.75  # of the present one's latency: whoever is to be read from in its place
_ANSWERED: Final = (ServerError, ClientError)
_DROPPED: Final = (OutOfMemory, ValueTooLarge)  # a server that refuses a set so drops the old value
_BINARY: Final = bytes([f.ASKS])


@dataclass(frozen=True, slots=True, init=False)
class Replicas(Server):
    """Several servers that hold the same keys, in the place of one server.

    Reads go to one of them, writes to all. It has one place among the servers of a client, whoever
    of its members is alive.

    Args:
        servers: The members, in the order in which they are preferred; two at least. Each is an
            address as for `Server.at`, a `Server` or an address object.
        read: Who is read from: ``"first"`` of those in service, or the ``"fastest"``.
        weight: Its share of the keys beside other servers; above 0.
        name: What places its keys; the members' names with ``+`` between them when left out.
            Schemes of other clients that look at addresses take the first member's.

    Raises:
        ConfigurationError: Fewer than two members, two of the same name, one that can not be a
            member, or an unknown ``read``.
    """

    servers: tuple[Server, ...] = ()
    read: ReadFrom = "first"

    def __init__(
        self,
        servers: Sequence[str | Server | Address],
        read: ReadFrom = "first",
        weight: float = 1,
        name: str = "",
    ) -> None:
        if isinstance(servers, (str, bytes)) or not isinstance(servers, Sequence):
            raise ConfigurationError(f"Replicas takes a sequence of servers, not {servers!r}")
        members = tuple(_member(server) for server in servers)
        names = [member.name for member in members]
        if len(set(names)) < max(2, len(names)):
            raise ConfigurationError(
                f"replicas are two servers or more, each of its own name, not {names}"
            )
        if read not in get_args(ReadFrom):
            raise ConfigurationError(f"read={read!r} is not known: 'first', 'fastest'")
        object.__setattr__(self, "servers", members)
        object.__setattr__(self, "read", read)
        Server.__init__(self, members[0].address, weight, name or "+".join(names))


def _member(server: str | Server | Address) -> Server:
    if isinstance(server, (TCPAddress, UnixAddress)):
        server = Server(server)
    elif not isinstance(server, Server):
        server = Server(parse_address(server))
    if isinstance(server, Replicas) or isinstance(server.address, LocalAddress):
        raise ConfigurationError(f"{server.name} can not be one of the servers of Replicas")
    if server.weight != 1:
        raise ConfigurationError(f"{server.name}: replicas have one weight, that of Replicas(...)")
    return server


def members_of(server: Server) -> tuple[Server, ...]:
    """Return the servers that stand in the place of one: itself, or the replicas that it is."""
    return server.servers if isinstance(server, Replicas) else (server,)


def check_replicas(
    servers: Sequence[Server], failover: FailoverOptions, discovery: AnyDiscovery | None = None
) -> None:
    """Refuse options that mean nothing for replicas, where there are some.

    Raises:
        ConfigurationError: There are, and one of them was given.
    """
    if any(isinstance(server, Replicas) for server in failover.gutter):
        raise ConfigurationError("gutter= takes plain servers, not Replicas")
    if not any(isinstance(server, Replicas) for server in servers):
        return
    if discovery is not None:
        raise ConfigurationError("discovery= asks plain servers for others, not Replicas")
    if failover.failover in {"rehash", "gutter"}:
        raise ConfigurationError(
            f"failover={failover.failover!r} does not go with Replicas, which step in for each "
            'other: use "fail" or "miss"'
        )
    if failover.on_return == "delete":
        raise ConfigurationError(
            'on_return="delete" does not go with Replicas, which are flushed when they come back'
        )


def check_spoken(protocol: ProtocolChoice) -> None:
    """Refuse to insist on commands that replicas are never asked by.

    Raises:
        ConfigurationError: The protocol is ``"meta"``.
    """
    if protocol == "meta":
        raise ConfigurationError(
            'protocol="meta" does not go with Replicas, which are asked by the classic commands '
            'only: use "auto", "classic" or "binary"'
        )


class Kind(Enum):
    """How a request is to be carried out by replicas."""

    READ = auto()  # by one of them
    SAME = auto()  # by all, at the same time: it leaves the same behind with each
    DECIDED = auto()  # by the first in service: what it does depends on what is stored


_SAME: Final = frozenset({"set", "delete", "touch", "gat", "flush_all"})


def kind_of(request: Request) -> Kind:
    """Return how a request is to be carried out; a cas token is of use only where it came from."""
    if request.verb == "get":
        return Kind.READ
    return Kind.SAME if request.verb in _SAME else Kind.DECIDED


def try_until(now: float, deadline: float, count: int) -> float:
    """Return how long the first of ``count`` servers is waited for, so that all can be asked."""
    return now + (deadline - now) / count


def is_miss(request: Request, reply: Reply) -> bool:
    """Tell whether a read has not found everything that it asked for."""
    if isinstance(reply, dict):
        return len(reply) < len(set(request.keys or ()))
    return reply is None


def completed(reply: Reply, found: Any) -> Reply:
    """Return what one has answered to a read, with what another has found instead."""
    whole: Reply = reply | found if isinstance(reply, dict) else found
    return whole


def lacking(replies: Sequence[Reply]) -> list[int]:
    """Return who may not have what the others have, by what each answered to a write.

    If nobody took it, those whose state is in doubt; if it was sent to none, nobody.
    """
    taken = any(not isinstance(reply, CenoteError) for reply in replies)
    excused = _DROPPED if taken else _ANSWERED
    numbers = [
        number
        for number, reply in enumerate(replies)
        if isinstance(reply, CenoteError) and not isinstance(reply, excused)
    ]
    if not taken and all(isinstance(replies[number], PoolError) for number in numbers):
        return []
    return numbers


def answer_of(replies: Sequence[Reply]) -> Reply:
    """Return the answer to a write: that of the first who took it, or else said something."""
    said = [reply for reply in replies if not isinstance(reply, CenoteError)]
    refused = [reply for reply in replies if isinstance(reply, _ANSWERED)]
    return next(iter([*said, *refused, *replies]))


def forgetting(request: Request, reply: Reply) -> Request | None:
    """Return what the others are sent when one has decided: to drop the key, if it changed."""
    unchanged = reply is None or reply in (NOT_STORED, EXISTS, NOT_FOUND)
    if unchanged or request.verb == "gets" or request.key is None:
        return None
    encoders: Encoders = binary if request.payload[:1] == _BINARY else protocol
    return encoders.delete(request.key)


T = TypeVar("T")


def fastest(present: T, latencies: Mapping[T, float | None]) -> T:
    """Return who is to be read from; another than the present one only if it is clearly faster.

    Args:
        present: Who is read from.
        latencies: Seconds that a request takes, with each that is in service; None: not known.
    """
    known = {each: seconds for each, seconds in latencies.items() if seconds is not None}
    if not known:
        return present
    best = min(known, key=known.__getitem__)
    mine = known.get(present)
    return best if mine is None or known[best] < _FASTER * mine else present
