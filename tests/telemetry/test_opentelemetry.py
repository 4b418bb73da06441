"""What OpenTelemetry is told: by its own SDK, and by its own names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import db_attributes as incubating
from opentelemetry.semconv._incubating.metrics import db_metrics
from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind, StatusCode

from cenote import AsyncClient, Client, InvalidKey, Pool, PoolTimeout
from cenote.telemetry import operations
from cenote.telemetry.opentelemetry import SCHEMA, instrument, trace_client
from cenote.telemetry.opentelemetry_sdk import WithHistograms
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE
from tests.telemetry.conftest import Thing

NAME = incubating.DB_CLIENT_CONNECTION_POOL_NAME
STATE = incubating.DB_CLIENT_CONNECTION_STATE
Told = dict[str, list[tuple[dict[str, Any], Any]]]


def told(data: MetricsData | None) -> Told:
    """Return (attributes, point) of every metric."""
    assert data is not None
    return {
        metric.name: [(dict(point.attributes or {}), point) for point in metric.data.data_points]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def values(data: MetricsData | None) -> dict[str, dict[tuple[str, str], float]]:
    """Return the numbers of every metric, by pool and state."""
    return {
        name: {
            (attributes[NAME], attributes.get(STATE, "")): point.value
            for attributes, point in points
        }
        for name, points in told(data).items()
    }


def test_connections_are_told_by_the_conventions(pool: Pool[Thing]) -> None:
    reader = InMemoryMetricReader()
    instrument(pool, meter_provider=MeterProvider([reader]))
    with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
        pool.acquire()
    with pool.connection(5):
        found = values(reader.get_metrics_data())
    assert found == {
        db_metrics.DB_CLIENT_CONNECTION_COUNT: {("things", "idle"): 1, ("things", "used"): 1},
        db_metrics.DB_CLIENT_CONNECTION_IDLE_MAX: {("things", ""): 2},
        db_metrics.DB_CLIENT_CONNECTION_IDLE_MIN: {("things", ""): 0},
        db_metrics.DB_CLIENT_CONNECTION_MAX: {("things", ""): 2},
        db_metrics.DB_CLIENT_CONNECTION_PENDING_REQUESTS: {("things", ""): 0},
        db_metrics.DB_CLIENT_CONNECTION_TIMEOUTS: {("things", ""): 1},
    }


def test_the_instruments_are_those_of_the_conventions(pool: Pool[Thing]) -> None:
    """Each is made anew with the conventions' own package, and must come out alike."""
    reader, conventional = InMemoryMetricReader(), InMemoryMetricReader()
    instrument(pool, meter_provider=MeterProvider([reader]))
    meter = MeterProvider([conventional]).get_meter("theirs")
    for make in (
        db_metrics.create_db_client_connection_count,
        db_metrics.create_db_client_connection_idle_max,
        db_metrics.create_db_client_connection_idle_min,
        db_metrics.create_db_client_connection_max,
        db_metrics.create_db_client_connection_pending_requests,
        db_metrics.create_db_client_connection_timeouts,
    ):
        make(meter).add(1)

    def shapes(data: MetricsData | None) -> set[tuple[object, ...]]:
        assert data is not None
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        return {
            (metric.name, metric.unit, type(metric.data), getattr(metric.data, "is_monotonic", 0))
            for metric in scope.metrics
        }

    ours = reader.get_metrics_data()
    assert shapes(ours) == shapes(conventional.get_metrics_data())
    assert ours is not None
    assert ours.resource_metrics[0].scope_metrics[0].schema_url == Schemas.V1_44_0.value == SCHEMA


def test_a_pool_that_is_closed_or_not_instrumented_any_more_is_told_no_more(
    pool: Pool[Thing],
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrumentation = instrument(meter_provider=provider)
    with Pool(Thing, name="brief"):
        counted = values(reader.get_metrics_data())[db_metrics.DB_CLIENT_CONNECTION_MAX]
        assert {"things", "brief"} <= {name for name, _ in counted}
    after = values(reader.get_metrics_data())[db_metrics.DB_CLIENT_CONNECTION_MAX]
    assert "brief" not in {name for name, _ in after}
    instrumentation.close()
    instrumentation.close()
    data = reader.get_metrics_data()
    assert data is None or not any(points for points in told(data).values())


def test_the_pool_of_a_server_says_which(memcached_server: MemcachedServer) -> None:
    reader = InMemoryMetricReader()
    with Client(memcached_server.url, **PATIENCE) as client:
        instrument(client, meter_provider=MeterProvider([reader]))
        (attributes, _), *_ = told(reader.get_metrics_data())["db.client.connection.max"]
    assert attributes[db_attributes.DB_SYSTEM_NAME] == "memcached"
    assert attributes[server_attributes.SERVER_ADDRESS] in memcached_server.url


class Kept(MetricExporter):
    """Keeps what it is to export."""

    def __init__(self, temporality: AggregationTemporality) -> None:
        super().__init__(preferred_temporality={Histogram: temporality})
        self.data: list[MetricsData] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self.data.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass


class Exporting:
    """A provider that exports with histograms when it is told to."""

    def __init__(self, *given: Any, temporality: AggregationTemporality) -> None:
        self._kept = Kept(temporality)
        reader = PeriodicExportingMetricReader(
            WithHistograms(self._kept, *given), export_interval_millis=float("inf")
        )
        self._provider = MeterProvider([reader], shutdown_on_exit=False)
        instrument(*given, meter_provider=self._provider)

    def export(self) -> Told:
        assert self._provider.force_flush()
        return told(self._kept.data[-1])

    def close(self) -> None:
        self._provider.shutdown()


@pytest.fixture(params=[AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
def temporality(request: pytest.FixtureRequest) -> AggregationTemporality:
    found: AggregationTemporality = request.param
    return found


@pytest.fixture
def exporting(pool: Pool[Thing], temporality: AggregationTemporality) -> Iterator[Exporting]:
    made = Exporting(pool, temporality=temporality)
    yield made
    made.close()


def point(found: Told, name: str) -> HistogramDataPoint:
    ((_, made),) = found[name]
    assert isinstance(made, HistogramDataPoint)
    return made


def test_the_pools_own_histograms_are_exported(
    pool: Pool[Thing], exporting: Exporting, temporality: AggregationTemporality
) -> None:
    for _ in range(3):
        with pool.connection(5):
            pass
    found = exporting.export()
    for name, count in (("wait_time", 3), ("use_time", 3), ("create_time", 1)):
        made = point(found, f"db.client.connection.{name}")
        assert made.count == sum(made.bucket_counts) == count
        assert len(made.bucket_counts) == len(made.explicit_bounds) + 1
        assert made.explicit_bounds[0] == 50e-6
        assert list(made.explicit_bounds) == sorted(made.explicit_bounds)
    with pool.connection(5):
        pass
    again = point(exporting.export(), "db.client.connection.use_time")
    delta = temporality is AggregationTemporality.DELTA
    assert again.count == (1 if delta else 4)
    assert (again.start_time_unix_nano == made.start_time_unix_nano) is not delta


def test_names_of_histograms_are_those_of_the_conventions() -> None:
    from cenote.telemetry.opentelemetry_sdk import _ABOUT

    assert set(_ABOUT) == {
        db_metrics.DB_CLIENT_CONNECTION_WAIT_TIME,
        db_metrics.DB_CLIENT_CONNECTION_USE_TIME,
        db_metrics.DB_CLIENT_CONNECTION_CREATE_TIME,
        "db.client.operation.duration",
    }


def test_operations_are_exported_by_name_and_error(memcached_server: MemcachedServer) -> None:
    with Client(memcached_server.url, **PATIENCE) as client:
        operations.measure(client)
        exporting = Exporting(client, temporality=AggregationTemporality.CUMULATIVE)
        client.get("a")
        with pytest.raises(InvalidKey):
            client.get("two words")
        points = exporting.export()["db.client.operation.duration"]
        exporting.close()
    by_error = {
        attributes.get(error_attributes.ERROR_TYPE): (attributes, made.count)
        for attributes, made in points
    }
    assert {error: count for error, (_, count) in by_error.items()} == {
        None: 1,
        "cenote.errors.InvalidKey": 1,
    }
    good, _ = by_error[None]
    assert good[db_attributes.DB_OPERATION_NAME] == "get"
    assert good[db_attributes.DB_SYSTEM_NAME] == "memcached"
    assert good[server_attributes.SERVER_ADDRESS] in memcached_server.url


def test_if_histograms_can_not_be_added_the_rest_is_exported(
    pool: Pool[Thing], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exporting = Exporting(pool, temporality=AggregationTemporality.CUMULATIVE)
    monkeypatch.setattr(WithHistograms, "_metrics", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "cenote.telemetry"):
        assert "db.client.connection.max" in exporting.export()
    assert "the histograms could not be added" in caplog.text
    exporting.close()


# Spans.


class Traced:
    """A provider that keeps its spans."""

    def __init__(self) -> None:
        self.kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.kept))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.kept.get_finished_spans()


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_an_operation_is_a_client_span_without_its_key(
    traced: Traced, memcached_server: MemcachedServer
) -> None:
    with Client(memcached_server.url, **PATIENCE) as client:
        trace_client(client, tracer_provider=traced.provider)
        client.set("secret-key", 1)
        client.get_many(["secret-key", "another"])
        operations.release(client)
        client.get("secret-key")
    first, second = traced.spans
    attributes = dict(first.attributes or {})
    assert first.kind is SpanKind.CLIENT
    assert first.name.startswith("set ")
    assert attributes[db_attributes.DB_OPERATION_NAME] == "set"
    assert attributes[db_attributes.DB_SYSTEM_NAME] == "memcached"
    assert (second.attributes or {})[db_attributes.DB_OPERATION_BATCH_SIZE] == 2
    assert "secret-key" not in first.to_json() + second.to_json()


def test_keys_are_told_if_asked_for(traced: Traced) -> None:
    with Client("local://", **PATIENCE) as client:
        trace_client(client, tracer_provider=traced.provider, keys=True)
        client.get(b"one")
        client.get_many(["two", "three"])
    keys = [(span.attributes or {})["cenote.keys"] for span in traced.spans]
    assert keys == [("one",), ("two", "three")]


def test_keys_that_are_read_once_are_left_to_the_client(traced: Traced) -> None:
    with Client("local://", **PATIENCE) as client:
        client.set("one", 1)
        trace_client(client, tracer_provider=traced.provider, keys=True)
        assert client.get_many(key for key in ("one", "two")) == {"one": 1}


async def test_an_error_is_the_spans_status_and_spans_are_in_the_callers(traced: Traced) -> None:
    async with AsyncClient("local://", **PATIENCE) as client:
        trace_client(client, tracer_provider=traced.provider)
        with (
            traced.provider.get_tracer("mine").start_as_current_span("request"),
            pytest.raises(InvalidKey),
        ):
            await client.get("two words")
    span, request = traced.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})[error_attributes.ERROR_TYPE] == "cenote.errors.InvalidKey"
    assert [event.name for event in span.events] == ["exception"]
    assert span.parent is not None
    assert request.context is not None
    assert span.parent.span_id == request.context.span_id


class Broken(SpanProcessor):
    """Raises whenever it is asked."""

    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError("the tracer broke")

    def on_end(self, span: object) -> None:
        raise RuntimeError("the tracer broke")


class BrokenAtTheEnd(Broken):
    def on_start(self, span: object, parent_context: object = None) -> None:
        pass


@pytest.mark.parametrize("processor", [Broken, BrokenAtTheEnd])
def test_a_tracer_that_raises_is_logged_and_the_operation_goes_on(
    processor: type[Broken], caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor())
    with (
        Client("local://", **PATIENCE) as client,
        caplog.at_level(logging.ERROR, "cenote.telemetry"),
    ):
        trace_client(client, tracer_provider=provider)
        assert client.set("a", 1)
        assert client.get("a") == 1
    assert "the tracer broke" in caplog.text
