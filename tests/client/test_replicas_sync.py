# Generated from tests/client/test_replicas_aio.py by tools/unasync.py; do not edit.
"""A client of replicas: reads from one of them, writes to all, and no old value comes back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from cenote import Key, Replicas, Server
from cenote.client.outcome import OUTAGES
from cenote.errors import ConfigurationError
from cenote.testing.faults import Delay, Drop
from cenote.testing.memcached import MemcachedServer
from tests.client.together_sync import together, until
from tests.client.troubled_sync import World, try_to

PROTOCOLS = ("auto", "classic", "binary")
PATIENT = 10.0
SHORT = 1.5
"""Seconds that a client has where a server is frozen: half of it is the first try's."""

KEYS = [f"key:{number}" for number in range(30)]
OLD = {key: f"old value of {key}" for key in KEYS}
NEW = {key: f"new value of {key}" for key in KEYS}


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield World(stack, "replica", 2)


@pytest.fixture
def others():
    """Two more servers."""
    with MemcachedServer() as one, MemcachedServer() as other:
        yield [one.url, other.url]


@pytest.fixture
def connect_sync(make_sync, world):
    def connect(*places, read: Any = "first", timeout=PATIENT, **options):
        return make_sync(
            [Replicas(world.servers, read, name="both"), *places],
            timeout=timeout,
            backoff_base=0.001,
            backoff_cap=0.005,
            on_node_down=world.log.on_node_down,
            on_node_up=world.log.on_node_up,
            **options,
        )

    return connect


def kept_by(make, server, keys=KEYS):
    """Return what a server itself has of the keys."""
    return make(server.url, timeout=PATIENT).get_many(keys)


@pytest.mark.parametrize("read", ["first", "fastest"])
@pytest.mark.parametrize("several", [False, True])
def test_every_command_does_as_with_one_server(connect_sync, others, protocol, read, several):
    places = [Replicas(others, read)] if several else []
    client = connect_sync(*places, read=read, protocol=protocol)
    assert client.flush_all() is True
    for key in [*KEYS[:6], Key("routed", route="elsewhere")]:
        assert client.set(key, 1) is True
        assert client.incr(key, 2) == 3
        assert client.decr(key) == 2
        assert client.get(key) == 2
        assert client.touch(key, 60) is True
        assert client.gat(key, 60) == 2
        item = client.gets(key)
        assert client.cas(key, "text", item.cas) is True
        assert client.cas(key, "other", item.cas) is False
        assert client.append(key, "!") is True
        assert client.get(key) == "text!"
        assert client.add(key, 1) is False
        assert client.replace(key, "other", noreply=True) is True
        assert client.get(key) == "other"
        assert client.set(key, "quiet", noreply=True) is True
        assert client.get(key) == "quiet"
        assert client.delete(key) is True
        assert client.delete(key) is False
        assert client.get_or_compute(key, lambda: "computed", 60) == "computed"
        assert client.get_or_compute(key, lambda: "again", 60) == "computed"
        assert client.delete_many([key]) == 1
        assert client.get(key) is None
        assert client.incr(key, initial=5) == 5
    assert client.set_many(OLD) == []
    assert client.get_many([*KEYS, "missing"]) == OLD
    assert client.gat_many(KEYS, 60) == OLD
    assert client.delete_many(KEYS) == len(KEYS)
    assert client.get_many(KEYS) == {}
    assert client.client_stats().ejections == 0


def test_writes_go_to_all_and_reads_to_the_first(connect_sync, make_sync, world):
    client = connect_sync()
    assert client.set_many(OLD) == []
    assert client.set("one", "value") is True
    assert [kept_by(make_sync, server) for server in world.memcacheds] == [OLD, OLD]
    before = world.proxies[1].requested
    assert client.get("one") == "value"
    assert client.get_many(KEYS) == OLD
    assert world.proxies[1].requested == before
    assert client.delete("one") is True
    assert client.delete_many(KEYS) == len(KEYS)
    assert [kept_by(make_sync, server) for server in world.memcacheds] == [{}, {}]


def test_a_change_that_depends_on_the_value_is_made_by_one(connect_sync, make_sync, world):
    """The other forgets the key: it never answers with what it had before."""
    client = connect_sync()
    assert client.set("counter", 1) is True
    assert client.incr("counter") == 2
    assert client.get("counter") == 2
    assert kept_by(make_sync, world.memcacheds[0], ["counter"]) == {"counter": 2}
    assert kept_by(make_sync, world.memcacheds[1], ["counter"]) == {}
    assert client.set("text", "a") is True
    assert client.add("text", "b") is False
    assert kept_by(make_sync, world.memcacheds[1], ["text"]) == {"text": "a"}
    world.strike("killed")
    assert client.get("counter") is None
    assert client.get("text") == "a"


@pytest.mark.parametrize("how", ["killed", "frozen", "cut"])
@pytest.mark.parametrize("several", [False, True])
def test_nothing_is_missed_when_a_replica_fails_and_nothing_old_comes_back(
    connect_sync, make_sync, world, others, how, several
):
    timeout = SHORT if how == "frozen" else PATIENT
    client = connect_sync(*[Replicas(others)] if several else [], timeout=timeout)
    assert client.set_many(OLD) == []
    world.strike(how)
    assert client.get(KEYS[0]) == OLD[KEYS[0]]
    assert client.get_many(KEYS) == OLD
    assert client.set_many(NEW) == []
    assert world.log.down.is_set()
    assert world.log.events == [("down", "replica-0")]
    assert client.get_many(KEYS) == NEW
    assert [client.get(key) for key in KEYS] == list(NEW.values())
    assert client.set("counter", 1) is True
    assert client.incr("counter") == 2
    assert client.nodes()["replica-0"].ejected
    assert not client.nodes()["replica-1"].ejected
    assert client.client_stats().ejections == 1
    assert client.client_stats().second_tries > 0
    world.mend(how)
    world.log.up.wait()
    assert kept_by(make_sync, world.memcacheds[0]) == {}
    again = client.get_many(KEYS)
    assert all(again[key] == NEW[key] for key in again)
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert not client.nodes()["replica-0"].ejected


@pytest.mark.parametrize("number", [0, 1])
def test_one_write_that_a_replica_lacks_is_enough(connect_sync, make_sync, world, number):
    """What was written counts, and whoever lacks it is not read from before it is flushed."""
    client = connect_sync(timeout=SHORT, max_ejected=0.0)
    assert client.set("key", "old") is True
    world.proxies[number].requests = Drop()
    assert client.set("key", "new") is True
    assert world.log.events == [("down", f"replica-{number}")]
    assert "lack a write" in client.nodes()[f"replica-{number}"].reason
    assert client.get("key") == "new"
    assert kept_by(make_sync, world.memcacheds[number], ["key"]) == {"key": "old"}
    world.proxies[number].heal()
    world.log.up.wait()
    assert kept_by(make_sync, world.memcacheds[number], ["key"]) == {}
    assert client.get("key") in {None, "new"}


def test_whoever_decided_and_was_not_heard_is_not_believed(connect_sync, world):
    client = connect_sync(timeout=SHORT)
    assert client.set("counter", 1) is True
    world.proxies[0].replies = Drop()
    with pytest.raises(OUTAGES):
        client.incr("counter")
    assert client.nodes()["replica-0"].ejected
    assert client.get("counter") == 1
    assert client.incr("counter") == 2


def test_the_next_decides_where_the_first_can_not_be_reached(connect_sync, make_sync, world):
    client = connect_sync()
    assert client.set("counter", 1) is True
    world.strike("killed")
    try_to(client.incr, "counter")  # lost with its connection: nobody knows
    assert client.set("counter", 5) is True
    assert client.incr("counter") == 6
    assert client.nodes()["replica-0"].ejected
    assert kept_by(make_sync, world.memcacheds[1], ["counter"]) == {"counter": 6}


def test_the_last_replica_is_never_given_up(connect_sync, world):
    client = connect_sync(timeout=SHORT, connect_timeout=0.5, max_ejected=1.0)
    assert client.set("key", "value") is True
    for number in (0, 1):
        world.strike("killed", number)
    for _ in range(8):
        with pytest.raises(OUTAGES):
            client.set("key", "value")
        with pytest.raises(OUTAGES):
            client.get("key")
        with pytest.raises(OUTAGES):
            client.get_many(["key", "other"])
    assert sum(node.ejected for node in client.nodes().values()) < 2
    for number in (0, 1):
        world.mend("killed", number)
    while try_to(client.set, "key", "again") is not True:
        pass
    assert client.get("key") in {None, "again"}  # the first may be back since, and empty
    until(lambda: not any(node.ejected for node in client.nodes().values()))
    assert client.set("key", "later") is True
    assert client.get("key") == "later"


def test_an_outage_of_all_can_be_forgiven(connect_sync, world):
    client = connect_sync(timeout=SHORT, connect_timeout=0.5, on_error="miss", failover="miss")
    for number in (0, 1):
        world.strike("killed", number)
    assert client.get("key", "default") == "default"
    assert client.set("key", 1) is False
    assert client.set_many(OLD) == list(OLD)
    assert client.incr("key") is None
    assert client.client_stats().outages > 0


def test_a_value_that_is_refused_by_one_is_stored_by_the_other(make_sync, small_server):
    """It is a miss with the first, who dropped its old value, and no reason to eject anybody."""
    with MemcachedServer() as large:
        client = make_sync([Replicas([large.url, small_server.url])], timeout=PATIENT)
        big = b"x" * 500_000
        for number in range(20):
            assert client.set(f"big:{number}", big) is True
        assert client.get("big:19") == big
        assert client.client_stats().ejections == 0
        assert len(kept_by(make_sync, small_server, [f"big:{n}" for n in range(20)])) < 20


def test_flush_all_reaches_every_replica(connect_sync, make_sync, world):
    client = connect_sync()
    assert client.set_many(OLD) == []
    assert client.flush_all() is True
    assert [kept_by(make_sync, server) for server in world.memcacheds] == [{}, {}]
    assert client.set_many(OLD) == []
    world.strike("cut", 1)
    with pytest.raises(OUTAGES):
        client.flush_all()
    assert client.nodes()["replica-1"].ejected
    world.mend("cut", 1)
    world.log.up.wait()
    assert kept_by(make_sync, world.memcacheds[1]) == {}


def test_what_is_asked_of_servers_is_asked_of_each_replica(connect_sync, others):
    client = connect_sync(others[0])
    names = ["replica-0", "replica-1", others[0]]
    assert list(client.version()) == names
    assert list(client.nodes()) == names
    assert list(client.pools()) == names
    assert list(client.stats()) == names
    with client.connection("replica-1") as connection:
        assert connection.traits.version
    for name in (None, "both"):
        with pytest.raises(ConfigurationError, match="replica-0, replica-1"):
            client.connection(name).__enter__()


def test_keys_stay_where_they_are_whoever_is_alive(connect_sync, make_sync, world, others):
    """Replicas have one place among the servers."""
    client = connect_sync(others[0], others[1])
    assert client.set_many(OLD) == []
    mine = kept_by(make_sync, world.memcacheds[0])
    assert 0 < len(mine) < len(KEYS)
    world.strike("killed")
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert set(kept_by(make_sync, world.memcacheds[1])) == set(mine)


def test_servers_come_and_go_beside_replicas(connect_sync, make_sync, world, others):
    client = connect_sync()
    client.add_node(Server.at(others[0], name="plain"))
    assert client.set_many(OLD) == []
    assert client.get_many(KEYS) == OLD
    client.remove_node("plain")
    assert client.set_many(OLD) == []
    assert kept_by(make_sync, world.memcacheds[1]) == OLD
    with pytest.raises(ConfigurationError, match="named 'replica-1'"):
        client.add_node(world.servers[1])
    client.replace_node("both", Replicas([world.servers[1], others[1]], name="both"))
    assert list(client.nodes()) == ["replica-1", others[1]]
    assert client.get_many(KEYS) == OLD
    assert client.set_many(NEW) == []
    assert make_sync(others[1], timeout=PATIENT).get_many(KEYS) == NEW


def test_a_replica_that_lacks_writes_stays_out_through_changes(connect_sync, world, others):
    client = connect_sync(timeout=SHORT)
    assert client.set_many(OLD) == []
    world.strike("frozen", 1)
    assert client.set_many(NEW) == []
    assert client.nodes()["replica-1"].ejected
    swapped = Replicas([world.servers[1], world.servers[0]], name="both")
    client.replace_node("both", swapped)
    client.add_node(others[0])
    client.remove_node(others[0])
    assert client.nodes()["replica-1"].ejected
    assert client.get_many(KEYS) == NEW
    world.mend("frozen", 1)
    world.log.up.wait()
    again = client.get_many(KEYS)
    assert all(again[key] == NEW[key] for key in again)


@pytest.mark.parametrize(
    "options",
    [
        {"failover": "rehash"},
        {"failover": "gutter", "gutter": "127.0.0.1:1"},
        {"on_return": "delete"},
        {"discovery": "dns"},
    ],
)
def test_what_means_nothing_for_replicas_is_refused(make_sync, connect_sync, options):
    with pytest.raises(ConfigurationError, match="Replicas"):
        connect_sync(**options)
    if "discovery" not in options:
        client = make_sync("127.0.0.1:2", **options)
        with pytest.raises(ConfigurationError, match="Replicas"):
            client.add_node(Replicas(["a", "b"]))


def test_the_fastest_is_read_from(connect_sync, world):
    """Once it is known; what it does not have is asked of whoever decides."""
    client = connect_sync(read="fastest")
    assert client.set("key", "value") is True
    assert client.set("counter", 1) is True
    assert client.incr("counter") == 2
    world.proxies[0].replies = Delay(0.05)
    for _ in range(10):
        client._cluster.failover._ring()  # time has come to see how fast they are
        for _ in range(3):
            assert client.get("key") == "value"
    world.proxies[0].heal()
    before = [proxy.requested for proxy in world.proxies]
    for _ in range(40):
        assert client.get("key") == "value"
        assert client.get_many(["key"]) == {"key": "value"}
    slow, fast = (p.requested - had for p, had in zip(world.proxies, before, strict=True))
    assert slow < fast  # but for the few that are timed
    assert client.get("counter") == 2
    assert client.get_many(["key", "counter"]) == {"key": "value", "counter": 2}
    assert client.client_stats().ejections == 0


def test_callers_at_the_same_time_do_not_wait_for_each_other(connect_sync, others):
    """Batches take their leases in one order, also those of replicas."""
    client = connect_sync(Replicas(others), max_size=1)

    def work(mine):
        for _ in range(20):
            assert client.set_many(mine) == []
            assert client.get_many(mine) == mine
            for key in mine:
                assert client.set(key, mine[key]) is True

    parts = [{f"{n}:{key}": n for key in KEYS[:5]} for n in range(6)]
    together(*[lambda part=part: work(part) for part in parts])
