"""Where keys are placed: alike in every process and build, well spread, moved only if need be."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.cluster import _placing_native, close_call, placing
from cenote.cluster.router import HASHING_NAMES, Hashing, placer_for
from cenote.cluster.server import LOCAL, Server
from cenote.errors import ConfigurationError, NoNodesAvailable
from tests.cluster.peers import EQUAL, WEIGHTED, WIRES, Hosts

# SHA-256 of the places of every key of `peers.py`, on all sets of hosts that the scheme can count
# with: what any build on any platform must come to.
VECTORS = {
    "rendezvous": "c8ed8c3364647371",
    "modula": "a14d16b1732bf2a6",
    "modula-md5": "fe7d6b4e20db6956",
    "modula-crc": "5131ac195439bc5d",
    "ketama": "6c50be9b6921facc",
    "ketama-libmemcached": "61f1ce0505ff3016",
    "ketama-spy": "81f3bda24c3595ec",
    "pymemcache": "f9fd1cb557c241ad",
    "emcache": "e02948dda9a0a161",
    "uhashring": "3ed1ad25f1ece2bf",
    "dalli": "f4c7c6d51cd701fa",
}

SOME = WIRES[::9]

each_scheme = pytest.mark.parametrize("hashing", HASHING_NAMES)


def servers_of(hosts: Hosts) -> list[Server]:
    return [host.server for host in hosts]


def four() -> list[Server]:
    return servers_of(EQUAL["four on the usual port"])


def places_on(hashing: Hashing, servers: list[Server]) -> list[int]:
    placer = placer_for(hashing, servers)
    return [placer.place(wire) for wire in WIRES]


def digest_of(hashing: str) -> str:
    digest = hashlib.sha256()
    for hosts in (EQUAL | WEIGHTED).values():
        try:
            digest.update(bytes(places_on(hashing, servers_of(hosts))))  # type: ignore[arg-type]
        except ConfigurationError:
            digest.update(b"no weights")
    return digest.hexdigest()[:16]


@each_scheme
def test_placement_is_the_same_on_every_platform(hashing) -> None:
    assert digest_of(hashing) == VECTORS[hashing]


def test_placement_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from tests.cluster.test_placement import four, places_on\n"
        "print(places_on('rendezvous', four()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {str(places_on("rendezvous", four()))}


# The twins.


@st.composite
def placers(draw):
    """The same placer, compiled (if it was built) and in pure Python."""
    points = sorted(draw(st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=40)))
    wide = sorted(draw(st.sets(st.integers(0, 2**128 - 1), min_size=1, max_size=40)))
    owners = draw(st.lists(st.integers(0, 3), min_size=40, max_size=40))
    names = draw(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=6, unique=True))
    long_name = ["n" * draw(st.integers(480, 600))]
    encoded = [name.encode("utf-8", "replace") for name in names]
    weights = draw(st.lists(st.floats(1e-3, 1e3), min_size=len(names), max_size=len(names)))
    hashed = draw(st.sampled_from(["one-at-a-time", "md5", "crc-middle", "crc32"]))
    before = draw(st.booleans())
    makers = {
        "modula": lambda module: module.Modula(4, hashed, owners),
        "ring": lambda module: module.Ring(4, hashed, points, owners[: len(points)], before=before),
        "wide ring": lambda module: module.WideRing(4, wide, owners[: len(wide)]),
        "rendezvous": lambda module: module.Rendezvous(encoded),
        "weighted": lambda module: module.Rendezvous(encoded, weights),
        "pymemcache": lambda module: module.PymemcacheRendezvous(names),
        "emcache": lambda module: module.EmcacheRendezvous(
            encoded + [n.encode() for n in long_name]
        ),
    }
    make = makers[draw(st.sampled_from(sorted(makers)))]
    return make(placing), make(_placing_native)


@given(placers(), st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 60))
def test_the_twins_place_alike(both, keys, skip) -> None:
    for placer in both:
        placer.skip = skip
    ours, pure = both
    assert [ours.place(key) for key in keys] == [pure.place(key) for key in keys]
    assert ours.spread(keys) == pure.spread(keys)
    assert ours.count == pure.count


@given(st.binary(max_size=300))
def test_the_twins_hash_alike(key) -> None:
    assert placing.one_at_a_time(key) == _placing_native.one_at_a_time(key)


@each_scheme
def test_the_positions_of_a_batch_are_those_of_its_keys(hashing) -> None:
    placer = placer_for(hashing, four())
    spread = placer.spread(SOME)
    assert len(spread) == 4
    assert sorted(position for positions in spread for position in positions) == [*range(len(SOME))]
    for number, positions in enumerate(spread):
        assert {placer.place(SOME[position]) for position in positions} == {number}
        assert positions == sorted(positions)


@each_scheme
def test_a_key_is_bytes(hashing) -> None:
    placer = placer_for(hashing, four())
    for nothing in (None, "text"):
        with pytest.raises((TypeError, AttributeError)):
            placer.place(nothing)  # type: ignore[arg-type]


# Rendezvous, cenote's own.


@pytest.mark.parametrize("hosts", EQUAL)
def test_rendezvous_spreads_keys_evenly(hosts: str) -> None:
    servers = servers_of(EQUAL[hosts])
    placer = placer_for("rendezvous", servers)
    shares = Counter(placer.place(b"key:%d" % number) for number in range(1_000 * len(servers)))
    chi_square = sum((shares[n] - 1_000) ** 2 / 1_000 for n in range(len(servers)))
    freedom = len(servers) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom) + 4


def test_rendezvous_gives_each_server_its_weight_of_the_keys() -> None:
    weights = [0.5, 1, 2.5, 4]
    servers = [replace(s, weight=w) for s, w in zip(four(), weights, strict=True)]
    placer = placer_for("rendezvous", servers)
    shares = Counter(placer.place(b"key:%d" % number) for number in range(40_000))
    for number, weight in enumerate(weights):
        assert shares[number] == pytest.approx(5_000 * weight, rel=0.05)


def test_rendezvous_takes_only_its_own_keys_from_a_server_that_leaves() -> None:
    servers = servers_of(EQUAL["ten on one host"])
    before, after = places_on("rendezvous", servers), places_on("rendezvous", servers[:-1])
    moved = {old for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {9}


def test_rendezvous_moves_keys_only_to_the_server_whose_weight_grew() -> None:
    lighter = four()
    heavier = [*lighter[:-1], replace(lighter[-1], weight=3)]
    before, after = places_on("rendezvous", lighter), places_on("rendezvous", heavier)
    moved = {new for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {3}


def test_rendezvous_looks_at_names_not_at_their_order_or_address() -> None:
    servers = four()
    places = [servers[number].name for number in places_on("rendezvous", servers)]
    turned = servers[::-1]
    assert [turned[number].name for number in places_on("rendezvous", turned)] == places
    moved = [replace(Server.at(f"elsewhere-{n}"), name=s.name) for n, s in enumerate(servers)]
    assert [moved[number].name for number in places_on("rendezvous", moved)] == places


def test_a_close_call_is_decided_as_any_other() -> None:
    """Exact arithmetic and floating point agree wherever the latter can be trusted."""
    draws = [int.from_bytes(hashlib.md5(wire).digest()[:8], "big") for wire in WIRES]
    for number, (draw, other) in enumerate(pairwise(draws)):
        weight, other_weight = 1 + number % 7, 1 + number % 3
        score = weight / -math.log(((draw >> 12) + 0.5) * 2.0**-52)
        other_score = other_weight / -math.log(((other >> 12) + 0.5) * 2.0**-52)
        assert close_call.heavier(weight, draw, other_weight, other) == (score > other_score)


@pytest.mark.parametrize("draw", [0, 1, 2**63, 2**64 - 1])
def test_a_close_call_may_be_a_tie_which_neither_wins(draw: int) -> None:
    assert not close_call.heavier(1.5, draw, 1.5, draw)
    assert close_call.heavier(math.nextafter(1.5, 2), draw, 1.5, draw)
    assert not close_call.heavier(1.5, draw, math.nextafter(1.5, 2), draw)


def test_of_two_servers_that_draw_alike_the_later_by_name_wins(monkeypatch) -> None:
    for weights in (None, [2.0, 2.0, 2.0]):
        placer = placing.Rendezvous([b"a", b"c", b"b"], weights)
        same = placing.Rendezvous([b"c", b"c", b"c"], weights)
        assert placer.count == same.count == 3
        assert same.place(b"any key") == 2  # of equal names the last


# Options.


def test_an_unknown_scheme_lists_the_legal_ones() -> None:
    with pytest.raises(ConfigurationError) as raised:
        placer_for("consistent", four())  # type: ignore[arg-type]
    for name in HASHING_NAMES:
        assert repr(name) in str(raised.value)


@pytest.mark.parametrize("hashing", ["modula", "modula-md5", "pymemcache", "emcache"])
def test_weights_are_refused_where_the_peer_ignores_them(hashing) -> None:
    servers = servers_of(WEIGHTED["one heavier"])
    with pytest.raises(ConfigurationError, match=f"{hashing}.*no weights"):
        placer_for(hashing, servers)


@pytest.mark.parametrize("hashing", ["modula-crc", "ketama", "ketama-libmemcached", "uhashring"])
def test_peers_count_with_whole_weights(hashing) -> None:
    servers = [replace(server, weight=1.5) for server in four()]
    with pytest.raises(ConfigurationError, match=r"1\.5.*whole"):
        placer_for(hashing, servers)


@pytest.mark.parametrize("hashing", ["modula-crc", "uhashring"])
def test_weights_that_would_fill_the_memory_are_refused(hashing) -> None:
    servers = [replace(server, weight=1_000_000) for server in four()]
    with pytest.raises(ConfigurationError, match="4000000"):
        placer_for(hashing, servers)


@pytest.mark.parametrize(
    ("hashing", "hashes_it"),
    [
        ("rendezvous", True),
        ("modula-crc", True),
        ("uhashring", True),
        ("dalli", True),
        ("emcache", True),
        ("modula", False),
        ("modula-md5", False),
        ("ketama", False),
        ("ketama-libmemcached", False),
        ("ketama-spy", False),
        ("pymemcache", False),
    ],
)
def test_a_prefix_is_hashed_where_the_peer_hashes_it(hashing, hashes_it: bool) -> None:
    bare, prefixed = placer_for(hashing, four()), placer_for(hashing, four(), len(b"app:"))
    counted = [bare.place(b"app:" + wire) for wire in SOME]
    left_out = [bare.place(wire) for wire in SOME]
    assert counted != left_out
    got = [prefixed.place(b"app:" + wire) for wire in SOME]
    assert got == (counted if hashes_it else left_out)


@each_scheme
def test_placing_beside_the_private_server_does_not_start_it(hashing) -> None:
    servers = [LOCAL, Server.at("127.0.0.1:1")]
    placer = placer_for(hashing, servers)
    assert {placer.place(wire) for wire in SOME} == {0, 1}


# Routers of the user's.


class ByFirstByte:
    def __init__(self, servers) -> None:
        self.servers = servers

    def server_for(self, key: bytes) -> int:
        return key[0] % len(self.servers)


def test_a_router_of_the_users_places_keys() -> None:
    placer = placer_for(ByFirstByte, four())
    assert [placer.place(bytes([byte])) for byte in (0, 5, 34)] == [0, 1, 2]
    assert placer.spread([b"\x01", b"\x02", b"\x05"]) == [[], [0, 2], [1], []]


@pytest.mark.parametrize("answer", [4, -1, None, "0", True, 1.0])
def test_a_router_that_names_no_server_leaves_none_available(answer) -> None:
    class Lost:
        def server_for(self, key: bytes):
            return answer

    placer = placer_for(lambda servers: Lost(), four())
    with pytest.raises(NoNodesAvailable, match="the number of a server"):
        placer.place(b"key")


def test_what_a_router_raises_is_the_callers() -> None:
    class Broken:
        def server_for(self, key: bytes) -> int:
            raise LookupError(key)

    with pytest.raises(LookupError, match="key"):
        placer_for(lambda servers: Broken(), four()).place(b"key")


def test_what_makes_no_router_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="server_for"):
        placer_for(lambda servers: None, four())  # type: ignore[arg-type, return-value]
