# Generated from tests/client/test_topology_aio.py by tools/unasync.py; do not edit.
"""Servers that come and go while a client is in use: placement, draining, and what is refused."""

from __future__ import annotations

from contextlib import ExitStack
from time import monotonic

import pytest

from cenote import ConfigurationError, PoolClosed, protocol
from cenote.cluster.router import placer_for
from cenote.cluster.server import Server
from cenote.testing.faults import Stall
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.client.together_sync import Gate, together, until

PATIENT = 10.0
SHORT = 1.5
"""A timeout of operations after which servers that have left are soon closed, in seconds."""

KEYS = [f"key:{number}" for number in range(60)]
VALUES = {key: f"value of {key}" for key in KEYS}


@pytest.fixture(scope="module")
def four():
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer(unix=True)) for _ in range(4)]


@pytest.fixture
def servers(four):
    return [Server.at(s.url, name=f"server-{number}") for number, s in enumerate(four)]


def kept_by(make, server, keys=KEYS):
    return set(make(server, timeout=PATIENT).get_many(keys))


def pool_of(client, name):
    return next(m.node.pool for m in client._cluster.topology.members if m.server.name == name)


def test_a_server_that_is_added_has_its_share_at_once(servers, make_sync):
    client = make_sync(servers[:3], timeout=PATIENT)
    client.flush_all()
    make_sync(servers[3], timeout=PATIENT).flush_all()
    client.add_node(servers[3])
    assert list(client.nodes()) == [server.name for server in servers]
    for key in KEYS[:30]:
        client.set(key, VALUES[key])
    client.set_many({key: VALUES[key] for key in KEYS[30:]})
    placer = placer_for("rendezvous", servers)
    for number, server in enumerate(servers):
        mine = {key for key in KEYS if placer.place(key.encode()) == number}
        assert mine
        assert kept_by(make_sync, server) == mine
    assert client.get_many(KEYS) == VALUES


def test_servers_that_stay_keep_their_keys_and_their_connections(servers, make_sync):
    client = make_sync(servers, timeout=PATIENT)
    client.set_many(VALUES)
    before = {name: pool.created for name, pool in client.pools().items()}
    pools = {name: pool_of(client, name) for name in before}
    client.remove_node("server-1")
    placer = placer_for("rendezvous", servers)
    staying = [key for key in KEYS if placer.place(key.encode()) != 1]
    assert client.get_many(KEYS) == {key: VALUES[key] for key in staying}
    assert list(client.nodes()) == ["server-0", "server-2", "server-3"]
    after = client.pools()
    assert {name: pool.created for name, pool in after.items()} == {
        name: before[name] for name in after
    }
    assert all(pool_of(client, name) is pools[name] for name in after)


def test_one_server_becomes_two_and_one_again(servers, make_sync):
    client = make_sync(servers[0], timeout=PATIENT)
    client.set_many(VALUES)
    client.add_node(servers[1])
    client.set_many(VALUES)
    assert client.get_many(KEYS) == VALUES
    for key in KEYS[:10]:
        assert client.get(key) == VALUES[key]
    client.remove_node(servers[0])
    client.set_many(VALUES)
    assert client.get_many(KEYS) == VALUES
    assert kept_by(make_sync, servers[1]) == set(KEYS)


def test_a_server_that_is_replaced_leaves_its_place_and_its_keys(servers, make_sync):
    client = make_sync(servers[:3], timeout=PATIENT, hashing="modula")
    fourth = Server(servers[3].address, name="server-1")
    client.replace_node("server-1", fourth)
    client.set_many(VALUES)
    placer = placer_for("modula", [servers[0], fourth, servers[2]])
    mine = {key for key in KEYS if placer.place(key.encode()) == 1}
    assert kept_by(make_sync, servers[3]) >= mine
    assert list(client.nodes()) == ["server-0", "server-1", "server-2"]


def test_all_servers_are_set_at_once(servers, make_sync):
    client = make_sync(servers[:2], timeout=PATIENT)
    client.set("a", 1)
    client.set_nodes(servers[2:])
    assert list(client.nodes()) == ["server-2", "server-3"]
    assert client.set_many(VALUES) == []
    assert client.get_many(KEYS) == VALUES


def test_weights_are_kept_and_can_be_changed(servers, make_sync):
    heavy = Server(servers[0].address, 3, "server-0")
    client = make_sync([heavy, servers[1]], timeout=PATIENT)
    client.set_many(VALUES)
    pool = pool_of(client, "server-0")
    client.add_node(servers[2])
    client.set_many(VALUES)
    placer = placer_for("rendezvous", [heavy, *servers[1:3]])
    assert kept_by(make_sync, servers[2]) >= {
        key for key in KEYS if placer.place(key.encode()) == 2
    }
    client.set_nodes(servers[:3])
    assert pool_of(client, "server-0") is pool


def test_requests_under_way_end_on_a_server_that_has_left(servers, four, make_sync):
    with FaultProxy(four[0].endpoint) as proxy:
        slow = Server.at("{}:{}".format(*proxy.address), name="slow")
        client = make_sync([slow, servers[1]], timeout=PATIENT)
        client.flush_all()
        placer = placer_for("rendezvous", [slow, servers[1]])
        key = next(key for key in KEYS if placer.place(key.encode()) == 0)
        client.set(key, VALUES[key])
        pool = pool_of(client, "slow")
        proxy.replies = Stall()
        gate = Gate()

        def under_way():
            gate.set()
            return client.get(key)

        def leave():
            gate.wait()
            until(lambda: pool.stats().used > 0)
            client.remove_node("slow")
            assert client.get(key) is None  # the other server has it now, and has nothing
            proxy.heal()

        answered, _ = together(under_way, leave)
        assert answered == VALUES[key]


def test_a_server_that_has_left_is_closed_when_nobody_can_come_any_more(servers, make_sync):
    client = make_sync(servers[:2], timeout=SHORT)
    client.set_many(VALUES)
    pool = pool_of(client, "server-0")
    until(lambda: pool.stats().size > 0)
    client.remove_node("server-0")
    until(lambda: pool.stats().state == "closed")
    until(lambda: pool.stats().size == 0)
    until(lambda: not client._cluster._leaving)


def test_a_lease_of_a_server_that_has_left_goes_on(servers, make_sync):
    client = make_sync(servers[:2], timeout=SHORT)
    client.set("a", 1)
    with client.connection("server-0") as connection:
        pool = pool_of(client, "server-0")
        client.remove_node("server-0")
        until(lambda: pool.stats().state == "closed")
        assert connection.exchange(protocol.version(), monotonic() + PATIENT)
    until(lambda: pool.stats().size == 0)


def test_changes_at_the_same_time_all_take_place(servers, make_sync):
    client = make_sync(servers[0], timeout=PATIENT)
    together(*[lambda server=server: client.add_node(server) for server in servers[1:]])
    assert set(client.nodes()) == {server.name for server in servers}
    together(*[lambda n=n: client.remove_node(f"server-{n}") for n in range(3)])
    assert list(client.nodes()) == ["server-3"]


def test_closing_closes_those_that_have_left_too(servers, make_sync):
    client = make_sync(servers[:3], timeout=PATIENT)
    client.set_many(VALUES)
    pools = [pool_of(client, server.name) for server in servers[:3]]
    client.remove_node("server-0")
    client.close()
    assert [(pool.stats().state, pool.stats().size) for pool in pools] == [("closed", 0)] * 3
    with pytest.raises(PoolClosed, match="closed"):
        client.add_node(servers[3])


def test_what_does_not_fit_is_refused_and_nothing_changes(servers, make_sync):
    client = make_sync(servers[:2], timeout=PATIENT, hashing="ketama")
    client.set("a", 1)
    pools = [pool_of(client, server.name) for server in servers[:2]]
    for change, message in [
        (lambda: client.add_node(servers[0]), "two servers are named"),
        (lambda: client.remove_node("server-9"), "no server is named 'server-9"),
        (lambda: client.replace_node("server-9", servers[3]), "no server is named"),
        (lambda: client.replace_node("server-0", servers[1]), "two servers are named"),
        (lambda: client.set_nodes([]), "empty"),
        (lambda: client.add_node(Server(servers[3].address, 1.5)), "whole numbers"),
        (lambda: client.add_node("memcached://one?timeout=1"), "options and credentials"),
        (lambda: client.add_node("memcached://one,two"), "that is 2 servers"),
        (lambda: client.add_node("http://one"), "scheme 'http' is not known"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            change()
    assert [pool_of(client, server.name) for server in servers[:2]] == pools
    client.remove_node(servers[0])
    with pytest.raises(ConfigurationError, match="only server"):
        client.remove_node("server-1")


def test_servers_are_closed_together_within_one_deadline(servers, make_sync):
    """Each has a lease out that does not come back: the waits for them do not add up."""
    client = make_sync(servers)
    leases = [client.connection(server.name) for server in servers]
    for lease in leases:
        lease.__enter__()
    pools = [pool_of(client, server.name) for server in servers]
    began = monotonic()
    client.close(SHORT)
    assert SHORT <= monotonic() - began < 3 * SHORT
    assert [pool.stats().state for pool in pools] == ["closed"] * 4
    for lease in leases:
        lease.__exit__(None, None, None)
    until(lambda: not any(pool.stats().size for pool in pools))
