"""The histograms of pools and clients for OpenTelemetry: added to what an exporter exports.

Strategy: pools count durations themselves (``histograms=True``), and so do clients that are
measured (``operations.measure``). `WithHistograms` stands between a reader and its exporter and
adds these counts as they are, so that no value is recorded twice. If that fails the rest is
exported all the same. Needs the extra ``opentelemetry``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import cenote
from cenote.pool.stats import NOTHING, Distribution, PoolStats
from cenote.telemetry import operations
from cenote.telemetry.figures import buckets
from cenote.telemetry.missing import needs
from cenote.telemetry.opentelemetry import SCHEMA, SCOPE, Told, client_attributes, pool_attributes
from cenote.telemetry.sources import Source, Sources

with needs("opentelemetry"):
    from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
        MetricExporter,
        MetricExportResult,
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

__all__ = ["WithHistograms"]

_log = logging.getLogger("cenote.telemetry")

_Series: TypeAlias = tuple[str, Told, Distribution]
_POOLS: tuple[tuple[str, str, Callable[[PoolStats], Distribution | None]], ...] = (
    ("wait_time", "How long callers waited for a connection.", lambda stats: stats.wait_times),
    ("use_time", "How long connections were held.", lambda stats: stats.use_times),
    ("create_time", "How long opening a connection took.", lambda stats: stats.create_times),
)
_DURATION = "db.client.operation.duration"
_ABOUT = {f"db.client.connection.{name}": about for name, about, _ in _POOLS} | {
    _DURATION: "How long the client's operations took."
}


class WithHistograms(MetricExporter):
    """An exporter that adds ``db.client.connection.*_time`` and ``db.client.operation.duration``.

    As in ``PeriodicExportingMetricReader(WithHistograms(OTLPMetricExporter()))``.

    Args:
        exporter: What exports; its preferences hold.
        *given: Pools and clients; none: every pool, and every client that is measured.
    """

    def __init__(self, exporter: MetricExporter, *given: Source) -> None:
        temporality = exporter._preferred_temporality  # noqa: SLF001 - readers ask for it so
        super().__init__(temporality, exporter._preferred_aggregation)  # noqa: SLF001 - likewise
        self._exporter = exporter
        self._sources = Sources(*given)
        wanted = (temporality or {}).get(HistogramInstrument)
        self._delta = wanted is AggregationTemporality.DELTA
        self._told: dict[tuple[str, str], tuple[int, Distribution]] = {}
        self._began = time.time_ns()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Export the data and the histograms."""
        try:
            metrics_data = self._extended(metrics_data)
        except Exception:
            _log.exception("the histograms could not be added: the rest is exported")
        return self._exporter.export(metrics_data, timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _extended(self, data: MetricsData) -> MetricsData:
        metrics = self._metrics(time.time_ns())
        if not metrics or not data.resource_metrics:
            return data
        first, *others = data.resource_metrics
        scope = InstrumentationScope(SCOPE, cenote.__version__, SCHEMA)
        scopes = [*first.scope_metrics, ScopeMetrics(scope, metrics, SCHEMA)]
        return MetricsData([ResourceMetrics(first.resource, scopes, first.schema_url), *others])

    def _metrics(self, now: int) -> list[Metric]:
        points: dict[str, list[HistogramDataPoint]] = {}
        for name, told, distribution in self._series():
            point = self._point(name, told, distribution, now)
            if point is not None:
                points.setdefault(name, []).append(point)
        kind = AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        return [Metric(name, _ABOUT[name], "s", Histogram(of, kind)) for name, of in points.items()]

    def _series(self) -> Iterator[_Series]:
        for reading in self._sources.read():
            told = pool_attributes(reading.label, reading.attributes)
            for name, _, read in _POOLS:
                distribution = read(reading.stats)
                if distribution is not None:
                    yield f"db.client.connection.{name}", told, distribution
        for client in self._sources.measured():
            for (operation, error), distribution in operations.durations(client).items():
                told = client_attributes(client) | {"db.operation.name": operation}
                yield _DURATION, told | ({"error.type": error} if error else {}), distribution

    def _point(
        self, name: str, told: Told, distribution: Distribution, now: int
    ) -> HistogramDataPoint | None:
        """Return a point; None where a difference is wanted and there is none."""
        begin = self._began
        if self._delta:
            key = (name, repr(told))
            begin, before = self._told.get(key, (begin, NOTHING))
            self._told[key] = now, distribution
            distribution = _difference(distribution, before)
            if not distribution.count:
                return None
        counted = buckets(distribution)
        return HistogramDataPoint(
            attributes=told,
            start_time_unix_nano=begin,
            time_unix_nano=now,
            count=distribution.count,
            sum=distribution.total,
            bucket_counts=[count for _, count in counted],
            explicit_bounds=[bound for bound, _ in counted[:-1]],
            min=math.inf,  # not known: the SDK's own spelling of it
            max=-math.inf,
        )


def _difference(now: Distribution, before: Distribution) -> Distribution:
    """Return what was added; one that has fewer than before has begun anew."""
    counts = tuple(a - b for a, b in zip(now.counts, before.counts, strict=True))
    return now if min(counts) < 0 else Distribution(counts, max(0.0, now.total - before.total))
