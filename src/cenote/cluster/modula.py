"""A hash modulo the number of servers: what peers do unless they are told to do better.

Adding a server moves nearly every key. Here for those who come from such a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.cluster.placing import Modula
from cenote.cluster.weights import refuse_weights, repeated_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.cluster.placing import Placer
    from cenote.cluster.server import Server


def modula(servers: Sequence[Server]) -> Placer:
    """Place as libmemcached and pylibmc do by default; they ignore weights."""
    refuse_weights("modula", servers)
    return Modula(len(servers), "one-at-a-time", range(len(servers)))


def modula_md5(servers: Sequence[Server]) -> Placer:
    """Place as pylibmc with ``hash="md5"``; it ignores weights."""
    refuse_weights("modula-md5", servers)
    return Modula(len(servers), "md5", range(len(servers)))


def modula_crc(servers: Sequence[Server]) -> Placer:
    """Place as python-memcached: a server has as many buckets as its weight says."""
    weights = repeated_weights("modula-crc", servers)
    buckets = [index for index, weight in enumerate(weights) for _ in range(weight)]
    return Modula(len(servers), "crc-middle", buckets)
