# Generated from tests/client/test_outages_aio.py by tools/unasync.py; do not edit.
"""Bad days: every call ends by its deadline, and says what is wrong or, told to, is a miss."""

from __future__ import annotations

from time import monotonic

import pytest

from cenote.client.sync import Client
from cenote.client.outcome import OUTAGES
from cenote.errors import (
    ClientError,
    ConnectFailed,
    InvalidKey,
    PoolClosed,
    ProtocolError,
    ValueTooLarge,
)
from cenote.testing.faults import CloseAfter, Corrupt, Drop, Split, Stall
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.patience import PATIENCE

TIMEOUT = 0.9
LATE = 2.5
"""How long after its deadline a call may end on a busy machine, in seconds."""


def url_of(proxy: FaultProxy) -> str:
    assert isinstance(proxy.address, tuple)
    host, port = proxy.address
    return f"{host}:{port}"


@pytest.fixture
def proxy(server):
    with FaultProxy(server.endpoint) as proxy:
        yield proxy


def read_everything(client) -> list[object]:
    """Use every command once; what a forgiving client answers when nothing can be reached.

    Each is one outage, of however many requests it is made.
    """
    commands = [
        lambda: client.get("k", "default"),
        lambda: client.gets("k"),
        lambda: client.get_many(["k", b"l"]),
        lambda: client.gat("k", 60, "default"),
        lambda: client.gat_many(["k", "l"], 60),
        lambda: client.touch("k", 60),
        lambda: client.set("k", 1),
        lambda: client.set("k", 1, noreply=True),
        lambda: client.add("k", 1),
        lambda: client.replace("k", 1),
        lambda: client.append("k", "x"),
        lambda: client.prepend("k", "x"),
        lambda: client.cas("k", 1, 1),
        lambda: client.set_many({"k": 1, b"l": 2}),
        lambda: client.delete("k"),
        lambda: client.delete_many(["k", "l"]),
        lambda: client.incr("k"),
        lambda: client.decr("k", initial=1),
        client.flush_all,
        client.version,
        client.stats,
    ]
    answers: list[object] = []
    for command in commands:
        answers.append(command())
        assert client.client_stats().outages == len(answers)
    return answers


MISSES: list[object] = [
    "default",
    None,
    {},
    "default",
    {},
    *[False] * 8,
    ["k", b"l"],
    False,
    0,
    None,
    None,
    False,
    {},
    {},
]


def test_with_no_server_a_forgiving_client_misses_and_counts(protocol, make_sync):
    with MemcachedServer() as mortal:
        url = mortal.url
        mortal.stop()
        client = make_sync(url, protocol=protocol, on_error="miss", timeout=TIMEOUT)
        assert read_everything(client) == MISSES
        (health,) = client.nodes().values()
        assert health.state == "down"


def test_with_no_server_every_call_raises_in_time(protocol, make_sync):
    with MemcachedServer() as mortal:
        url = mortal.url
        mortal.stop()
        client = make_sync(url, protocol=protocol, timeout=TIMEOUT)
        began = monotonic()
        with pytest.raises(OUTAGES):
            client.get("k")
        with pytest.raises(OUTAGES):
            client.set("k", 1)
        with pytest.raises(OUTAGES):
            client.set_many({"k": 1})
        with pytest.raises(OUTAGES):
            client.set("k", 1, noreply=True)
        with pytest.raises(OUTAGES):
            client.incr("k", initial=1)
        with pytest.raises(OUTAGES):
            client.version()
        assert monotonic() - began < 6 * TIMEOUT + LATE
        assert client.client_stats().outages == 0


@pytest.mark.parametrize(
    "fault",
    [Stall(), Drop(), Split(1, 0.05), CloseAfter(0), CloseAfter(0, reset=True)],
    ids=["stall", "drop", "byte by byte", "close", "reset"],
)
def test_whatever_the_server_does_a_call_ends_by_its_deadline(proxy, protocol, fault, make_sync):
    """Also when it answers byte by byte, each within a second: the deadline is one and absolute."""
    client = make_sync(
        url_of(proxy), protocol=protocol, timeout=TIMEOUT, on_down="wait", backoff_cap=0.05
    )
    client.set("k", b"x" * 100)
    proxy.replies = fault
    began = monotonic()
    with pytest.raises(OUTAGES):
        client.get("k")
    assert monotonic() - began < TIMEOUT + LATE
    proxy.heal()
    assert client.get("k") == b"x" * 100


def test_the_answer_of_a_call_that_gave_up_is_nobody_elses(proxy, protocol, make_sync):
    client = make_sync(url_of(proxy), protocol=protocol, timeout=TIMEOUT)
    client.set("a", "value of a")
    client.set("b", "value of b")
    proxy.replies = Stall()
    with pytest.raises(OUTAGES):
        client.get("a")
    proxy.heal()
    assert client.get("b") == "value of b"
    assert client.get("a") == "value of a"


def test_a_value_cut_short_is_no_value(proxy, protocol, make_sync):
    client = make_sync(url_of(proxy), protocol=protocol, on_error="miss")
    value = b"x" * 100_000
    client.set("k", value)
    proxy.wait_for(lambda proxy: proxy.delivered == proxy.replied)
    proxy.replies = CloseAfter(proxy.delivered + 5000)
    assert client.get("k", "missed") == "missed"
    proxy.heal()
    assert client.get("k") == value


def test_garbage_is_a_protocol_error_and_the_next_call_is_fine(proxy, protocol, make_sync):
    client = make_sync(url_of(proxy), protocol=protocol)
    client.set("k", "value")
    proxy.wait_for(lambda proxy: proxy.delivered == proxy.replied)
    proxy.replies = Corrupt(proxy.delivered, b"HTTP/1.1")
    with pytest.raises(ProtocolError):
        client.get("k")
    proxy.heal()
    assert client.get("k") == "value"


@pytest.fixture
def mortal():
    with MemcachedServer() as mortal:
        yield mortal


def test_a_restarted_server_is_found_again(mortal, protocol, make_sync):
    """What is idempotent is sent again on a new connection: the caller notices nothing."""
    client = make_sync(mortal.url, protocol=protocol)
    client.set("k", 1)
    mortal.restart()
    assert client.get("k") is None
    assert client.get_or_compute("k", lambda: 2, 60) == 2
    mortal.restart()
    assert client.get_or_compute("k", lambda: 3, 60) == 3
    mortal.restart()
    assert client.set_many({"a": 1, "b": 2}) == []
    assert client.get_many(["a", "b"]) == {"a": 1, "b": 2}


def test_what_is_the_callers_doing_is_raised_even_by_a_forgiving_client(server, protocol):
    with Client(server.url, protocol=protocol, on_error="miss", **PATIENCE) as client:
        with pytest.raises(ValueTooLarge):
            client.set("k", b"x" * 1_100_000)
        with pytest.raises(InvalidKey):
            client.get("a b")
        client.set("k", "text")
        with pytest.raises(ClientError):
            client.incr("k")
        assert client.client_stats().outages == 0
    with pytest.raises(PoolClosed):
        client.get("k")


def test_a_client_that_can_not_open_says_that_there_is_no_server():
    client = Client("127.0.0.1:1", backoff_base=0.001)
    with pytest.raises(ConnectFailed, match=r"127.0.0.1:1 \(Connection refused\); is the server"):
        client.open()
    client.close()


def test_a_forgiving_client_opens_without_a_server():
    with MemcachedServer() as mortal:
        url = mortal.url
        mortal.stop()
        with Client(url, on_error="miss", timeout=TIMEOUT) as client:
            assert client.client_stats().outages == 1
            mortal.start()
            while not client.set("k", 1):
                pass  # until the pool has found the server again
            assert client.get("k") == 1
