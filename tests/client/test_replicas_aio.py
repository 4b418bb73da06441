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
from tests.client.together_aio import together, until
from tests.client.troubled_aio import World, try_to

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
def connect_aio(make_aio, world):
    def connect(*places, read: Any = "first", timeout=PATIENT, **options):
        return make_aio(
            [Replicas(world.servers, read, name="both"), *places],
            timeout=timeout,
            backoff_base=0.001,
            backoff_cap=0.005,
            on_node_down=world.log.on_node_down,
            on_node_up=world.log.on_node_up,
            **options,
        )

    return connect


async def kept_by(make, server, keys=KEYS):
    """Return what a server itself has of the keys."""
    return await make(server.url, timeout=PATIENT).get_many(keys)


@pytest.mark.parametrize("read", ["first", "fastest"])
@pytest.mark.parametrize("several", [False, True])
async def test_every_command_does_as_with_one_server(connect_aio, others, protocol, read, several):
    places = [Replicas(others, read)] if several else []
    client = connect_aio(*places, read=read, protocol=protocol)
    assert await client.flush_all() is True
    for key in [*KEYS[:6], Key("routed", route="elsewhere")]:
        assert await client.set(key, 1) is True
        assert await client.incr(key, 2) == 3
        assert await client.decr(key) == 2
        assert await client.get(key) == 2
        assert await client.touch(key, 60) is True
        assert await client.gat(key, 60) == 2
        item = await client.gets(key)
        assert await client.cas(key, "text", item.cas) is True
        assert await client.cas(key, "other", item.cas) is False
        assert await client.append(key, "!") is True
        assert await client.get(key) == "text!"
        assert await client.add(key, 1) is False
        assert await client.replace(key, "other", noreply=True) is True
        assert await client.get(key) == "other"
        assert await client.set(key, "quiet", noreply=True) is True
        assert await client.get(key) == "quiet"
        assert await client.delete(key) is True
        assert await client.delete(key) is False
        assert await client.get_or_compute(key, lambda: "computed", 60) == "computed"
        assert await client.get_or_compute(key, lambda: "again", 60) == "computed"
        assert await client.delete_many([key]) == 1
        assert await client.get(key) is None
        assert await client.incr(key, initial=5) == 5
    assert await client.set_many(OLD) == []
    assert await client.get_many([*KEYS, "missing"]) == OLD
    assert await client.gat_many(KEYS, 60) == OLD
    assert await client.delete_many(KEYS) == len(KEYS)
    assert await client.get_many(KEYS) == {}
    assert client.client_stats().ejections == 0


async def test_writes_go_to_all_and_reads_to_the_first(connect_aio, make_aio, world):
    client = connect_aio()
    assert await client.set_many(OLD) == []
    assert await client.set("one", "value") is True
    assert [await kept_by(make_aio, server) for server in world.memcacheds] == [OLD, OLD]
    before = world.proxies[1].requested
    assert await client.get("one") == "value"
    assert await client.get_many(KEYS) == OLD
    assert world.proxies[1].requested == before
    assert await client.delete("one") is True
    assert await client.delete_many(KEYS) == len(KEYS)
    assert [await kept_by(make_aio, server) for server in world.memcacheds] == [{}, {}]


async def test_a_change_that_depends_on_the_value_is_made_by_one(connect_aio, make_aio, world):
    """The other forgets the key: it never answers with what it had before."""
    client = connect_aio()
    assert await client.set("counter", 1) is True
    assert await client.incr("counter") == 2
    assert await client.get("counter") == 2
    assert await kept_by(make_aio, world.memcacheds[0], ["counter"]) == {"counter": 2}
    assert await kept_by(make_aio, world.memcacheds[1], ["counter"]) == {}
    assert await client.set("text", "a") is True
    assert await client.add("text", "b") is False
    assert await kept_by(make_aio, world.memcacheds[1], ["text"]) == {"text": "a"}
    world.strike("killed")
    assert await client.get("counter") is None
    assert await client.get("text") == "a"


@pytest.mark.parametrize("how", ["killed", "frozen", "cut"])
@pytest.mark.parametrize("several", [False, True])
async def test_nothing_is_missed_when_a_replica_fails_and_nothing_old_comes_back(
    connect_aio, make_aio, world, others, how, several
):
    timeout = SHORT if how == "frozen" else PATIENT
    client = connect_aio(*[Replicas(others)] if several else [], timeout=timeout)
    assert await client.set_many(OLD) == []
    world.strike(how)
    assert await client.get(KEYS[0]) == OLD[KEYS[0]]
    assert await client.get_many(KEYS) == OLD
    assert await client.set_many(NEW) == []
    assert world.log.down.is_set()
    assert world.log.events == [("down", "replica-0")]
    assert await client.get_many(KEYS) == NEW
    assert [await client.get(key) for key in KEYS] == list(NEW.values())
    assert await client.set("counter", 1) is True
    assert await client.incr("counter") == 2
    assert client.nodes()["replica-0"].ejected
    assert not client.nodes()["replica-1"].ejected
    assert client.client_stats().ejections == 1
    assert client.client_stats().second_tries > 0
    world.mend(how)
    await world.log.up.wait()
    assert await kept_by(make_aio, world.memcacheds[0]) == {}
    again = await client.get_many(KEYS)
    assert all(again[key] == NEW[key] for key in again)
    assert await client.set_many(NEW) == []
    assert await client.get_many(KEYS) == NEW
    assert not client.nodes()["replica-0"].ejected


@pytest.mark.parametrize("number", [0, 1])
async def test_one_write_that_a_replica_lacks_is_enough(connect_aio, make_aio, world, number):
    """What was written counts, and whoever lacks it is not read from before it is flushed."""
    client = connect_aio(timeout=SHORT, max_ejected=0.0)
    assert await client.set("key", "old") is True
    world.proxies[number].requests = Drop()
    assert await client.set("key", "new") is True
    assert world.log.events == [("down", f"replica-{number}")]
    assert "lack a write" in client.nodes()[f"replica-{number}"].reason
    assert await client.get("key") == "new"
    assert await kept_by(make_aio, world.memcacheds[number], ["key"]) == {"key": "old"}
    world.proxies[number].heal()
    await world.log.up.wait()
    assert await kept_by(make_aio, world.memcacheds[number], ["key"]) == {}
    assert await client.get("key") in {None, "new"}


async def test_whoever_decided_and_was_not_heard_is_not_believed(connect_aio, world):
    client = connect_aio(timeout=SHORT)
    assert await client.set("counter", 1) is True
    world.proxies[0].replies = Drop()
    with pytest.raises(OUTAGES):
        await client.incr("counter")
    assert client.nodes()["replica-0"].ejected
    assert await client.get("counter") == 1
    assert await client.incr("counter") == 2


async def test_the_next_decides_where_the_first_can_not_be_reached(connect_aio, make_aio, world):
    client = connect_aio()
    assert await client.set("counter", 1) is True
    world.strike("killed")
    await try_to(client.incr, "counter")  # lost with its connection: nobody knows
    assert await client.set("counter", 5) is True
    assert await client.incr("counter") == 6
    assert client.nodes()["replica-0"].ejected
    assert await kept_by(make_aio, world.memcacheds[1], ["counter"]) == {"counter": 6}


async def test_the_last_replica_is_never_given_up(connect_aio, world):
    client = connect_aio(timeout=SHORT, connect_timeout=0.5, max_ejected=1.0)
    assert await client.set("key", "value") is True
    for number in (0, 1):
        world.strike("killed", number)
    for _ in range(8):
        with pytest.raises(OUTAGES):
            await client.set("key", "value")
        with pytest.raises(OUTAGES):
            await client.get("key")
        with pytest.raises(OUTAGES):
            await client.get_many(["key", "other"])
    assert sum(node.ejected for node in client.nodes().values()) < 2
    for number in (0, 1):
        world.mend("killed", number)
    while await try_to(client.set, "key", "again") is not True:
        pass
    assert await client.get("key") in {None, "again"}  # the first may be back since, and empty
    await until(lambda: not any(node.ejected for node in client.nodes().values()))
    assert await client.set("key", "later") is True
    assert await client.get("key") == "later"


async def test_an_outage_of_all_can_be_forgiven(connect_aio, world):
    client = connect_aio(timeout=SHORT, connect_timeout=0.5, on_error="miss", failover="miss")
    for number in (0, 1):
        world.strike("killed", number)
    assert await client.get("key", "default") == "default"
    assert await client.set("key", 1) is False
    assert await client.set_many(OLD) == list(OLD)
    assert await client.incr("key") is None
    assert client.client_stats().outages > 0


async def test_a_value_that_is_refused_by_one_is_stored_by_the_other(make_aio, small_server):
    """It is a miss with the first, who dropped its old value, and no reason to eject anybody."""
    with MemcachedServer() as large:
        client = make_aio([Replicas([large.url, small_server.url])], timeout=PATIENT)
        big = b"x" * 500_000
        for number in range(20):
            assert await client.set(f"big:{number}", big) is True
        assert await client.get("big:19") == big
        assert client.client_stats().ejections == 0
        assert len(await kept_by(make_aio, small_server, [f"big:{n}" for n in range(20)])) < 20


async def test_flush_all_reaches_every_replica(connect_aio, make_aio, world):
    client = connect_aio()
    assert await client.set_many(OLD) == []
    assert await client.flush_all() is True
    assert [await kept_by(make_aio, server) for server in world.memcacheds] == [{}, {}]
    assert await client.set_many(OLD) == []
    world.strike("cut", 1)
    with pytest.raises(OUTAGES):
        await client.flush_all()
    assert client.nodes()["replica-1"].ejected
    world.mend("cut", 1)
    await world.log.up.wait()
    assert await kept_by(make_aio, world.memcacheds[1]) == {}


async def test_what_is_asked_of_servers_is_asked_of_each_replica(connect_aio, others):
    client = connect_aio(others[0])
    names = ["replica-0", "replica-1", others[0]]
    assert list(await client.version()) == names
    assert list(client.nodes()) == names
    assert list(client.pools()) == names
    assert list(await client.stats()) == names
    async with client.connection("replica-1") as connection:
        assert connection.traits.version
    for name in (None, "both"):
        with pytest.raises(ConfigurationError, match="replica-0, replica-1"):
            await client.connection(name).__aenter__()


async def test_keys_stay_where_they_are_whoever_is_alive(connect_aio, make_aio, world, others):
    """Replicas have one place among the servers."""
    client = connect_aio(others[0], others[1])
    assert await client.set_many(OLD) == []
    mine = await kept_by(make_aio, world.memcacheds[0])
    assert 0 < len(mine) < len(KEYS)
    world.strike("killed")
    assert await client.set_many(NEW) == []
    assert await client.get_many(KEYS) == NEW
    assert set(await kept_by(make_aio, world.memcacheds[1])) == set(mine)


async def test_servers_come_and_go_beside_replicas(connect_aio, make_aio, world, others):
    client = connect_aio()
    await client.add_node(Server.at(others[0], name="plain"))
    assert await client.set_many(OLD) == []
    assert await client.get_many(KEYS) == OLD
    await client.remove_node("plain")
    assert await client.set_many(OLD) == []
    assert await kept_by(make_aio, world.memcacheds[1]) == OLD
    with pytest.raises(ConfigurationError, match="named 'replica-1'"):
        await client.add_node(world.servers[1])
    await client.replace_node("both", Replicas([world.servers[1], others[1]], name="both"))
    assert list(client.nodes()) == ["replica-1", others[1]]
    assert await client.get_many(KEYS) == OLD
    assert await client.set_many(NEW) == []
    assert await make_aio(others[1], timeout=PATIENT).get_many(KEYS) == NEW


async def test_a_replica_that_lacks_writes_stays_out_through_changes(connect_aio, world, others):
    client = connect_aio(timeout=SHORT)
    assert await client.set_many(OLD) == []
    world.strike("frozen", 1)
    assert await client.set_many(NEW) == []
    assert client.nodes()["replica-1"].ejected
    swapped = Replicas([world.servers[1], world.servers[0]], name="both")
    await client.replace_node("both", swapped)
    await client.add_node(others[0])
    await client.remove_node(others[0])
    assert client.nodes()["replica-1"].ejected
    assert await client.get_many(KEYS) == NEW
    world.mend("frozen", 1)
    await world.log.up.wait()
    again = await client.get_many(KEYS)
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
async def test_what_means_nothing_for_replicas_is_refused(make_aio, connect_aio, options):
    with pytest.raises(ConfigurationError, match="Replicas"):
        connect_aio(**options)
    if "discovery" not in options:
        client = make_aio("127.0.0.1:2", **options)
        with pytest.raises(ConfigurationError, match="Replicas"):
            await client.add_node(Replicas(["a", "b"]))


async def test_the_fastest_is_read_from(connect_aio, world):
    """Once it is known; what it does not have is asked of whoever decides."""
    client = connect_aio(read="fastest")
    assert await client.set("key", "value") is True
    assert await client.set("counter", 1) is True
    assert await client.incr("counter") == 2
    world.proxies[0].replies = Delay(0.05)
    for _ in range(10):
        client._cluster.failover._ring()  # time has come to see how fast they are
        for _ in range(3):
            assert await client.get("key") == "value"
    world.proxies[0].heal()
    before = [proxy.requested for proxy in world.proxies]
    for _ in range(40):
        assert await client.get("key") == "value"
        assert await client.get_many(["key"]) == {"key": "value"}
    slow, fast = (p.requested - had for p, had in zip(world.proxies, before, strict=True))
    assert slow < fast  # but for the few that are timed
    assert await client.get("counter") == 2
    assert await client.get_many(["key", "counter"]) == {"key": "value", "counter": 2}
    assert client.client_stats().ejections == 0


async def test_callers_at_the_same_time_do_not_wait_for_each_other(connect_aio, others):
    """Batches take their leases in one order, also those of replicas."""
    client = connect_aio(Replicas(others), max_size=1)

    async def work(mine):
        for _ in range(20):
            assert await client.set_many(mine) == []
            assert await client.get_many(mine) == mine
            for key in mine:
                assert await client.set(key, mine[key]) is True

    parts = [{f"{n}:{key}": n for key in KEYS[:5]} for n in range(6)]
    await together(*[lambda part=part: work(part) for part in parts])
