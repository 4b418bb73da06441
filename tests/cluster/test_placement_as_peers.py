"""A migration does not empty the cache: every key is placed where the peer has put it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cenote.cluster.router import HASHING_NAMES, placer_for
from tests.cluster.peers import ASKED, ASKED_WIRES, EQUAL, PEERS, WEIGHTED, WIRES, Hosts

pytestmark = pytest.mark.proof

CASES = [
    (peer, hosts)
    for peer, (_, _, weighted) in PEERS.items()
    for hosts in (EQUAL | WEIGHTED if weighted else EQUAL)
    if not (peer == "meta-memcache" and hosts == "sockets")  # its addresses have ports
]


def hosts_named(name: str) -> Hosts:
    return (EQUAL | WEIGHTED)[name]


@pytest.mark.parametrize(("peer", "hosts"), CASES)
def test_every_key_is_where_the_peer_has_put_it(peer: str, hosts: str) -> None:
    hashing, places, _ = PEERS[peer]
    servers = [host.server for host in hosts_named(hosts)]
    if peer == "bmemcached":
        servers = [replace(server, name=f"{server.name}_None_None") for server in servers]
    placer = placer_for(hashing, servers)  # type: ignore[arg-type]
    expected = places(hosts_named(hosts))
    moved = {
        key: (placer.place(wire), place)
        for key, wire, place in zip(ASKED, ASKED_WIRES, expected, strict=True)
        if placer.place(wire) != place
    }
    assert not moved


def test_every_scheme_but_our_own_is_held_against_a_peer() -> None:
    assert {hashing for hashing, _, _ in PEERS.values()} == set(HASHING_NAMES) - {"rendezvous"}


def test_there_are_thousands_of_keys_of_every_length() -> None:
    assert len(set(WIRES)) >= 2_900
    assert max(map(len, WIRES)) == 250
    assert {len(wire) % 16 for wire in ASKED_WIRES} == set(range(16))
