"""Pools for Prometheus: a collector for the ``prometheus_client`` library.

Strategy: nothing is counted here. Each scrape reads the pools' own counters, so a scrape is all
that it costs. Needs the extra ``prometheus``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf

from cenote.pool.stats import NOTHING, Distribution
from cenote.telemetry.figures import (
    CLIENT_FIGURES,
    FIGURES,
    NODE_FIGURES,
    TIMINGS,
    Figure,
    S,
    Timing,
    buckets,
)
from cenote.telemetry.missing import needs
from cenote.telemetry.operations import AnyClient, durations
from cenote.telemetry.sources import Reading, Source, Sources, name_of

with needs("prometheus"):
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "PoolCollector", "exposition"]

CONTENT_TYPE = CONTENT_TYPE_LATEST


class PoolCollector(Collector):
    """Collects the figures of pools: ``REGISTRY.register(PoolCollector())``.

    Args:
        *given: Pools and clients; none: every pool of the process, also those yet to be made.

    Raises:
        ConfigurationError: One of them is neither.
    """

    def __init__(self, *given: Source) -> None:
        self._sources = Sources(*given)

    def describe(self) -> Iterable[Metric]:
        """Name what is collected, so that registering it reads no pool."""
        return list(_families([]))

    def collect(self) -> Iterator[Metric]:
        """Read the pools."""
        yield from _families(self._sources.read())
        clients = self._sources.clients()
        yield from _operations(self._sources.measured())
        for figure in CLIENT_FIGURES if clients else ():
            family = CounterMetricFamily(figure.name, figure.about, labels=["client"])
            for label, stats in clients.items():
                family.add_metric([label], figure.read(stats))
            yield family


def exposition(sources: Sources) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    collector = PoolCollector()
    collector._sources = sources  # noqa: SLF001 - its own class
    registry.register(collector)
    return generate_latest(registry)


def _families(readings: list[Reading]) -> Iterator[Metric]:
    for figure in FIGURES:
        yield _numbers(figure, [(each.label, each.stats) for each in readings])
    watched = [(each.label, each.node) for each in readings if each.node is not None]
    for told in NODE_FIGURES:
        yield _numbers(told, watched)
    for timing in TIMINGS:
        yield _durations(timing, readings)


def _operations(clients: list[AnyClient]) -> Iterator[Metric]:
    """Tell how long operations took; clients of the same servers are told as one."""
    family = HistogramMetricFamily(
        "cenote_client_operation_duration_seconds",
        "How long operations took, by the class of the error if any.",
        labels=["client", "operation", "error"],
    )
    told: dict[tuple[str, str, str], Distribution] = {}
    for client in clients:
        servers = name_of(client)
        for (operation, error), distribution in durations(client).items():
            key = (servers, operation, error)
            told[key] = told.get(key, NOTHING) + distribution
    for key, distribution in told.items():
        family.add_metric(list(key), _cumulative(distribution), distribution.total)
    if told:
        yield family


def _numbers(figure: Figure[S], readings: list[tuple[str, S]]) -> Metric:
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    labels = ["pool", figure.label] if figure.label else ["pool"]
    family = kind(figure.name, figure.about, labels=labels)
    for label, stats in readings:
        for key, value in figure.read(stats).items():
            family.add_metric([label, key] if figure.label else [label], value)
    return family


def _durations(timing: Timing, readings: list[Reading]) -> Metric:
    family = HistogramMetricFamily(timing.name, timing.about, labels=["pool"])
    for reading in readings:
        distribution = timing.read(reading.stats)
        if distribution is not None:
            family.add_metric([reading.label], _cumulative(distribution), distribution.total)
    return family


def _cumulative(distribution: Distribution) -> list[tuple[str, float]]:
    counted = buckets(distribution)
    sums = accumulate(count for _, count in counted)
    return [
        ("+Inf" if bound == inf else repr(bound), float(total))
        for (bound, _), total in zip(counted, sums, strict=True)
    ]
