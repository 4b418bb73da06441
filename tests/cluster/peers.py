"""Where each peer puts a key, by its own code; and the keys and servers they are asked about.

A place is the number of a server in the list given. Peers are imported when they are asked for: one
that is not installed skips the tests about it.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from cenote.cluster.server import Server
from tests.thorough import THOROUGH


class Host(NamedTuple):
    """A server, as anybody could be told of it; a path has no port."""

    host: str
    port: int | None
    weight: int = 1

    @property
    def text(self) -> str:
        if self.port is None:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def server(self) -> Server:
        return Server.at(self.text, self.weight)


Hosts = Sequence[Host]
Places = list[int]

EQUAL = {
    "two": [Host("10.0.0.1", 11211), Host("10.0.0.2", 11211)],
    "four on the usual port": [Host(f"10.0.0.{n}", 11211) for n in range(1, 5)],
    "seven names, other ports": [Host(f"cache-{n}.example.com", 21211 + n) for n in range(7)],
    "ten on one host": [Host("127.0.0.1", 20000 + n) for n in range(10)],
    "both kinds of port": [Host("b.example.com", 11211), Host("a.example.com", 11212)],
    "IPv6": [Host("::1", 20000 + n) for n in range(3)],
    "sockets": [Host(f"/run/memcached-{n}.sock", None) for n in range(3)],
    "fifteen": [Host(f"10.1.{n}.7", 11211) for n in range(15)],
}
WEIGHTED = {
    "one heavier": [Host("10.0.0.1", 11211), Host("10.0.0.2", 11211, 2), Host("10.0.0.3", 11212)],
    "Fibonacci": [Host(f"10.2.0.{n}", 11211, n) for n in (1, 2, 3, 5, 8, 13)],
    "large": [Host("a.example.com", 11211, 100), Host("b.example.com", 11211, 64)],
    "lopsided": [Host("a.example.com", 11211, 1), Host("b.example.com", 11211, 199)],
}


def _keys() -> list[str]:
    rng = random.Random(20240229)
    plain = [f"user:{number}:profile" for number in range(500)]
    ascii_only = [_word(rng, range(33, 127), rng.randint(1, 250)) for _ in range(1500)]
    letters = [*range(0xE0, 0x100), *range(0x3B1, 0x3C9), *range(0x4E00, 0x4E80), 0x1F600]
    return plain + ascii_only + [_word(rng, letters, rng.randint(1, 60)) for _ in range(1000)]


def _word(rng: random.Random, characters: Sequence[int], size: int) -> str:
    return "".join(map(chr, rng.choices(characters, k=size)))


KEYS = _keys()
WIRES = [key.encode() for key in KEYS]

# What the peers are asked about: every key for the compiled build, and some of them for the pure
# one, which places all of them as the compiled one does (``VECTORS`` in `test_placement.py`).
ASKED = KEYS if THOROUGH else KEYS[::9]
ASKED_WIRES = [key.encode() for key in ASKED]


def pylibmc(**behaviors: Any) -> Callable[[Hosts], Places]:
    def places(hosts: Hosts) -> Places:
        library = pytest.importorskip("pylibmc")
        specs = [host.text if host.port is None else f"{host.text}:{host.weight}" for host in hosts]
        client = library.Client(specs, behaviors=behaviors)
        return [client.hash(key) for key in ASKED]

    return places


def pymemcache(hosts: Hosts) -> Places:
    client_module = pytest.importorskip("pymemcache.client.hash")
    client = client_module.HashClient([host.text for host in hosts], allow_unicode_keys=True)
    numbers = {id(owner): number for number, owner in enumerate(client.clients.values())}
    # What it refuses to carry it still places; the check is no business of this test.
    return [numbers[id(client.clients[client.hasher.get_node(key)])] for key in ASKED]


def emcache(hosts: Hosts) -> Places:
    cyemcache = pytest.importorskip("emcache._cython").cyemcache
    names = [host.host if host.port is None else f"{host.host}{host.port}" for host in hosts]
    nodes = [cyemcache.RendezvousNode(name, number) for number, name in enumerate(names)]
    return [cyemcache.node_selection(key, nodes) for key in ASKED_WIRES]


def python_memcached(hosts: Hosts) -> Places:
    library = pytest.importorskip("memcache")
    client = library.Client([(_memcache_spec(host), host.weight) for host in hosts])
    for server in client.servers:
        server.connect = lambda: True
    return [client.servers.index(client._get_server(key)[0]) for key in ASKED_WIRES]


def _memcache_spec(host: Host) -> str:
    if host.port is None:
        return f"unix:{host.host}"
    return f"inet6:{host.text}" if ":" in host.host else host.text


def meta_memcache(hosts: Hosts) -> Places:
    library = pytest.importorskip("meta_memcache")
    providers = pytest.importorskip("meta_memcache.connection.providers")
    pools = {
        library.ServerAddress(host.host, host.port): SimpleNamespace(number=number)
        for number, host in enumerate(hosts)
    }
    provider = providers.HashRingConnectionPoolProvider(pools)
    return [provider.get_pool(library.Key(key)).number for key in ASKED]


def bmemcached(hosts: Hosts) -> Places:
    library = pytest.importorskip("bmemcached")
    client = library.DistributedClient([host.text for host in hosts])
    servers = list(client.servers)
    return [servers.index(client._get_server(key)) for key in ASKED]


def uhashring(hosts: Hosts) -> Places:
    library = pytest.importorskip("uhashring")
    names = [host.text for host in hosts]
    ring = library.HashRing({host.text: {"weight": host.weight} for host in hosts})
    return [names.index(ring.get_node(key)) for key in ASKED]


def dalli(hosts: Hosts) -> Places:
    """Dalli is Ruby: this is its ``Ring`` written out, as plainly as it can be."""
    entries = []
    for number, host in enumerate(hosts):
        share = len(hosts) * 160 * host.weight / sum(host.weight for host in hosts)
        name = host.host if host.port is None else f"{host.host}:{host.port}"
        for index in range(int(share)):
            value = int(hashlib.sha1(f"{name}:{index}".encode()).hexdigest()[:8], 16)
            entries.append((value, number))
    entries.sort(key=lambda entry: entry[0])
    places = []
    for key in ASKED_WIRES:
        owner = entries[-1][1]
        for value, number in entries:
            if value > zlib.crc32(key):
                break
            owner = number
        places.append(owner)
    return places


# The scheme, the peer, and whether it counts with weights.
PEERS: dict[str, tuple[str, Callable[[Hosts], Places], bool]] = {
    "pylibmc as it comes": ("modula", pylibmc(), False),
    "pylibmc hash md5": ("modula-md5", pylibmc(hash="md5"), False),
    "pylibmc hash crc": ("modula-crc", pylibmc(hash="crc"), False),
    "python-memcached": ("modula-crc", python_memcached, True),
    "pylibmc ketama_weighted": ("ketama", pylibmc(ketama_weighted=True), True),
    "pylibmc ketama": ("ketama-libmemcached", pylibmc(ketama=True), True),
    "pylibmc spy": (
        "ketama-spy",
        pylibmc(ketama_weighted=True, distribution="consistent ketama spy"),
        True,
    ),
    "pymemcache": ("pymemcache", pymemcache, False),
    "emcache": ("emcache", emcache, False),
    "uhashring": ("uhashring", uhashring, True),
    "meta-memcache": ("uhashring", meta_memcache, False),
    "bmemcached": ("uhashring", bmemcached, False),
    "Dalli": ("dalli", dalli, True),
}
