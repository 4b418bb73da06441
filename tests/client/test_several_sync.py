# Generated from tests/client/test_several_aio.py by tools/unasync.py; do not edit.
"""A client of four servers: every key on the server that owns it, every command on all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic

import pytest

from cenote import Key
from cenote.client.sync import Client
from cenote.client.outcome import OUTAGES
from cenote.cluster.router import HASHING_NAMES, placer_for
from cenote.cluster.server import Server
from cenote.errors import (
    CenoteError,
    ConnectFailed,
    InvalidKey,
    NoNodesAvailable,
    OperationTimeout,
    PartialFailure,
    PoolClosed,
)
from cenote.testing.faults import Stall
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.client.together_sync import together
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")

PATIENT = 10.0
TIMEOUT = 1.5
LATE = 5.0
"""How long after its deadline a call may end on a busy machine, in seconds."""

KEYS = [f"key:{number}" for number in range(100)]
VALUES = {key: f"value of {key}" for key in KEYS}


@pytest.fixture(scope="module")
def four():
    """Four memcacheds; whoever stops one starts it again."""
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer(unix=True)) for _ in range(4)]


@pytest.fixture
def servers(four):
    """The four servers, by names that do not change from run to run."""
    return [Server.at(s.url, name=f"server-{number}") for number, s in enumerate(four)]


@pytest.fixture
def client_sync(servers, protocol, make_sync):
    client = make_sync(servers, protocol=protocol, timeout=PATIENT)
    client.flush_all()
    return client


@pytest.fixture
def proxies(four):
    with ExitStack() as stack:
        yield [stack.enter_context(FaultProxy(server.endpoint)) for server in four]


def url_of(proxy: FaultProxy) -> str:
    assert isinstance(proxy.address, tuple)
    return f"{proxy.address[0]}:{proxy.address[1]}"


def servers_behind(proxies):
    return [Server.at(url_of(proxy), name=f"server-{n}") for n, proxy in enumerate(proxies)]


def keys_on(servers, number, keys=KEYS):
    """Return the keys that one of the servers owns."""
    placer = placer_for("rendezvous", servers)
    return [key for key in keys if placer.place(key.encode()) == number]


def kept_by(make, server, keys=KEYS):
    """Return which of the keys a server has."""
    return set(make(server, timeout=PATIENT).get_many(keys))


# Where keys are.


@pytest.mark.parametrize("hashing", HASHING_NAMES)
def test_every_key_is_on_the_server_that_owns_it(servers, make_sync, hashing):
    client = make_sync(servers, hashing=hashing, timeout=PATIENT)
    client.flush_all()
    for key in KEYS[:40]:
        assert client.set(key, 1) is True
    assert client.set_many(dict.fromkeys(KEYS[40:], 1)) == []
    placer = placer_for(hashing, servers)
    for number, server in enumerate(servers):
        mine = {key for key in KEYS if placer.place(key.encode()) == number}
        assert kept_by(make_sync, server) == mine


def test_a_batch_comes_back_whole(client_sync):
    assert client_sync.set_many(VALUES) == []
    assert client_sync.get_many([*KEYS, "absent"]) == VALUES
    assert client_sync.gat_many([*KEYS, "absent"], 60) == VALUES
    assert client_sync.get_many([]) == {}
    assert client_sync.get_many([KEYS[0]] * 3) == {KEYS[0]: VALUES[KEYS[0]]}
    assert client_sync.get_many([KEYS[0], KEYS[1].encode()]) == {
        KEYS[0]: VALUES[KEYS[0]],
        KEYS[1].encode(): VALUES[KEYS[1]],
    }
    assert client_sync.delete_many([*KEYS[:60], *KEYS[:10], "absent"]) == 60
    assert client_sync.get_many(KEYS) == {key: VALUES[key] for key in KEYS[60:]}


def test_an_illegal_key_stops_a_batch_before_a_byte_is_sent(client_sync):
    with pytest.raises(InvalidKey):
        client_sync.set_many({"good": 1, "not good": 2})
    assert client_sync.get("good") is None


def test_a_refused_value_costs_its_own_key_only(client_sync):
    """Also where a quiet batch does not tell which one it was."""
    client_sync.set_many(VALUES)
    too_large = b"x" * (2 << 20)
    failed = client_sync.set_many(VALUES | {KEYS[7]: too_large, "another": too_large})
    assert sorted(failed) == ["another", KEYS[7]]
    kept = client_sync.get_many(KEYS)
    assert {key: kept[key] for key in kept if key != KEYS[7]} == {
        key: VALUES[key] for key in KEYS if key != KEYS[7]
    }


def test_every_command_about_one_key_finds_its_server(client_sync):
    for number, key in enumerate(KEYS[:12]):
        use_every_command(client_sync, key, number)


def use_every_command(client, key, number):
    assert client.set(key, number) is True
    assert client.get(key) == number
    assert client.add(key, 1) is False
    assert client.replace(key, 2) is True
    item = client.gets(key)
    assert (item.value, client.cas(key, "3", item.cas)) == (2, True)
    assert client.append(key, "4") is True
    assert client.prepend(key, "2") is True
    assert client.gat(key, 60) == "234"
    assert client.touch(key, 60) is True
    assert client.get_many([key]) == {key: "234"}
    assert client.delete(key) is True
    assert client.incr(key) is None
    assert client.incr(key, initial=5) == 5
    assert client.incr(key) == 6
    assert client.decr(key, 2) == 4
    assert client.set(key, b"", noreply=True) is True
    assert client.get(key) == b""
    assert client.gets(key) is not None
    assert client.get_many([key]) == {key: b""}
    assert client.delete_many([key]) == 1
    assert client.get_or_compute(key, lambda: "computed", 60, stale_for=5) == "computed"
    assert client.get_or_compute(key, lambda: "again", 60, stale_for=5) == "computed"
    assert client.delete(key) is True


# Routes.


def test_keys_with_one_route_are_on_one_server(client_sync, servers, make_sync):
    keys = [Key(key, route="user:1") for key in KEYS]
    assert client_sync.set_many(dict.fromkeys(keys, 1)) == []
    owner = placer_for("rendezvous", servers).place(b"user:1")
    for number, server in enumerate(servers):
        assert kept_by(make_sync, server) == (set(KEYS) if number == owner else set())
    assert client_sync.get_many(keys) == dict.fromkeys(keys, 1)
    assert client_sync.delete_many(keys) == len(keys)


def test_every_command_takes_a_key_with_a_route(client_sync, servers, make_sync):
    owner = placer_for("rendezvous", servers).place(b"the route")
    for number, key in enumerate(KEYS[:6]):
        routed = Key(key, route=b"the route")
        use_every_command(client_sync, routed, number)
        client_sync.set(routed, 1)
    assert kept_by(make_sync, servers[owner]) == set(KEYS[:6])


def test_a_route_leads_where_a_plain_key_of_that_name_is(servers, make_sync):
    client = make_sync(servers, key_prefix="app:", timeout=PATIENT)
    client.flush_all()
    for key in KEYS[:20]:
        client.set_many({key: 1, Key(f"beside {key}".replace(" ", "-"), route=key): 2})
    for server in servers:
        names = KEYS[:20] + [f"beside-{key}" for key in KEYS[:20]]
        kept = set(make_sync(server, key_prefix="app:").get_many(names))
        assert {key for key in KEYS[:20] if f"beside-{key}" in kept} == kept & set(KEYS)


def test_one_key_with_two_routes_is_two_items(client_sync, servers):
    routes = [f"route:{number}" for number in range(8)]
    owners = {placer_for("rendezvous", servers).place(route.encode()) for route in routes}
    keys = [Key("k", route=route) for route in routes]
    client_sync.set_many({key: key.route for key in keys})
    assert len(set((client_sync.get_many(keys)).values())) == len(owners)
    assert client_sync.delete_many(keys) == len(owners)


@pytest.mark.parametrize("route", ["", b"", None, 7, "\ud800"], ids=repr)
def test_a_route_is_a_text(route):
    with pytest.raises(InvalidKey, match="route"):
        Key("k", route=route)


def test_with_one_server_a_route_makes_no_difference(servers, make_sync):
    client = make_sync(servers[0], timeout=PATIENT)
    use_every_command(client, Key("k", route="r"), 1)


# Routers of the user's.


class ByLength:
    """Long keys on the last server, none for a key that begins with ``nowhere``."""

    def __init__(self, servers) -> None:
        self.servers = servers

    def server_for(self, key: bytes) -> int:
        if key.startswith(b"nowhere"):
            return -1
        return len(self.servers) - 1 if len(key) > 6 else 0


def test_a_router_of_the_users_decides(servers, make_sync):
    client = make_sync(servers, hashing=ByLength, timeout=PATIENT)
    client.flush_all()
    client.set_many(dict.fromkeys(KEYS, 1))
    client.set("key:long", 1)
    assert kept_by(make_sync, servers[0]) == {key for key in KEYS if len(key) == 6 or len(key) == 5}
    assert kept_by(make_sync, servers[3], ["key:long"]) == {"key:long"}


def test_where_a_router_knows_no_server_none_is_available(servers, make_sync):
    client = make_sync(servers, hashing=ByLength, timeout=PATIENT)
    with pytest.raises(NoNodesAvailable, match="nowhere"):
        client.get("nowhere")
    with pytest.raises(NoNodesAvailable):
        client.set_many({"nowhere": 1, "k": 1})
    with pytest.raises(ConnectionError):
        client.delete_many(["k", "nowhere"])
    with pytest.raises(NoNodesAvailable):
        client.set("nowhere", 1, noreply=True)


def test_no_server_available_is_an_outage(servers, make_sync):
    client = make_sync(servers, hashing=ByLength, on_error="miss", timeout=PATIENT)
    assert client.get("nowhere", "default") == "default"
    assert client.get_many(["nowhere", "k"]) == {}
    assert client.set_many({"nowhere": 1, "k": 1}) == ["nowhere", "k"]
    assert client.delete_many(["nowhere"]) == 0
    assert client.set("nowhere", 1, noreply=True) is False
    assert client.append("nowhere", "x") is False
    assert client.get_or_compute("nowhere", lambda: 7, 60) == 7
    assert client.client_stats().outages == 7


# All servers.


def test_servers_answer_by_name(client_sync, servers):
    names = [server.name for server in servers]
    assert list(client_sync.version()) == names
    assert list(client_sync.stats()) == names
    assert list(client_sync.nodes()) == names
    assert list(client_sync.pools()) == names
    assert all(name in repr(client_sync) for name in names)


def test_flush_all_empties_every_server(client_sync, servers, make_sync):
    client_sync.set_many(VALUES)
    assert client_sync.flush_all() is True
    for server in servers:
        assert kept_by(make_sync, server) == set()


def test_weights_are_shares(servers, make_sync):
    weighted = [
        replace(server, weight=weight) for server, weight in zip(servers, (1, 1, 1, 7), strict=True)
    ]
    client = make_sync(weighted, timeout=PATIENT)
    client.flush_all()
    client.set_many({f"k{number}": 1 for number in range(1000)})
    assert 600 < int((client.stats())["server-3"]["curr_items"]) < 800


def test_a_private_server_may_be_one_of_several(servers, make_sync):
    client = make_sync([servers[0], "local://"], timeout=PATIENT)
    client.flush_all()
    assert client.set_many(VALUES) == []
    assert client.get_many(KEYS) == VALUES
    assert list(client.version()) == ["server-0", "local"]


# At the same time.


@contextmanager
def healed_when_all_have_answered(proxies):
    """Hold every reply back until each of the servers has been asked and has answered."""
    before = [proxy.replied for proxy in proxies]
    for proxy in proxies:
        proxy.replies = Stall()

    def heal() -> None:
        try:
            for proxy, replied in zip(proxies, before, strict=True):
                proxy.wait_for(lambda proxy, replied=replied: proxy.replied > replied)
        finally:
            for proxy in proxies:
                proxy.heal()

    with ThreadPoolExecutor(1) as executor:
        healing = executor.submit(heal)
        yield
        healing.result()


def test_every_server_is_asked_before_the_first_reply_is_read(proxies, protocol, make_sync):
    client = make_sync(servers_behind(proxies), protocol=protocol, timeout=20.0)
    client.flush_all()
    with healed_when_all_have_answered(proxies):
        assert client.set_many(VALUES) == []
    with healed_when_all_have_answered(proxies):
        assert client.get_many(KEYS) == VALUES
    with healed_when_all_have_answered(proxies):
        assert client.gat_many(KEYS, 60) == VALUES
    with healed_when_all_have_answered(proxies):
        assert len(client.version()) == 4
    with healed_when_all_have_answered(proxies):
        assert client.delete_many(KEYS) == len(KEYS)


def test_batches_do_not_wait_for_each_other_on_pools_of_one(servers, protocol, make_sync):
    """Whatever order their keys come in, and with other requests among them."""
    client = make_sync(servers, protocol=protocol, max_size=1, timeout=30.0)
    client.set_many(VALUES)
    orders = [KEYS, KEYS[::-1], KEYS[50:] + KEYS[:50], KEYS[::3] + KEYS[::-7]]

    def reader(keys):
        def read():
            for _ in range(25):
                assert set(client.get_many(keys)) == set(keys)
                assert client.get(keys[0]) == VALUES[keys[0]]
                assert client.set_many({key: VALUES[key] for key in keys}) == []

        return read

    together(*[reader(keys) for keys in orders * 2])
    for stats in client.pools().values():
        assert (stats.live, stats.waiting) == (1, 0)


def test_large_batches_cross_small_buffers(client_sync):
    values = {f"large:{number}": bytes([number]) * 300_000 for number in range(40)}
    assert client_sync.set_many(values) == []
    assert client_sync.get_many(values) == values


# Bad days.


def test_a_server_that_is_down_is_reported_key_by_key(proxies, protocol, make_sync):
    servers = servers_behind(proxies)
    client = make_sync(servers, protocol=protocol, timeout=PATIENT)
    client.set_many(VALUES)
    lost = keys_on(servers, 2)
    proxies[2].refuse()
    proxies[2].reset()
    rest = {key: VALUES[key] for key in KEYS if key not in lost}
    for command in (lambda: client.get_many(KEYS), lambda: client.gat_many(KEYS, 60)):
        with pytest.raises(PartialFailure) as caught:
            command()
        assert caught.value.answered == rest
        assert list(caught.value.failures) == lost
        assert all(isinstance(error, OUTAGES) for error in caught.value.failures.values())
        assert caught.value.__cause__ in caught.value.failures.values()
    assert client.set_many(VALUES) == lost
    with pytest.raises(PartialFailure) as caught:
        client.delete_many(KEYS)
    assert caught.value.answered == len(rest)
    assert list(caught.value.failures) == lost


def test_a_forgiving_client_misses_the_keys_of_a_server_that_is_down(proxies, protocol, make_sync):
    servers = servers_behind(proxies)
    client = make_sync(servers, protocol=protocol, timeout=PATIENT, on_error="miss")
    client.set_many(VALUES)
    lost = keys_on(servers, 1)
    proxies[1].refuse()
    proxies[1].reset()
    rest = {key: VALUES[key] for key in KEYS if key not in lost}
    assert client.get_many(KEYS) == rest
    assert client.set_many(VALUES) == lost
    assert client.delete_many(KEYS) == len(rest)
    assert client.client_stats().outages == 3
    assert list(client.version()) == ["server-0", "server-2", "server-3"]
    assert client.flush_all() is False
    assert client.client_stats().outages == 5
    proxies[1].start()


def test_if_no_server_answers_the_error_is_that_of_one(proxies, make_sync):
    servers = servers_behind(proxies)
    client = make_sync(servers, timeout=PATIENT)
    for proxy in proxies:
        proxy.refuse()
    for command in (
        lambda: client.get_many(KEYS),
        lambda: client.set_many(VALUES),
        lambda: client.delete_many(KEYS),
    ):
        with pytest.raises(CenoteError) as caught:
            command()
        assert isinstance(caught.value, OUTAGES)


def test_a_server_that_hangs_costs_the_others_nothing(proxies, protocol, make_sync):
    servers = servers_behind(proxies)
    client = make_sync(servers, protocol=protocol, timeout=TIMEOUT)
    client.set_many(VALUES)
    lost = keys_on(servers, 0)  # the first to be read
    proxies[0].replies = Stall()
    deadline = monotonic() + TIMEOUT
    with pytest.raises(PartialFailure) as caught:
        client.get_many(KEYS)
    assert monotonic() < deadline + LATE
    assert caught.value.answered == {key: VALUES[key] for key in KEYS if key not in lost}
    assert {type(error) for error in caught.value.failures.values()} == {OperationTimeout}
    proxies[0].heal()
    assert client.get_many(KEYS) == VALUES


def test_connections_that_were_closed_while_idle_cost_nothing(proxies, protocol, make_sync):
    """Each request is sent once more, to every server that had hung up."""
    client = make_sync(
        servers_behind(proxies), protocol=protocol, timeout=PATIENT, check_after=1000.0
    )
    client.set_many(VALUES)
    for proxy in proxies:
        proxy.hang_up()
    assert client.get_many(KEYS) == VALUES
    assert sum(health.retries for health in client.nodes().values()) == 4


def test_a_server_that_is_down_does_not_keep_a_client_from_opening(proxies, make_sync):
    servers = servers_behind(proxies)
    proxies[3].refuse()
    client = make_sync(servers, timeout=TIMEOUT)
    client.open()
    states = {name: health.state for name, health in client.nodes().items()}
    assert states.pop("server-3") == "down"
    assert set(states.values()) == {"up"}
    proxies[3].start()


def test_a_client_does_not_open_where_every_server_is_down(proxies, make_sync):
    for proxy in proxies:
        proxy.refuse()
    client = make_sync(servers_behind(proxies))
    with pytest.raises(ConnectFailed, match="is down"):
        client.open()


def test_a_closed_client_says_so(servers):
    with Client(servers, **PATIENCE) as client:
        client.set_many(VALUES)
    for command in (lambda: client.get("k"), lambda: client.get_many(KEYS), client.version):
        with pytest.raises(PoolClosed):
            command()
    assert all(stats.live == 0 for stats in client.pools().values())
