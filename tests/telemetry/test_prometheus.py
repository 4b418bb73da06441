"""What Prometheus is told."""

from __future__ import annotations

import math
import threading
from dataclasses import fields

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cenote import Client, ClientStats, Pool, PoolTimeout
from cenote.telemetry import operations
from cenote.telemetry.figures import CLIENT_FIGURES, FIGURES, NODE_FIGURES, TIMINGS
from cenote.telemetry.prometheus import PoolCollector, exposition
from cenote.telemetry.sources import Sources
from tests.patience import PATIENCE
from tests.telemetry.conftest import Thing


def collected(*given: Pool[Thing] | Client) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PoolCollector(*given))
    return registry


def test_gauges_tell_what_every_connection_is_doing(pool: Pool[Thing]) -> None:
    registry = collected(pool)
    with pool.connection(5):
        value = registry.get_sample_value
        labels = {"pool": "things", "state": "used"}
        assert value("cenote_pool_connections", labels) == 1
        assert value("cenote_pool_max_connections", {"pool": "things"}) == 2
        assert value("cenote_pool_up", {"pool": "things"}) == 1
        states = [
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "cenote_pool_connections"
        ]
        assert sum(states) == pool.stats().size


def test_counters_tell_what_has_happened(pool: Pool[Thing]) -> None:
    with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
        pool.acquire()
    value = collected(pool).get_sample_value
    assert value("cenote_pool_leases_total", {"pool": "things"}) == 2
    assert value("cenote_pool_connects_total", {"pool": "things"}) == 2
    refused = {"pool": "things", "reason": "timeout"}
    assert value("cenote_pool_refusals_total", refused) == 1


def test_histograms_have_every_lease_in_a_bucket_and_begin_at_50_us(pool: Pool[Thing]) -> None:
    for _ in range(3):
        with pool.connection(5):
            pass
    (family,) = [
        family
        for family in collected(pool).collect()
        if family.name == "cenote_pool_use_duration_seconds"
    ]
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    bounds = [float(sample.labels["le"]) for sample in buckets]
    assert (bounds[0], bounds[-1]) == (5e-05, math.inf)
    assert bounds == sorted(bounds)
    assert [sample.value for sample in buckets] == sorted(sample.value for sample in buckets)
    assert buckets[-1].value == 3


def test_a_pool_without_histograms_has_none() -> None:
    with Pool(Thing, name="plain") as plain:
        names = {sample.name for family in collected(plain).collect() for sample in family.samples}
    assert not [name for name in names if "duration" in name]


def test_registering_reads_no_pool_and_two_of_a_kind_are_refused(pool: Pool[Thing]) -> None:
    registry = collected(pool)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(PoolCollector(pool))


def test_a_client_tells_its_own_counters_and_how_long_operations_took() -> None:
    with Client("local://", **PATIENCE) as client:
        operations.measure(client)
        client.get("nothing")
        value = collected(client).get_sample_value
        assert value("cenote_client_outages_total", {"client": "local"}) == 0
        asked = {"client": "local", "operation": "get", "error": ""}
        assert value("cenote_client_operation_duration_seconds_count", asked) == 1


def test_all_that_a_client_counts_is_told() -> None:
    counted = ClientStats(**{field.name: 1 for field in fields(ClientStats)})
    assert [figure.read(counted) for figure in CLIENT_FIGURES] == [1] * len(fields(ClientStats))
    assert {figure.name.removeprefix("cenote_client_") for figure in CLIENT_FIGURES} == {
        field.name for field in fields(ClientStats)
    }


def test_the_text_is_prometheus_own_and_every_name_is_in_the_table(pool: Pool[Thing]) -> None:
    text = exposition(Sources(pool)).decode()
    families = list(text_string_to_metric_families(text))
    told = {each.name for table in (FIGURES, NODE_FIGURES, TIMINGS) for each in table}
    assert {family.name for family in families} == told
    assert all(family.documentation.endswith(".") for family in families)


def test_names_are_of_a_kind() -> None:
    """Base units, and no suffix that the libraries add."""
    names = [figure.name for figure in FIGURES]
    names += [timing.name for timing in TIMINGS] + [each.name for each in CLIENT_FIGURES]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.endswith(("_total", "_count", "_sum", "_ms"))]


def test_a_pool_is_scraped_while_it_is_closed_by_another_thread(pool: Pool[Thing]) -> None:
    registry = collected(pool)
    closing = threading.Thread(target=pool.close)
    closing.start()
    for _ in range(20):
        for family in registry.collect():
            assert all(sample.value >= 0 for sample in family.samples)
    closing.join()
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert samples == []
