"""Which scheme places keys: the names users know them by, or a router of their own.

Strategy: a scheme is a function from servers to a placer. A router of the user's is made the same
way and asked about every key, in Python; all it may do is name a server by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from cenote._spelling import did_you_mean
from cenote.cluster import modula, rendezvous, rings
from cenote.cluster.placing import Custom
from cenote.cluster.server import Server
from cenote.errors import ConfigurationError, NoNodesAvailable

if TYPE_CHECKING:
    from cenote.cluster.placing import Placer

HashingName: TypeAlias = Literal[
    "rendezvous",
    "modula",
    "modula-md5",
    "modula-crc",
    "ketama",
    "ketama-libmemcached",
    "ketama-spy",
    "pymemcache",
    "emcache",
    "uhashring",
    "dalli",
]
HASHING_NAMES: Final[tuple[str, ...]] = get_args(HashingName)


@runtime_checkable
class Router(Protocol):
    """Places keys as a user wants them placed."""

    def server_for(self, key: bytes) -> int:
        """Return the number of the server that has ``key``, in the order of the servers.

        Called for every key, from any thread; it must answer alike in every process that shares the
        servers.

        Args:
            key: The key as it goes on the wire, its prefix included; or a `Key`'s ``route``.
        """
        ...


MakeRouter: TypeAlias = Callable[[Sequence[Server]], Router]
"""Makes a router for some servers; it is called again when there are others."""

Hashing: TypeAlias = HashingName | MakeRouter

_SCHEMES: Final[dict[str, Callable[[Sequence[Server]], Placer]]] = {
    "rendezvous": rendezvous.rendezvous,
    "modula": modula.modula,
    "modula-md5": modula.modula_md5,
    "modula-crc": modula.modula_crc,
    "ketama": rings.ketama,
    "ketama-libmemcached": rings.ketama_libmemcached,
    "ketama-spy": rings.ketama_spy,
    "pymemcache": rendezvous.pymemcache,
    "emcache": rendezvous.emcache,
    "uhashring": rings.uhashring,
    "dalli": rings.dalli,
}
# Of those, the ones whose clients do not hash the prefix that they put before keys.
_PREFIX_LEFT_OUT: Final = {
    "modula",
    "modula-md5",
    "ketama",
    "ketama-libmemcached",
    "ketama-spy",
    "pymemcache",
}


def placer_for(hashing: Hashing, servers: Sequence[Server], prefix_size: int = 0) -> Placer:
    """Make what places keys on ``servers``.

    Args:
        hashing: The name of a scheme, or what makes a router.
        servers: The servers; at least one.
        prefix_size: How many bytes of every key are the client's prefix. pylibmc (its namespace)
            and pymemcache (``key_prefix``) do not hash theirs.

    Raises:
        ConfigurationError: The scheme is not known (the legal ones are listed), can not count with
            these weights, or what was made is no `Router`.
    """
    if callable(hashing):
        return _custom(hashing, servers)
    check_hashing(hashing)
    placer = _SCHEMES[hashing](servers)
    if hashing in _PREFIX_LEFT_OUT:
        placer.skip = prefix_size
    return placer


def check_hashing(hashing: object) -> None:
    """Refuse what is neither a scheme nor something that makes a router.

    Raises:
        ConfigurationError: It is neither; the message lists the schemes.
    """
    if not callable(hashing) and hashing not in HASHING_NAMES:
        near = did_you_mean(str(hashing), HASHING_NAMES)
        raise ConfigurationError(
            f"hashing={hashing!r} is not known{near}: {', '.join(map(repr, HASHING_NAMES))}, or a "
            "callable that is given the servers and returns a Router"
        )


def _custom(make: MakeRouter, servers: Sequence[Server]) -> Placer:
    router = make(tuple(servers))
    if not isinstance(router, Router):
        raise ConfigurationError(
            f"hashing returned {router!r}, which is no Router: it has no server_for(key)"
        )
    return Custom(router.server_for, len(servers), _nowhere)


def _nowhere(key: bytes, answer: object) -> NoNodesAvailable:
    return NoNodesAvailable(
        f"the router returned {answer!r} for {key!r}: it must return the number of a server"
    )
