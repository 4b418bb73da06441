# Generated from tests/client/test_failover_aio.py by tools/unasync.py; do not edit.
"""A client of several servers of which some fail: who serves their keys, and what comes back."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from cenote import Key, protocol
from cenote.client.outcome import OUTAGES
from cenote.cluster.router import HASHING_NAMES, placer_for
from cenote.cluster.server import Server
from cenote.errors import (
    ConfigurationError,
    NodeDown,
    NoNodesAvailable,
    OutOfMemory,
    PartialFailure,
)
from cenote.pool import Observer
from cenote.runtime.sync import aside
from cenote.testing.faults import Delay, Stall
from cenote.testing.memcached import MemcachedServer
from tests.client.together_sync import Gate, together
from tests.client.troubled_sync import World

PATIENT = 10.0
TIMEOUT = 1.5
"""Seconds that a client waits for a server that is frozen."""
LATE = 5.0
"""How long after its deadline a call may end on a busy machine, in seconds."""

KEYS = [f"key:{number}" for number in range(40)]
OLD = {key: f"old value of {key}" for key in KEYS}
NEW = {key: f"new value of {key}" for key in KEYS}


@pytest.fixture
def how():
    """What happens to the first server, where a test does not say."""
    return "cut"


@pytest.fixture
def world(how):
    with ExitStack() as stack:
        yield World(stack, "server", 3, proxied=how == "cut")


@pytest.fixture
def servers(world):
    return world.servers


@pytest.fixture
def spare():
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def log(world):
    return world.log


@pytest.fixture
def connect_sync(world, make_sync, how):
    """Make a client of the three servers that tells the log of them."""

    def connect(**options):
        return make_sync(
            world.servers,
            **{
                "timeout": TIMEOUT if how == "frozen" else PATIENT,
                "on_node_down": world.log.on_node_down,
                "on_node_up": world.log.on_node_up,
                **options,
            },
        )

    return connect


def owned_by(servers, number, keys=KEYS):
    placer = placer_for("rendezvous", servers)
    return [key for key in keys if placer.place(key.encode()) == number]


def noticed(client, log):
    """Use the client until it has noticed that a server is down."""
    while not log.down.is_set():
        together(*[lambda key=key: get_quietly(client, key) for key in KEYS])


def get_quietly(client, key):
    with suppress(*OUTAGES):
        client.get(key)


def kept_by(make, server, keys=KEYS):
    """Return what a server itself has of the keys."""
    return make(server, timeout=PATIENT).get_many(keys)


# The policies.


@pytest.mark.parametrize("how", ["killed", "frozen", "cut"])
def test_a_server_that_is_down_fails_its_own_keys_at_once(connect_sync, world, how, servers, log):
    client = connect_sync()
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    assert log.events == [("down", "server-0")]
    mine, others = owned_by(servers, 0), owned_by(servers, 1) + owned_by(servers, 2)
    for key in mine[:5]:
        with pytest.raises(NodeDown, match=r"server-0 is down: .* in a row"):
            client.get(key)
        with pytest.raises(NodeDown):
            client.get(Key("any", route=key))
    with pytest.raises(PartialFailure) as caught:
        client.get_many(KEYS)
    assert set(caught.value.failures) == set(mine)
    assert caught.value.answered == {key: OLD[key] for key in others}
    assert sorted(client.set_many(OLD)) == sorted(mine)
    health = client.nodes()
    assert [health[server.name].state for server in servers] == ["down", "up", "up"]
    assert health["server-0"].ejected
    assert health["server-0"].reason is not None
    assert client.client_stats().ejections == 1
    world.mend(how)
    log.up.wait()
    assert log.events == [("down", "server-0"), ("up", "server-0")]
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert not client.nodes()["server-0"].ejected


@pytest.mark.parametrize("how", ["killed", "frozen", "cut"])
def test_the_other_servers_step_in_and_keep_what_is_theirs(
    connect_sync, make_sync, world, how, servers, log
):
    client = connect_sync(failover="rehash")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert [client.get(key) for key in KEYS] == list(NEW.values())
    kept = [set(kept_by(make_sync, server)) for server in servers[1:]]
    remaining = placer_for("rendezvous", servers[1:])
    for number, keys in enumerate(kept):
        assert set(owned_by(servers, number + 1)) <= keys
        moved = keys - set(owned_by(servers, number + 1))
        assert moved == {
            key for key in owned_by(servers, 0) if remaining.place(key.encode()) == number
        }
    assert client.client_stats().diverted > 0
    world.mend(how)
    log.up.wait()
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert set(kept_by(make_sync, servers[0])) == set(owned_by(servers, 0))


def test_every_command_goes_to_whoever_steps_in(connect_sync, world, how, servers, log):
    client = connect_sync(failover="rehash")
    world.strike(how)
    noticed(client, log)
    for key in [*owned_by(servers, 0)[:3], Key("routed", route=owned_by(servers, 0)[0])]:
        assert client.set(key, 1) is True
        assert client.incr(key, 2) == 3
        assert client.decr(key) == 2
        assert client.touch(key, 60) is True
        assert client.gat(key, 60) == 2
        item = client.gets(key)
        assert client.cas(key, "text", item.cas) is True
        assert client.append(key, "!") is True
        assert client.add(key, 1) is False
        assert client.replace(key, "other", noreply=True) is True
        assert client.get(key) == "other"
        assert client.delete(key) is True
        assert client.get_or_compute(key, lambda: "computed", 60) == "computed"
        assert client.delete_many([key]) == 1
        assert client.incr(key, initial=5) == 5


@pytest.mark.parametrize("how", ["killed"])
@pytest.mark.parametrize("hashing", HASHING_NAMES)
def test_every_scheme_finds_somebody_who_steps_in(
    connect_sync, make_sync, world, servers, log, hashing
):
    """The same scheme over the servers that remain; keys of those stay where they are."""
    client = connect_sync(failover="rehash", hashing=hashing)
    assert client.set_many(OLD) == []
    home = placer_for(hashing, servers)
    world.memcacheds[1].kill()
    noticed(client, log)
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    remaining = [servers[0], servers[2]]
    substitutes = placer_for(hashing, remaining)
    kept = {server.name: set(kept_by(make_sync, server)) for server in remaining}
    for key in KEYS:
        owner = servers[home.place(key.encode())]
        if owner is servers[1]:
            owner = remaining[substitutes.place(key.encode())]
        assert {name for name, keys in kept.items() if key in keys} == {owner.name}


@pytest.mark.parametrize("protocol_", ["meta", "classic", "binary"])
def test_the_gutter_keeps_values_for_a_while_only(
    connect_sync, make_sync, world, how, servers, log, spare, protocol_
):
    client = connect_sync(failover="gutter", gutter=spare.url, gutter_ttl=30, protocol=protocol_)
    world.strike(how)
    noticed(client, log)
    mine = owned_by(servers, 0)
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    client.set(mine[0], "short", ttl=5)
    client.set(mine[1], "long", ttl=3600)
    assert client.set(mine[2], "quiet", noreply=True) is True
    assert client.get(mine[2]) == "quiet"
    assert set(kept_by(make_sync, spare.url)) == set(mine)
    gutter = make_sync(spare.url, timeout=10.0)
    with gutter.connection() as connection:
        for key in mine:
            request = protocol.meta_get(key.encode(), b"t")
            reply = connection.exchange(request, monotonic() + 10)
            assert 0 <= int(reply.flags["t"]) <= (5 if key == mine[0] else 30)
    assert spare.url in client.nodes()
    world.mend(how)
    log.up.wait()
    assert client.get_many(mine) == {}


def test_flushing_empties_the_gutter_too(connect_sync, world, how, servers, log, spare):
    client = connect_sync(failover="gutter", gutter=spare.url, on_error="miss")
    world.strike(how)
    noticed(client, log)
    mine = owned_by(servers, 0)
    assert client.set_many(NEW) == []
    assert len(client.get_many(mine)) == len(mine)
    assert client.flush_all() is False, "one server is down"
    assert client.get_many(KEYS) == {}


def test_nobody_steps_in_and_requests_miss(connect_sync, world, how, servers, log):
    client = connect_sync(failover="miss")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    before = client.client_stats().outages
    mine = owned_by(servers, 0)
    others = [key for key in KEYS if key not in mine]
    assert client.get(mine[0], "default") == "default"
    assert client.set(mine[0], 1) is False
    assert client.delete(mine[0]) is False
    assert client.incr(mine[0]) is None
    assert client.incr(mine[0], initial=1) is None
    assert client.get(Key("routed", route=mine[0])) is None
    assert client.get_or_compute(mine[0], lambda: "computed", 60) == "computed"
    assert client.client_stats().outages > before
    assert client.get_many(KEYS) == {key: OLD[key] for key in others}
    assert sorted(client.set_many(OLD)) == sorted(mine)
    assert client.delete_many(KEYS) == len(others)
    assert client.get_many(mine) == {}
    world.mend(how)
    log.up.wait()
    assert client.set(mine[0], 1) is True


# What comes back.


def test_old_values_are_kept_if_nobody_minds(connect_sync, world, how, servers, log):
    client = connect_sync(failover="rehash")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    assert client.set_many(NEW) == []
    world.mend(how)
    log.up.wait()
    mine = owned_by(servers, 0)
    assert client.get_many(mine) == {key: OLD[key] for key in mine}


def test_a_server_is_flushed_before_it_is_asked_again(connect_sync, world, how, servers, log):
    client = connect_sync(failover="rehash", on_return="flush")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    world.mend(how)
    log.up.wait()
    mine = owned_by(servers, 0)
    assert client.get_many(KEYS) == {key: OLD[key] for key in KEYS if key not in mine}


@pytest.mark.parametrize("protocol_", ["meta", "classic", "binary"])
def test_what_was_written_meanwhile_is_deleted_everywhere_before_it_could_be_read(
    connect_sync, make_sync, world, how, servers, log, protocol_
):
    client = connect_sync(failover="rehash", on_return="delete", protocol=protocol_)
    mine = owned_by(servers, 0)
    route = Key("routed", route=mine[0])
    assert client.set_many(OLD | {route: "old"}) == []
    world.strike(how)
    noticed(client, log)
    written, deleted, in_batch, untouched = mine[0], mine[1], mine[2:5], mine[5:]
    assert client.set(written, "new") is True
    client.delete(deleted)
    assert client.set_many(dict.fromkeys(in_batch, "new")) == []
    assert client.set(route, "new") is True
    world.mend(how)
    log.up.wait()
    assert client.get_many(mine) == {key: OLD[key] for key in untouched}
    assert client.get(route) is None
    for server in servers[1:]:
        assert not set(kept_by(make_sync, server, [*mine, "routed"])), "left for next time"


def test_a_flush_that_a_server_has_missed_is_made_good(connect_sync, world, how, servers, log):
    client = connect_sync(on_return="delete", on_error="miss")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    assert client.flush_all() is False
    world.mend(how)
    log.up.wait()
    assert client.get_many(KEYS) == {}


def test_a_write_that_was_refused_does_not_leave_the_old_value(
    connect_sync, world, how, servers, log
):
    client = connect_sync(failover="miss", on_return="delete")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    mine = owned_by(servers, 0)
    assert client.delete(mine[0]) is False
    world.mend(how)
    log.up.wait()
    assert client.get_many(mine) == {key: OLD[key] for key in mine[1:]}


@pytest.mark.parametrize("how", ["killed"])
def test_a_server_comes_back_empty(connect_sync, world, how, servers, log):
    client = connect_sync(failover="rehash")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    world.mend(how)
    log.up.wait()
    assert client.get_many(owned_by(servers, 0)) == {}
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW


def test_a_server_that_flaps_is_told_of_every_time(connect_sync, world, how, log):
    client = connect_sync(failover="rehash")
    for _ in range(3):
        log.down.clear()
        log.up.clear()
        world.strike(how)
        noticed(client, log)
        assert client.set_many(NEW) == []
        assert client.get_many(KEYS) == NEW
        world.mend(how)
        log.up.wait()
    assert log.events == [("down", "server-0"), ("up", "server-0")] * 3
    assert client.nodes()["server-0"].ejections == 3


@pytest.mark.parametrize("failover", ["fail", "miss"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda client, key: client.get(key),
        lambda client, key: client.set(key, 1, noreply=True),
        lambda client, key: client.get_many([key]),
        lambda client, key: client.delete_many([key]),
    ],
    ids=["get", "noreply", "get_many", "delete_many"],
)
def test_whoever_is_refused_and_asks_again_at_once_keeps_no_probe_from_its_work(
    connect_sync, world, how, servers, log, ask, failover
):
    client = connect_sync(failover=failover)
    world.strike(how)
    noticed(client, log)
    world.mend(how)
    (key, *_), limit = owned_by(servers, 0), monotonic() + PATIENT
    while not log.up.is_set():
        assert monotonic() < limit, "the server was never probed"
        with suppress(NodeDown, PartialFailure):
            ask(client, key)


# Servers that fail and servers that come and go.


def test_a_server_that_is_down_may_be_replaced(connect_sync, world, how, log, spare):
    client = connect_sync()
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    assert sorted(client.set_many(NEW)) == sorted(owned_by(world.servers, 0))
    client.replace_node("server-0", Server.at(spare.url, name="server-0"))
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert not client.nodes()["server-0"].ejected
    assert log.events == [("down", "server-0")]


def test_a_server_that_is_down_may_leave(connect_sync, world, how, log):
    client = connect_sync(failover="rehash")
    assert client.set_many(OLD) == []
    world.strike(how)
    noticed(client, log)
    client.remove_node("server-0")
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert list(client.nodes()) == ["server-1", "server-2"]


class Outcome(Observer):
    """Tells how the next connect to a server has ended."""

    def __init__(self, pool):
        self.pool = pool
        self.ends = []
        self.ended = Gate()

    def connected(self, pool, seconds):
        self.note(pool, "connected")

    def connect_failed(self, pool, error, seconds):
        self.note(pool, repr(error))

    def note(self, pool, end):
        if pool == self.pool:
            self.ends.append(end)
            self.ended.set()


def test_a_server_that_comes_back_as_it_leaves_keeps_no_connection(connect_sync, world, how, log):
    outcome = Outcome("server-0")
    client = connect_sync(observer=outcome, connect_timeout=PATIENT)
    world.strike(how)
    noticed(client, log)
    arrived = world.proxies[0].requested
    world.proxies[0].replies = Stall()
    world.mend(how)
    aside(
        lambda: world.proxies[0].wait_for(lambda seen: seen.requested > arrived, PATIENT),
        monotonic() + PATIENT,
    )
    client.remove_node("server-0")
    outcome.ends.clear()
    outcome.ended.clear()
    world.proxies[0].heal()
    outcome.ended.wait()
    assert outcome.ends == ["connected"]
    client.close()
    aside(
        lambda: world.proxies[0].wait_for(lambda seen: not seen.connections, PATIENT),
        monotonic() + PATIENT,
    )
    assert log.events == [("down", "server-0")]


def test_a_server_that_has_come_is_watched_like_the_others(connect_sync, world, log, spare):
    client = connect_sync(failover="rehash")
    client.add_node(Server.at(spare.url, name="server-3"))
    assert client.set_many(OLD) == []
    spare.kill()
    noticed(client, log)
    assert log.events == [("down", "server-3")]
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW


# How many.


@pytest.mark.parametrize("how", ["killed"])
def test_when_all_servers_are_down_there_is_nobody_to_ask(connect_sync, world, log):
    client = connect_sync(failover="rehash", max_ejected=1.0)
    assert client.set_many(OLD) == []
    for server in world.memcacheds:
        server.kill()
    while len(log.events) < 3:
        for key in KEYS:
            with pytest.raises(OUTAGES):
                client.get(key)
    for call in (client.get, client.delete):
        with pytest.raises(NoNodesAvailable, match="all servers are down"):
            call(KEYS[0])
    for batch in (client.get_many, client.delete_many):
        with pytest.raises(NoNodesAvailable):
            batch(KEYS)
    with pytest.raises(NoNodesAvailable):
        client.set_many(OLD)
    for server in world.memcacheds:
        server.start()
    while len(log.events) < 6:
        log.up.wait()
        log.up.clear()
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW


@pytest.mark.parametrize("how", ["killed"])
def test_no_more_than_a_share_is_ejected_and_the_others_fail_by_themselves(
    connect_sync, world, log
):
    client = connect_sync(failover="rehash")
    for server in world.memcacheds:
        server.kill()
    noticed(client, log)
    while True:
        with pytest.raises(OUTAGES) as caught:
            client.get(KEYS[0])
        if "none of the servers can be connected to" in str(caught.value):
            break
    assert isinstance(caught.value, NoNodesAvailable)
    assert sum(health.ejected for health in client.nodes().values()) == 1
    assert len(log.events) == 1


def test_a_share_of_nothing_ejects_nobody(connect_sync, world, how, servers, log):
    client = connect_sync(max_ejected=0)
    world.strike(how)
    (key, *_) = owned_by(servers, 0)
    while client.nodes()["server-0"].state != "down":
        with pytest.raises(OUTAGES):
            client.get(key)
    with pytest.raises(OUTAGES) as caught:
        client.get(key)
    assert not isinstance(caught.value, NodeDown)
    assert log.events == []


# What is no reason.


def test_a_server_without_memory_is_not_ejected(small_server, make_sync, log):
    """It refuses what is new; what it has it still gives."""
    with MemcachedServer() as other:
        servers = [
            Server.at(s.url, name=f"server-{n}") for n, s in enumerate((small_server, other))
        ]
        client = make_sync(servers, timeout=10.0, on_node_down=log.on_node_down)
        mine = owned_by(servers, 0, [f"key:{number}" for number in range(1000)])
        refused = 0
        for key in mine:
            try:
                client.set(key, b"x" * 100_000)
            except OutOfMemory:
                refused += 1
        assert refused > 10
        assert log.events == []
        assert client.nodes()["server-0"].state == "up"
        assert client.get(mine[0]) == b"x" * 100_000


@pytest.mark.parametrize("how", ["killed"])
def test_a_server_that_is_merely_restarted_is_not_ejected(connect_sync, world, log):
    client = connect_sync()
    assert client.set_many(OLD) == []
    world.memcacheds[0].restart()
    together(*[lambda key=key: client.get(key) for key in KEYS])
    assert log.events == []


# Outliers.


def test_a_server_that_is_slow_beside_the_others_is_ejected(connect_sync, world, log, monkeypatch):
    monkeypatch.setattr("cenote.cluster.failover_sync._SAMPLE_EVERY", 0.001)
    client = connect_sync(failover="rehash")
    assert client.set_many(OLD) == []
    world.proxies[0].replies = Delay(0.3)
    while not log.down.is_set():
        for key in KEYS:
            with suppress(NodeDown):
                client.get(key)
    assert log.events == [("down", "server-0")]
    assert "with the other servers" in client.nodes()["server-0"].reason
    world.proxies[0].heal()


# Callbacks, budgets, options.


def test_a_callback_that_raises_is_logged_and_does_no_harm(connect_sync, world, how, caplog):
    seen = []

    def burn(*event):
        seen.append(event)
        raise RuntimeError("it burns")

    client = connect_sync(failover="rehash", on_node_down=burn, on_node_up=burn)
    world.strike(how)
    while not seen:
        client.set_many(OLD)
    assert client.set_many(NEW) == []
    world.mend(how)
    while caplog.text.count("RuntimeError: it burns") < 2:
        client.set_many(NEW)
    assert [event[0] for event in seen] == ["server-0", "server-0"]


def test_keys_with_a_route_have_a_second_try_as_well(connect_sync, world, how, servers):
    client = connect_sync(failover="rehash", max_ejected=0)
    world.strike(how)
    key = Key("any", route=owned_by(servers, 0)[0])
    assert client.get(key, "default") == "default"
    assert client.gets(key) is None
    with pytest.raises(OUTAGES):
        client.set(key, 1)
    assert client.client_stats().second_tries == 2


def test_second_tries_end_with_their_budget(connect_sync, world, how, servers):
    client = connect_sync(failover="rehash", max_ejected=0, retry_budget=0)
    world.strike(how)
    key, refused = owned_by(servers, 0)[0], 0
    while not refused:
        try:
            assert client.get(key) is None
        except OUTAGES:
            refused = client.client_stats().retries_refused
    stats = client.client_stats()
    assert stats.second_tries >= 100
    assert stats.diverted == 0


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_nobody_waits_longer_and_nobody_reads_a_wrong_value(connect_sync, world, how, log):
    """Many callers while a server goes and comes back."""
    client = connect_sync(failover="rehash", timeout=TIMEOUT)
    ended = Gate()

    def work(mine):
        while not ended.is_set():
            for key in mine:
                began = monotonic()
                with suppress(*OUTAGES):
                    client.set(key, f"value of {key}")
                    assert client.get(key) in {None, f"value of {key}"}
                assert monotonic() - began < 2 * (TIMEOUT + LATE)

    def strike_and_mend():
        try:
            world.strike(how)
            log.down.wait()
            world.mend(how)
            log.up.wait()
        finally:
            ended.set()

    together(strike_and_mend, *[lambda n=n: work(KEYS[n::8]) for n in range(8)])
    assert log.events[:2] == [("down", "server-0"), ("up", "server-0")]


def test_options_may_stand_in_the_url(make_sync):
    client = make_sync(
        "memcached://a,b?failover=gutter&gutter=c,d:1&gutter_ttl=3&max_ejected=0.25"
        "&on_return=flush&retry_budget=none"
    )
    assert list(client.nodes()) == ["a:11211", "b:11211", "c:11211", "d:1"]
    for wrong in (
        "memcached://a,b?failover=gutter",
        "memcached://a,b?failover=elsewhere",
        "memcached://a,b?gutter=c",
        "memcached://a,b?failover=gutter&gutter=a",
        "memcached://a,b?retry_budget=-1",
    ):
        with pytest.raises(ConfigurationError):
            make_sync(wrong)
