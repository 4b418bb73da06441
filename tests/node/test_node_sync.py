"""A node from threads: what it retries, what it destroys, and what it keeps."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from time import monotonic

import pytest

from cenote.connection import OPEN, Access, UnixAddress
from cenote.errors import (
    ClientError,
    ConnectFailed,
    ConnectionLost,
    OperationTimeout,
    PoolClosed,
)
from cenote.node.sync import Node, ServerConnector
from cenote.node.witness_sync import Witness
from cenote.protocol import STORED, get, incr, meta_set, quiet, store
from cenote.testing.faults import Stall
from cenote.testing.proxy import FaultProxy
from tests.node.worlds import TRUSTING, address_of, node_behind, soon


def put(node: Node, key: bytes, value: bytes) -> None:
    assert node.request(store("set", key, value, 0, 0), soon()) is STORED


def test_a_request_whose_idle_connection_was_closed_is_sent_again(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        put(node, b"again", b"v")
        proxy.hang_up()
        assert node.request(get(b"again"), soon()) == (b"v", 0, 0)
        assert node.health().retries == 1
        assert node.pool.stats().created == 2


def test_an_increment_is_not_sent_again(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        put(node, b"count", b"1")
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            node.request(incr(b"count", 1), soon())
        assert node.request(get(b"count"), soon()) == (b"1", 0, 0)
        assert node.health().retries == 0


def test_a_connection_that_ends_in_its_first_use_is_an_error(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy, replace(TRUSTING, min_size=1))) as node:
        node.open(5.0)
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            node.request(get(b"k"), soon())


def test_one_ended_connection_condemns_its_siblings(proxy: FaultProxy) -> None:
    """Else each of them would cost a caller its one retry."""
    with closing(node_behind(proxy)) as node:
        with node.lease(soon()), node.lease(soon()), node.lease(soon()):
            assert node.pool.stats().used == 3
        put(node, b"k", b"v")
        proxy.hang_up()
        assert node.request(get(b"k"), soon()) == (b"v", 0, 0)
        assert node.pool.stats().generation == 1
        assert node.request(get(b"k"), soon()) == (b"v", 0, 0)
        assert node.health().retries == 1


def test_an_error_reply_costs_no_connection(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        put(node, b"word", b"x")
        with pytest.raises(ClientError):
            node.request(incr(b"word", 1), soon())
        assert node.request(get(b"word"), soon()) == (b"x", 0, 0)
        assert node.pool.stats().created == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # that is the point
def test_a_fork_while_another_thread_waits_for_its_reply_disturbs_nobody(
    proxy: FaultProxy,
) -> None:
    with closing(node_behind(proxy)) as node:
        put(node, b"k", b"v")
        proxy.replies = Stall()
        arrived = proxy.requested
        with ThreadPoolExecutor(1) as threads:
            reply = threads.submit(node.request, get(b"k"), soon())
            proxy.wait_for(lambda seen: seen.requested > arrived)
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            proxy.heal()
            assert reply.result() == (b"v", 0, 0)


def test_a_request_that_times_out_costs_its_connection_and_no_other(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        put(node, b"k", b"v")
        proxy.replies = Stall()
        began = monotonic()
        with pytest.raises(OperationTimeout):
            node.request(get(b"k"), began + 0.1)
        assert monotonic() - began < 2.5  # what a loaded machine may add
        proxy.heal()
        assert node.request(get(b"k"), soon()) == (b"v", 0, 0)
        stats = node.pool.stats()
        assert (stats.closed["error"], stats.generation) == (1, 0)


def test_a_posted_request_is_carried_out(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        node.post(quiet(meta_set(b"posted", b"v")), soon())
        assert node.request(get(b"posted"), soon()) == (b"v", 0, 0)
        assert node.pool.stats().created == 1


def test_traits_are_asked_for_once(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        traits = node.traits(soon())
        assert traits.meta
        assert node.traits(0.0) is traits


def test_health_names_the_last_error_until_a_connect_succeeds(proxy: FaultProxy) -> None:
    with closing(node_behind(proxy)) as node:
        assert node.health().state == "unknown"
        proxy.stop()
        with pytest.raises((ConnectFailed, TimeoutError)):
            node.request(get(b"k"), monotonic() + 0.5)
        health = node.health()
        assert (health.state, health.connections) == ("down", 0)
        assert "refused" in str(health.last_error).lower()
        proxy.start()
        put(node, b"k", b"v")
        assert (node.health().state, node.health().last_error) == ("up", None)


def test_a_closed_node_stays_closed(proxy: FaultProxy) -> None:
    node = node_behind(proxy)
    put(node, b"k", b"v")
    node.close()
    with pytest.raises(PoolClosed):
        node.request(get(b"k"), soon())
    assert repr(node) == "<Node n>"


@pytest.mark.parametrize("protocol", ["meta", "classic"])
def test_a_ping_is_a_round_trip(proxy: FaultProxy, protocol) -> None:
    with closing(node_behind(proxy)) as node:
        connector = ServerConnector(node._connector._address, Access(protocol=protocol), 5.0)
        connection = connector.connect(5.0)
        connector.ping(connection)
        assert connector.is_alive(connection)
        proxy.hang_up()
        with pytest.raises(ConnectionLost):
            connector.ping(connection)
        connector.abort(connection)
        assert connection.closed


class Interrupted(Witness):
    """What a user's callback raises comes out of here."""

    def connected(self) -> None:
        raise KeyboardInterrupt


def test_a_connection_whose_witness_is_interrupted_is_closed(proxy: FaultProxy) -> None:
    connector = ServerConnector(address_of(proxy), OPEN, 5.0)
    connector.witness = Interrupted()
    with pytest.raises(KeyboardInterrupt) as caught:
        connector.connect(5.0)
    proxy.wait_for(lambda seen: seen.accepted == 1 and not seen.connections)
    assert caught.tb  # has kept the connection from being collected


def test_a_connector_remembers_why_it_could_not_connect(tmp_path) -> None:
    connector = ServerConnector(UnixAddress(str(tmp_path / "nobody")), OPEN, 1.0)
    with pytest.raises(OSError, match="nobody"):
        connector.connect(1.0)
    assert "nobody" in str(connector.last_error)
