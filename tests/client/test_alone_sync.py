# Generated from tests/client/test_alone_aio.py by tools/unasync.py; do not edit.
"""A client that has, or comes to have, one server only: who serves its keys when it is down."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from cenote import Key, Replicas, Server
from cenote.testing.faults import Stall
from tests.client.together_sync import together
from tests.client.troubled_sync import World, try_to

PATIENT = 10.0
SHORT = 1.2
KEYS = [f"key:{number}" for number in range(10)]
OLD = {key: f"old value of {key}" for key in KEYS}
NEW = {key: f"new value of {key}" for key in KEYS}


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield World(stack, "server", 2)


@pytest.fixture
def connect_sync(make_sync, world):
    def connect(servers, timeout=PATIENT, **options):
        return make_sync(
            servers,
            timeout=timeout,
            backoff_base=0.001,
            backoff_cap=0.005,
            on_node_down=world.log.on_node_down,
            on_node_up=world.log.on_node_up,
            **options,
        )

    return connect


def asked_until_down(client, world):
    """Ask until the server is found to be down."""
    while not world.log.down.is_set():
        try_to(client.get, "anything")


def every_way_of_reading(client):
    """Return what is found of the keys, by each command that takes another way to the server."""
    found = []
    for key in KEYS:
        found += [try_to(client.get, key), try_to(client.get, Key(key, route="r"))]
    several = try_to(client.get_many, KEYS)
    return found + list(several.values() if isinstance(several, dict) else [])


def texts(found):
    return [each for each in found if isinstance(each, str)]


def test_the_gutter_serves_the_keys_of_a_server_that_is_the_only_one(connect_sync, world):
    server, spare = world.servers
    client = connect_sync([server], failover="gutter", gutter=[spare], on_return="flush")
    assert client.set_many(OLD) == []
    world.strike("cut")
    asked_until_down(client, world)
    assert client.get_many(KEYS) == {}
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
    assert client.set(Key("routed", route="r"), 1) is True
    assert [client.get(key) for key in KEYS] == list(NEW.values())
    assert client.nodes()["server-0"].ejected
    world.mend("cut")
    world.log.up.wait()
    assert client.get_many(KEYS) == {}
    assert client.get(KEYS[0]) is None
    assert client.set_many(NEW) == []
    assert client.client_stats().diverted > 0


def test_the_only_server_is_missed_where_that_was_asked_for(connect_sync, world):
    client = connect_sync([world.servers[0]], failover="miss")
    assert client.set_many(OLD) == []
    world.strike("cut")
    asked_until_down(client, world)
    assert client.get(KEYS[0]) is None
    assert client.get(Key(KEYS[0], route="r")) is None
    assert client.get_many(KEYS) == {}
    assert client.set(KEYS[0], 1) is False
    assert client.set_many(NEW) == KEYS
    assert client.delete_many(KEYS) == 0
    world.mend("cut")
    world.log.up.wait()
    assert client.get_many(KEYS) == OLD


@pytest.mark.parametrize(("on_return", "several"), [("keep", True), ("flush", False)])
def test_a_replica_that_lacks_writes_is_flushed_though_it_has_become_a_plain_server(
    connect_sync, world, on_return, several
):
    others = [Server.at(world.memcacheds[0].url, name="other")] if several else []
    both = Replicas(world.servers, name="both")
    client = connect_sync([both, *others], timeout=SHORT, on_return=on_return)
    assert client.set_many(OLD) == []
    world.proxies[1].requests = Stall()
    client.set_many(NEW)
    assert client.nodes()["server-1"].ejected
    world.proxies[1].hang_up()
    world.proxies[1].heal()
    client.replace_node("both", world.servers[1])
    for _ in range(20):
        assert not {*OLD.values()} & {*texts(every_way_of_reading(client))}
    world.log.up.wait()
    assert not {*OLD.values()} & {*(client.get_many(KEYS)).values()}
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW


@pytest.mark.parametrize("on_return", ["flush", "delete"])
def test_a_server_that_is_down_when_the_others_leave_owes_what_it_owed(
    connect_sync, world, on_return
):
    client = connect_sync(
        world.servers, timeout=SHORT, failover="rehash", on_return=on_return, min_size=3
    )
    assert client.set_many(OLD) == []
    client.open()
    world.proxies[0].replies = Stall()
    while not world.log.down.is_set():  # before as many connects can have failed
        together(*[lambda key=key: try_to(client.get, key) for key in KEYS])
    assert client.set_many(NEW) == []
    world.proxies[0].hang_up()
    world.proxies[0].heal()
    client.remove_node("server-1")
    for _ in range(20):
        assert not {*OLD.values()} & {*texts(every_way_of_reading(client))}
    world.log.up.wait()
    assert not {*OLD.values()} & {*(client.get_many(KEYS)).values()}
    assert client.set_many(NEW) == []
    assert client.get_many(KEYS) == NEW
