# Generated from tests/client/test_discovery_aio.py by tools/unasync.py; do not edit.
"""Clients whose servers are found: by configuration endpoints, by an object of the user's own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from cenote import (
    ConfigurationError,
    Discovered,
    ElastiCache,
    NoNodesAvailable,
    PoolClosed,
    Server,
)
from cenote.client.sync import Client
from cenote.testing.endpoint import ConfigurationEndpoint
from cenote.testing.memcached import MemcachedServer
from tests.client.together_sync import together, until

PATIENT = 10.0
SOON = ElastiCache(interval=0.05)
KEYS = [f"key:{number}" for number in range(40)]
VALUES = {key: f"value of {key}" for key in KEYS}


@pytest.fixture(scope="module")
def three():
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(3)]


@pytest.fixture
def nodes(three):
    return [("localhost", "127.0.0.1", server.port) for server in three]


@pytest.fixture(params=["aws", "gcp", "old"])
def endpoint(nodes, request):
    with ConfigurationEndpoint(nodes, dialect=request.param) as endpoint:
        yield endpoint


@pytest.fixture
def amazon(nodes):
    with ConfigurationEndpoint(nodes) as endpoint:
        yield endpoint


def another_look(endpoint):
    asked = endpoint.asked
    until(lambda: endpoint.asked > asked + 1)


def test_servers_are_found_on_first_use(endpoint, make_sync):
    client = make_sync(endpoint.url, discovery="elasticache", timeout=PATIENT)
    assert client.nodes() == {}
    assert endpoint.asked == 0
    assert client.set("a", "1") is True
    assert client.get("a") == "1"
    assert len(client.nodes()) == 3
    assert endpoint.asked == 1
    assert client.discovery().version == 1


@pytest.mark.parametrize(
    "first",
    [
        lambda client: client.set_many(VALUES),
        lambda client: client.get_many(KEYS),
        lambda client: client.delete_many(KEYS),
        lambda client: client.version(),
        lambda client: client.open(),
        lambda client: client.add("new", 1, ttl=1),
        lambda client: client.set("quiet", 1, noreply=True),
        lambda client: client.get_or_compute("computed", lambda: 1, ttl=5),
        lambda client: client.flush_all(),
    ],
)
def test_every_command_finds_them(amazon, make_sync, first):
    client = make_sync(amazon.url, discovery="elasticache", timeout=PATIENT)
    first(client)
    assert len(client.nodes()) == 3
    assert client.set_many(VALUES) == []
    assert client.get_many(KEYS) == VALUES


def test_many_who_come_first_ask_once(amazon, make_sync):
    client = make_sync(amazon.url, discovery="elasticache", timeout=PATIENT)
    assert all(together(*[lambda key=key: client.set(key, 1) for key in KEYS[:10]]))
    assert amazon.asked == 1


def test_it_can_be_said_in_a_url(amazon, make_sync):
    client = make_sync(f"memcached://{amazon.url}?discovery=elasticache&timeout={PATIENT}")
    assert client.set("a", 1) is True
    assert len(client.nodes()) == 3


def test_a_new_version_changes_the_servers(endpoint, nodes, make_sync):
    endpoint.nodes = nodes[:2]
    client = make_sync(endpoint.url, discovery=SOON, timeout=PATIENT)
    client.set_many(VALUES)
    pools = {name: pool.created for name, pool in client.pools().items()}
    endpoint.nodes, endpoint.version = nodes, 2
    until(lambda: len(client.nodes()) == 3)
    until(lambda: client.discovery().version == 2)
    assert client.set_many(VALUES) == []
    assert client.get_many(KEYS) == VALUES
    assert {name: client.pools()[name].created for name in pools} == pools
    endpoint.nodes, endpoint.version = nodes[1:], 3
    until(lambda: len(client.nodes()) == 2)
    assert client.set_many(VALUES) == []


def test_an_older_version_is_ignored(amazon, nodes, make_sync):
    amazon.version = 5
    client = make_sync(amazon.url, discovery=SOON, timeout=PATIENT)
    client.set("a", 1)
    amazon.version, amazon.nodes = 4, nodes[:1]
    until(lambda: client.discovery().failures > 0)
    assert len(client.nodes()) == 3
    assert "older" in client.discovery().last_error
    amazon.version = 6
    until(lambda: len(client.nodes()) == 1)
    assert client.discovery().failures == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"END\r\n",
        b"CONFIG cluster 0 3\r\n6\n\n\r\nEND\r\n",
        b"CONFIG cluster 0 16\r\n6\nhost;1.2.3.4;1\r\nEND\r\n",
        b"CONFIG cluster 0 99999999999\r\n",
        b"CONFIG cluster 0 300\r\n6\nhalf|",
        b"ERROR\r\n",
        b"SERVER_ERROR busy\r\n",
        b"\x00\xff" * 300 + b"\r\n",
    ],
)
def test_the_last_good_list_is_kept(amazon, make_sync, answer):
    client = make_sync(
        amazon.url, discovery=ElastiCache(interval=0.05, timeout=1.5), timeout=PATIENT
    )
    client.set_many(VALUES)
    amazon.answer = answer
    until(lambda: client.discovery().failures > 1)
    assert len(client.nodes()) == 3
    assert client.get_many(KEYS) == VALUES
    amazon.answer = None
    until(lambda: client.discovery().failures == 0)


def test_another_endpoint_is_asked_if_the_first_can_not_be(nodes, make_sync):
    with ConfigurationEndpoint(nodes) as second:
        with ConfigurationEndpoint(nodes[:1]) as first:
            client = make_sync([first.url, second.url], discovery=SOON, timeout=PATIENT)
            client.set("a", 1)
            assert len(client.nodes()) == 1
            assert second.asked == 0
        second.version = 2
        until(lambda: len(client.nodes()) == 3)


def test_no_endpoint_at_first_is_an_outage(make_sync):
    with MemcachedServer() as gone:
        url = gone.url
    client = make_sync(url, discovery="elasticache", timeout=PATIENT)
    for command in (
        lambda: client.get("a"),
        lambda: client.get_many(KEYS),
        lambda: client.set_many(VALUES),
        lambda: client.delete_many(KEYS),
        client.version,
        client.open,
    ):
        with pytest.raises(NoNodesAvailable, match="no servers were found"):
            command()


def test_no_endpoint_at_first_is_forgiven_as_any_outage(nodes, make_sync):
    with MemcachedServer() as gone:
        url = gone.url
    client = make_sync(url, discovery="elasticache", timeout=PATIENT, on_error="miss")
    assert client.get("a") is None
    assert client.get_many(KEYS) == {}
    assert client.set_many(VALUES) == KEYS
    assert client.delete_many(KEYS) == 0
    assert client.set("a", 1) is False
    assert client.version() == {}
    assert client.flush_all() is False
    assert client.client_stats().outages >= 7


def test_a_server_that_keeps_no_list_is_no_endpoint(three, make_sync):
    client = make_sync(three[0].url, discovery="elasticache", timeout=PATIENT)
    with pytest.raises(NoNodesAvailable, match="no such endpoint"):
        client.get("a")


def test_a_closed_client_looks_no_more(amazon, make_sync):
    client = make_sync(amazon.url, discovery=SOON, timeout=PATIENT)
    client.set("a", 1)
    another_look(amazon)
    client.close()
    with pytest.raises(PoolClosed):
        client.get("a")
    never_used = make_sync(amazon.url, discovery=SOON, timeout=PATIENT)
    never_used.close()
    with pytest.raises(PoolClosed):
        never_used.get("a")


@pytest.mark.parametrize("how", ["text", "sasl"])
def test_servers_that_are_found_are_logged_in_to(make_sync, how):
    """By SASL nothing is said to the endpoint, which speaks text."""
    users = {"ann": "s3cret"}
    text = how == "text"
    with ExitStack() as stack:
        two = [
            stack.enter_context(
                MemcachedServer(users=users) if text else MemcachedServer(sasl_users=users)
            )
            for _ in range(2)
        ]
        nodes = [("127.0.0.1", "127.0.0.1", server.port) for server in two]
        login = ("ann", "s3cret") if text else None
        endpoint = stack.enter_context(ConfigurationEndpoint(nodes, login=login))
        client = make_sync(
            f"memcached://ann:s3cret@{endpoint.url}?discovery=elasticache",
            protocol="auto" if text else "binary",
            timeout=PATIENT,
        )
        assert client.set_many(VALUES) == []
        assert client.get_many(KEYS) == VALUES


def test_an_endpoint_that_lets_nobody_log_in_is_told_from_a_wrong_password(amazon, make_sync):
    client = make_sync(amazon.url, discovery="elasticache", username="ann", password="s3cret")
    with pytest.raises(NoNodesAvailable, match="does not log in") as caught:
        client.get("key")
    assert "s3cret" not in str(caught.value)


def test_servers_that_are_found_can_not_be_changed_by_hand(amazon, make_sync):
    client = make_sync(amazon.url, discovery="elasticache", timeout=PATIENT)
    with pytest.raises(ConfigurationError, match="discovery"):
        client.add_node("other")


class Own:
    """A user's own discovery."""

    interval = 0.05
    timeout = 5.0

    def __init__(self, servers):
        self.answer: object = Discovered(servers)
        self.given = None

    def find(self, servers, timeout):
        self.given = [server.name for server in servers]
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_discovery_of_the_users_own(three, make_sync):
    servers = [Server.at(server.url) for server in three]
    own = Own(servers[:2])
    client = make_sync("where:1", discovery=own, timeout=PATIENT)
    client.set_many(VALUES)
    assert own.given == ["where:1"]
    assert len(client.nodes()) == 2
    own.answer = LookupError("away")
    until(lambda: client.discovery().failures > 0)
    assert client.discovery().last_error == "away"
    own.answer = Discovered(servers)
    until(lambda: len(client.nodes()) == 3)


def test_a_list_that_the_hashing_can_not_count_with_is_not_used(three, make_sync):
    servers = [Server.at(server.url) for server in three]
    own = Own(servers)
    client = make_sync("where:1", discovery=own, timeout=PATIENT, hashing="ketama")
    client.set("a", 1)
    own.answer = Discovered([Server(servers[0].address, 1.5), servers[1]])
    until(lambda: client.discovery().failures > 0)
    assert "whole numbers" in client.discovery().last_error
    assert len(client.nodes()) == 3


def test_an_unknown_discovery_is_refused():
    with pytest.raises(ConfigurationError, match="'elasticache', 'dns'"):
        Client("one:1", discovery="consul")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="looks up names"):
        Client("/run/memcached.sock", discovery="dns")
