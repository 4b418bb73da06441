"""Rendezvous hashing (highest random weight): cenote's own, pymemcache's and emcache's.

Each server draws a number for the key, and the highest draw has it. So a server that goes takes
only its own keys along, and one that comes takes its share of every other's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.cluster.placing import EmcacheRendezvous, PymemcacheRendezvous, Rendezvous
from cenote.cluster.spelling import joined
from cenote.cluster.weights import refuse_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cenote.cluster.placing import Placer
    from cenote.cluster.server import Server


def rendezvous(servers: Sequence[Server]) -> Placer:
    """Place by the servers' names and weights; in which order they stand does not matter."""
    weights = [server.weight for server in servers]
    names = [server.name.encode() for server in servers]
    return Rendezvous(names, None if len(set(weights)) == 1 else weights)


def pymemcache(servers: Sequence[Server]) -> Placer:
    """Place as pymemcache's ``HashClient``."""
    refuse_weights("pymemcache", servers)
    return PymemcacheRendezvous([joined(server, ":") for server in servers])


def emcache(servers: Sequence[Server]) -> Placer:
    """Place as emcache."""
    refuse_weights("emcache", servers)
    return EmcacheRendezvous([joined(server, "").encode() for server in servers])
