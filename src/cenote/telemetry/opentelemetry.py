"""Pools and clients for OpenTelemetry, by its semantic conventions 1.44 for databases.

Strategy: nothing is recorded while a pool works. Its counters are read by observable instruments
when a reader collects. OpenTelemetry has no observable histogram, and recording each value with its
SDK would take longer than a lease: so `WithHistograms`, put around an exporter, adds the histograms
that pools and clients keep themselves to what it exports. Spans are made for clients that are asked
to, and bear no keys unless that is asked for too. Needs the extra ``opentelemetry``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import cenote
from cenote.client.keys import AnyKey
from cenote.node.health import Condition
from cenote.pool import registry
from cenote.pool.registry import Attributes
from cenote.pool.stats import PoolStats
from cenote.telemetry import operations
from cenote.telemetry.figures import NODE_FIGURES, Figure
from cenote.telemetry.missing import needs
from cenote.telemetry.operations import AnyClient, name_of
from cenote.telemetry.sources import Source, Sources

with needs("opentelemetry"):
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

__all__ = ["Instrumentation", "instrument", "trace_client"]

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
SCOPE = "cenote"

Told: TypeAlias = dict[str, str | int]
_log = logging.getLogger("cenote.telemetry")


class Instrumentation:
    """Instruments that observe pools until it is closed; see `instrument`."""

    def __init__(self, sources: Sources, meter: Meter) -> None:
        self._sources: Sources | None = sources
        ups, counts = meter.create_observable_up_down_counter, meter.create_observable_counter
        for make, name, unit, about, read in (
            (ups, "count", "{connection}", "Connections in the state.", _states),
            (ups, "idle.max", "{connection}", "Idle connections at most.", _limit),
            (ups, "idle.min", "{connection}", "Idle connections at least.", _least),
            (ups, "max", "{connection}", "Connections at most.", _limit),
            (ups, "pending_requests", "{request}", "Callers that wait.", _waiting),
            (counts, "timeouts", "{timeout}", "Callers that waited in vain.", _timeouts),
        ):
            make(f"db.client.connection.{name}", [self._observer(read)], unit, about)
        for make, told in (
            (ups if figure.kind == "gauge" else counts, figure) for figure in NODE_FIGURES
        ):  # there is no convention for servers: the names are ours, the pattern is that of others
            name = told.name.replace("_", ".")
            make(name, [self._watcher(told, name)], "1", told.about)

    def close(self) -> None:
        """Observe nothing any more; OpenTelemetry keeps the instruments. Safe to call again."""
        self._sources = None

    def _observer(
        self, read: Callable[[PoolStats], Iterable[tuple[Told, int]]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> list[Observation]:
            sources = self._sources
            return [
                Observation(value, pool_attributes(reading.label, reading.attributes) | more)
                for reading in (() if sources is None else sources.read())
                for more, value in read(reading.stats)
            ]

        return observe

    def _watcher(
        self, figure: Figure[Condition], name: str
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> list[Observation]:
            sources = self._sources
            return [
                Observation(
                    int(value),
                    pool_attributes(reading.label, reading.attributes)
                    | ({name: key} if key else {}),
                )
                for reading in (() if sources is None else sources.read())
                if reading.node is not None
                for key, value in figure.read(reading.node).items()
            ]

        return observe


def _states(stats: PoolStats) -> list[tuple[Told, int]]:
    state = "db.client.connection.state"
    return [({state: "idle"}, stats.idle), ({state: "used"}, stats.used)]


def _limit(stats: PoolStats) -> list[tuple[Told, int]]:
    return [({}, stats.max_size)]


def _least(stats: PoolStats) -> list[tuple[Told, int]]:
    return [({}, stats.min_size)]


def _waiting(stats: PoolStats) -> list[tuple[Told, int]]:
    return [({}, stats.waiting)]


def _timeouts(stats: PoolStats) -> list[tuple[Told, int]]:
    return [({}, stats.timeouts)]


def instrument(*given: Source, meter_provider: MeterProvider | None = None) -> Instrumentation:
    """Have the figures of pools collected as ``db.client.connection.*``; costs a lease nothing.

    For histograms put `cenote.telemetry.opentelemetry_sdk.WithHistograms` around the exporter.

    Args:
        *given: Pools and clients; none: every pool of the process, also those yet to be made.
        meter_provider: By default the global one.

    Returns:
        What ends it, by ``close``.

    Raises:
        ConfigurationError: What is given is neither a pool nor a client.
    """
    sources = Sources(*given)
    meter = metrics.get_meter(SCOPE, cenote.__version__, meter_provider, SCHEMA)
    return Instrumentation(sources, meter)


def pool_attributes(label: str, attributes: Attributes) -> Told:
    """Return what a pool's series are told apart by."""
    return {"db.client.connection.pool.name": label, **attributes}


def client_attributes(client: AnyClient) -> Told:
    """Return what a client's series have in common; of several servers none can be named."""
    members = client._cluster.topology.members  # noqa: SLF001 - its figures are told by its servers
    return (
        dict(registry.attributes_of(members[0].node.pool))
        if len(members) == 1
        else {"db.system.name": "memcached"}
    )


# Spans.


def trace_client(
    client: AnyClient, *, tracer_provider: TracerProvider | None = None, keys: bool = False
) -> None:
    """Make a CLIENT span for each operation of a client, from now on.

    ``cenote.telemetry.operations.release`` ends it.

    Args:
        client: Whose operations.
        tracer_provider: By default the global one.
        keys: Put the keys on the spans (``cenote.keys``). They may be secrets, and are many.

    Raises:
        ConfigurationError: It is no client.
    """
    tracer = trace.get_tracer(SCOPE, cenote.__version__, tracer_provider, SCHEMA)
    operations.trace(client, _Spans(tracer, client_attributes(client), keys=keys))


class _Spans:
    """Makes a span around an operation; what goes wrong with the span is not the operation's."""

    def __init__(self, tracer: Tracer, attributes: Told, *, keys: bool) -> None:
        self._tracer = tracer
        self._attributes = attributes
        self._keys = keys
        place, port = attributes.get("server.address", ""), attributes.get("server.port")
        self._target = f" {place}:{port}" if port else f" {place}" if place else ""

    @contextmanager
    def __call__(self, operation: str, args: tuple[object, ...], /) -> Iterator[None]:
        span = self._begun(operation, args)
        if span is None:
            yield
            return
        token = context.attach(trace.set_span_in_context(span))
        try:
            yield
        except BaseException as error:
            _failed(span, error)
            raise
        finally:
            context.detach(token)
            _ended(span)

    def _begun(self, operation: str, args: tuple[object, ...]) -> Span | None:
        told: dict[str, Any] = {**self._attributes, "db.operation.name": operation}
        several = operation.endswith("_many")
        try:
            if several and args and isinstance(args[0], Collection) and len(args[0]) > 1:
                told["db.operation.batch.size"] = len(args[0])
            if self._keys:
                told["cenote.keys"] = _keys(args[0] if args else (), several=several)
            name = f"{operation}{self._target}"
            return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=told)
        except Exception:
            _log.exception("no span could be made for %s", operation)
            return None


def _keys(named: Any, *, several: bool) -> Sequence[str]:
    keys: Iterable[AnyKey] = named if several and isinstance(named, Collection) else (named,)
    return [key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key) for key in keys]


def _failed(span: Span, error: BaseException) -> None:
    with suppress(Exception):
        span.set_attribute("error.type", name_of(error))
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, str(error)))


def _ended(span: Span) -> None:
    try:
        span.end()
    except Exception:
        _log.exception("a span could not be ended")
