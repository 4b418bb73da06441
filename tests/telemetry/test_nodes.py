"""Servers, as their client sees them, are exported beside their pools."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from cenote import Client, Replicas, Server
from cenote.errors import CenoteError
from cenote.telemetry import Alerts, StatsdPusher
from cenote.telemetry.opentelemetry import instrument
from cenote.telemetry.prometheus import PoolCollector
from cenote.telemetry.snapshot import take
from cenote.telemetry.sources import Sources
from cenote.testing.memcached import MemcachedServer


@pytest.fixture
def servers() -> Iterator[list[MemcachedServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(MemcachedServer()) for _ in range(2)]


class Sink:
    def __init__(self) -> None:
        self.told: dict[str, float] = {}

    def gauge(self, stat: str, value: float) -> None:
        self.told[stat] = value

    def incr(self, stat: str, count: float) -> None:
        self.told[stat] = self.told.get(stat, 0) + count


def told_by(reader: InMemoryMetricReader, name: str, pool: str) -> list[Any]:
    """Return the data points of a pool."""
    data: Any = reader.get_metrics_data()
    return [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if point.attributes["db.client.connection.pool.name"] == pool
    ]


def test_a_server_that_hangs_is_exported_as_down(servers: list[MemcachedServer]) -> None:
    """Its pool is well: connecting to a process that is stopped succeeds."""
    registry, sink, now = CollectorRegistry(), Sink(), [0.0]
    named = [Server.at(each.url, name=f"n{number}") for number, each in enumerate(servers)]
    with Client(named, timeout=0.8, failover="rehash") as client:
        registry.register(PoolCollector(client))
        reader = InMemoryMetricReader()
        instrument(client, meter_provider=MeterProvider(metric_readers=[reader]))
        alerts = Alerts(client, tell=lambda _alert: None, clock=lambda: now[0])

        def states(name: str) -> dict[str, float | None]:
            return {
                state: registry.get_sample_value(
                    "cenote_node_state", {"pool": name, "state": state}
                )
                for state in ("unknown", "up", "suspect", "down")
            }

        client.set_many({f"key:{number}": 1 for number in range(20)})
        assert states("n0") == {"unknown": 0, "up": 1, "suspect": 0, "down": 0}
        servers[0].pause()
        try:
            for number in range(400):
                if client.nodes()["n0"].ejected:
                    break
                try:
                    client.get(f"key:{number % 20}")
                except CenoteError:
                    continue
            assert states("n0")["down"] == 1
            assert states("n1")["up"] == 1
            for now[0] in (0.0, 20.0):
                alerts.check()
            fires = [(alert.rule.name, alert.pool) for alert in alerts.firing()]
            assert ("CenoteNodeDown", "n0") in fires
            assert "CenotePoolDown" not in [name for name, _ in fires]
            StatsdPusher(sink, client).push()
            told = {pool["label"]: pool for pool in take(Sources(client), 0.0, [], [])["pools"]}
            assert [told[name]["state"] for name in ("n0", "n1")] == ["down", "ready"]
            assert told["n0"]["node"]["ejections"] == 1
            assert sink.told["cenote.n0.node_state.down"] == 1
            assert sink.told["cenote.n0.node_ejections"] == 1
            assert sink.told["cenote.n0.node_failures"] >= 1
            (failures,) = told_by(reader, "cenote.node.failures", "n0")
            assert failures.value >= 1
            down = [
                point.attributes["cenote.node.state"]
                for point in told_by(reader, "cenote.node.state", "n0")
                if point.value
            ]
            assert down == ["down"]
        finally:
            servers[0].resume()


def test_every_replica_and_the_gutter_are_exported(servers: list[MemcachedServer]) -> None:
    registry = CollectorRegistry()
    places = [Server.at(each.url, name=f"n{number}") for number, each in enumerate(servers)]
    with Client(Replicas(places)) as client:
        registry.register(PoolCollector(client))
        for name in ("n0", "n1"):
            assert registry.get_sample_value("cenote_pool_up", {"pool": name}) == 1
    with Client(places[:1], failover="gutter", gutter=places[1:]) as client:
        other = CollectorRegistry()
        other.register(PoolCollector(client))
        assert other.get_sample_value("cenote_pool_up", {"pool": "n1"}) == 1


def test_watching_keeps_no_node_alive() -> None:
    node = weakref.ref(Client("127.0.0.1:1")._cluster.topology.members[0].node)
    gc.collect()
    assert node() is None
