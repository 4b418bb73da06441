"""Consistent hashing: the ketama rings of libmemcached and spymemcached, uhashring's and Dalli's.

Strategy: each function lists the points of every server as the peer does; ``_ring`` sorts them, two
equal ones by the order of the servers. The arithmetic of the weights is part of the contract:
libmemcached reckons in single precision, and so does ``_single``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from hashlib import md5, sha1
from math import floor
from typing import TYPE_CHECKING

from cenote.cluster.placing import Ring, WideRing, one_at_a_time
from cenote.cluster.spelling import host_and_port, joined
from cenote.cluster.weights import repeated_weights, whole_weights

if TYPE_CHECKING:
    from cenote.cluster.placing import Placer
    from cenote.cluster.server import Server

_DEFAULT_PORT = 11211
_POINTS = 160  # a server, on a ring of digests
_POINTS_OF_A_DIGEST = 4
_POINTS_BY_HASH = 100  # a server, on a ring without weights


def ketama(servers: Sequence[Server]) -> Placer:
    """Build the classic MD5 ring: pylibmc's ``ketama_weighted``."""
    return _ring(len(servers), "md5", _digest_points(servers, _libmemcached_name))


def ketama_spy(servers: Sequence[Server]) -> Placer:
    """Build the MD5 ring with spymemcached's names, as libmemcached spells them."""
    return _ring(len(servers), "md5", _digest_points(servers, _spy_name))


def ketama_libmemcached(servers: Sequence[Server]) -> Placer:
    """Build the ring of pylibmc's ``ketama`` with its hash as it comes.

    A weight above 1 turns its points into those of ``ketama``; its keys are hashed as before.
    """
    if any(weight > 1 for weight in whole_weights("ketama-libmemcached", servers)):
        points = _digest_points(servers, _libmemcached_name)
    else:
        points = [
            (one_at_a_time(f"{_libmemcached_name(server)}-{number}".encode()), index)
            for index, server in enumerate(servers)
            for number in range(_POINTS_BY_HASH)
        ]
    return _ring(len(servers), "one-at-a-time", points)


def uhashring(servers: Sequence[Server]) -> Placer:
    """Build uhashring's ring of 128 bits: bmemcached and meta-memcache.

    A server stands on it by its name. bmemcached's is ``host:port_user_password``, with ``None``
    for what there is not.
    """
    weights = repeated_weights("uhashring", servers)
    points = {
        int.from_bytes(_md5(f"{server.name}-{number}"), "big"): index
        for index, server in enumerate(servers)
        for number in range(_POINTS * weights[index])
    }
    ordered = sorted(points)
    return WideRing(len(servers), ordered, [points[point] for point in ordered])


def dalli(servers: Sequence[Server]) -> Placer:
    """Build the ring of the Ruby client Dalli."""
    weights = whole_weights("dalli", servers)
    points = []
    for index, server in enumerate(servers):
        name = joined(server, ":")
        for number in range(floor(len(servers) * _POINTS * weights[index] / float(sum(weights)))):
            digest = sha1(f"{name}:{number}".encode(), usedforsecurity=False).digest()
            points.append((int.from_bytes(digest[:4], "big"), index))
    return _ring(len(servers), "crc32", points, before=True)


def _ring(
    count: int, hash_name: str, points: Iterable[tuple[int, int]], *, before: bool = False
) -> Ring:
    ordered = sorted(points)
    numbers = [number for number, _ in ordered]
    return Ring(count, hash_name, numbers, [owner for _, owner in ordered], before=before)


def _digest_points(
    servers: Sequence[Server], name_of: Callable[[Server], str]
) -> list[tuple[int, int]]:
    """Four points of 32 bits from each MD5, as many MD5s as a server's weight is worth."""
    weights = whole_weights("ketama", servers)
    return [
        (point, index)
        for index, server in enumerate(servers)
        for number in range(_digests(weights[index], sum(weights), len(servers)))
        for point in struct.unpack("<4I", _md5(f"{name_of(server)}-{number}"))
    ]


def _digests(weight: int, total: int, count: int) -> int:
    """How many MD5s a weight is worth: 40 on average, rounded down after every step as in C."""
    share = _single(_single(weight) / _single(total))
    points = _single(_single(share * _POINTS) / _POINTS_OF_A_DIGEST)
    return floor(_single(_single(points * count) + 1e-10))


def _single(number: float) -> float:
    """Round to single precision."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def _libmemcached_name(server: Server) -> str:
    """A host with the port, unless it is the usual one; a path counts as having port 0."""
    host, port = host_and_port(server)
    return host if port == _DEFAULT_PORT else f"{host}:{port or 0}"


def _spy_name(server: Server) -> str:
    host, port = host_and_port(server)
    return f"/{host}:{port or 0}"


def _md5(text: str) -> bytes:
    return md5(text.encode(), usedforsecurity=False).digest()
