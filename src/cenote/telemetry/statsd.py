"""Pools for statsd: pushes their figures into a client that you have.

Strategy: any object with ``gauge(name, value)`` and ``incr(name, count)`` will do, as the usual
clients have them. statsd wants differences of counters: they are taken from one push to the next,
and a push that the sink broke off is made up for by the next. ``push`` is called by you, or every
so often by a thread of its own. statsd has no labels: a figure's label is the last part of a name.
"""

from __future__ import annotations

import re
from threading import Lock
from typing import Protocol

from cenote.errors import ConfigurationError
from cenote.telemetry.figures import FIGURES, NODE_FIGURES, Figure, S
from cenote.telemetry.periodic import Periodic
from cenote.telemetry.sources import Source, Sources

__all__ = ["Sink", "StatsdPusher"]

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class Sink(Protocol):
    """What a statsd client must have; it should not block for long."""

    def gauge(self, stat: str, value: float, /) -> object:
        """Set a gauge."""
        ...

    def incr(self, stat: str, count: float, /) -> object:
        """Add to a counter."""
        ...


class StatsdPusher:
    """Pushes the figures of pools; may be used from any thread.

    Args:
        sink: A statsd client.
        *given: Pools and clients; none: every pool of the process.
        prefix: Put before every name, as in ``prefix.pool.leases``.

    Raises:
        ConfigurationError: The sink is no statsd client, or what was given neither pool nor client.
    """

    def __init__(self, sink: Sink, *given: Source, prefix: str = "cenote") -> None:
        if not all(callable(getattr(sink, name, None)) for name in ("gauge", "incr")):
            raise ConfigurationError(
                f"{sink!r} is no statsd client: it needs gauge(name, value) and incr(name, count)"
            )
        self._sink = sink
        self._sources = Sources(*given)
        self._prefix = prefix
        self._told: dict[str, float] = {}
        self._lock = Lock()

    def push(self) -> None:
        """Push every figure once; what the sink raises is passed on."""
        with self._lock:
            for reading in self._sources.read():
                for figure in FIGURES:
                    self._push(reading.label, figure, reading.stats)
                if reading.node is not None:
                    for told in NODE_FIGURES:
                        self._push(reading.label, told, reading.node)

    def every(self, seconds: float = 10.0) -> Periodic:
        """Push so often, in a thread of its own, until the answer is closed; errors are logged."""
        return Periodic(self.push, seconds, "cenote-statsd")

    def _push(self, label: str, figure: Figure[S], stats: S) -> None:
        pool = _UNFIT.sub("_", label)
        short = figure.name.removeprefix("cenote_").removeprefix("pool_")
        for key, value in figure.read(stats).items():
            name = ".".join(part for part in (self._prefix, pool, short, key) if part)
            if figure.kind == "gauge":
                self._sink.gauge(name, value)
            elif value != self._told.get(name, 0.0):
                self._sink.incr(name, _grown(value, self._told.get(name, 0.0)))
                self._told[name] = value


def _grown(now: float, before: float) -> float:
    """Return how much a counter grew; one that is less than before has begun anew."""
    return now - before if now >= before else now
