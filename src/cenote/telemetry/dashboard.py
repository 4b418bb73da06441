"""A Grafana dashboard of pools: the four golden signals, as JSON.

Strategy: panels are data, one row of them for each signal, and every series they name is one of
``figures.py`` (a test sees to it). Only what Grafana needs to draw them is written; the rest are
Grafana's defaults, so that the file stays readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cenote.telemetry import signals

PER = "[$__rate_interval]"
CHOSEN = 'pool=~"$pool"'
_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart.

    Attributes:
        title: Over it.
        about: What it shows and when to worry.
        unit: In Grafana's terms.
        lines: PromQL and legend of each series.
        stacked: Whether the lines stand on each other.
        top: The upper end of the axis; None: as high as need be.
    """

    title: str
    about: str
    unit: Literal["s", "ops", "short", "percentunit"]
    lines: tuple[tuple[str, str], ...]
    stacked: bool = False
    top: float | None = None


def _rate(name: str, labels: str = "") -> str:
    selector = f"{CHOSEN},{labels}" if labels else CHOSEN
    return f"rate({name}{{{selector}}}{PER})"


def _quantiles(timing: str) -> tuple[tuple[str, str], ...]:
    spread = f"sum by (pool, le) ({_rate(f'{timing}_bucket')})"
    return tuple(
        (f"histogram_quantile({share}, {spread})", f"{{{{pool}}}} {name}")
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


_WAITED = f"{_rate('cenote_pool_queued_seconds_total')} / {_rate('cenote_pool_queued_total')}"
_OPENING = _rate("cenote_pool_connecting_seconds_total")
_OPENED = f"{_OPENING} / {_rate('cenote_pool_connects_total')}"
_USED = (
    f'sum by (pool) (cenote_pool_connections{{{CHOSEN},state="used"}})'
    f" / sum by (pool) (cenote_pool_max_connections{{{CHOSEN}}})"
)
_REASONS = "|".join(signals.FAULTS)
_FAULTS = _rate("cenote_pool_closed_total", f'reason=~"{_REASONS}"')
_ENDS = _rate("cenote_pool_closed_total", f'reason!~"{_REASONS}"')

ROWS: dict[str, tuple[Panel, ...]] = {
    "Latency": (
        Panel("Wait for a connection", "The mean of those who had to.",
              "s", ((_WAITED, "{{pool}}"),)),
        Panel("Wait, all callers", "Needs histograms=True.",
              "s", _quantiles("cenote_pool_wait_duration_seconds")),
        Panel("Hold", "How long a connection is held. Needs histograms=True.",
              "s", _quantiles("cenote_pool_use_duration_seconds")),
        Panel("Opening a connection", "The mean.", "s", ((_OPENED, "{{pool}}"),)),
    ),
    "Traffic": (
        Panel("Leases", "Connections handed out a second.",
              "ops", ((_rate("cenote_pool_leases_total"), "{{pool}}"),)),
        Panel("Callers that waited", "A second.",
              "ops", ((_rate("cenote_pool_queued_total"), "{{pool}}"),)),
        Panel("Connections opened", "A pool that opens many hardly pools.",
              "ops", ((_rate("cenote_pool_connects_total"), "{{pool}}"),)),
    ),
    "Errors": (
        Panel("Callers that left without a connection", "By reason.",
              "ops", ((_rate("cenote_pool_refusals_total"), "{{pool}} {{reason}}"),)),
        Panel("Connections that failed", "Could not be opened, or broke.",
              "ops", ((_rate("cenote_pool_connect_errors_total"), "{{pool}} connect"),
                      (_FAULTS, "{{pool}} {{reason}}"))),
        Panel("Leaks", "Leases held too long, or dropped.",
              "ops", ((_rate("cenote_pool_leaks_total"), "{{pool}} held"),
                      (_rate("cenote_pool_lost_total"), "{{pool}} dropped"))),
        Panel("Servers in trouble", "1 while a server is down, or suspect.",
              "short", ((f'cenote_node_state{{{CHOSEN},state=~"down|suspect"}}',
                         "{{pool}} {{state}}"),), top=1),
        Panel("Requests not answered", "By servers, and how often those were ejected.",
              "ops", ((_rate("cenote_node_failures_total"), "{{pool}}"),
                      (_rate("cenote_node_ejections_total"), "{{pool}} ejected"))),
        Panel("Up", "0 while connecting keeps failing.",
              "short", ((f"cenote_pool_up{{{CHOSEN}}}", "{{pool}}"),), top=1),
    ),
    "Saturation": (
        Panel("Utilisation", "The share in use. Above 80 % callers begin to wait.",
              "percentunit", ((_USED, "{{pool}}"),), top=1),
        Panel("Connections", "By what they are doing.",
              "short", ((f"sum by (state) (cenote_pool_connections{{{CHOSEN}}})", "{{state}}"),
                        ), stacked=True),
        Panel("Callers waiting", "Now.",
              "short", ((f"cenote_pool_waiting{{{CHOSEN}}}", "{{pool}}"),)),
        Panel("Connections closed as planned", "By reason.",
              "ops", ((_ENDS, "{{pool}} {{reason}}"),)),
    ),
}  # fmt: skip


def render() -> str:
    """Return the dashboard; import it into Grafana 9 or later."""
    return json.dumps(_dashboard(), indent=2) + "\n"


def _dashboard() -> dict[str, Any]:
    return {
        "title": "Connection pools (cenote)",
        "uid": "cenote-pools",
        "tags": ["cenote"],
        "schemaVersion": 37,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "pool",
        "label": "Pool",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(cenote_pool_up, pool)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    top = 0
    for number, (signal, panels) in enumerate(ROWS.items()):
        place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
        yield {"id": 100 * (number + 1), "type": "row", "title": signal, "gridPos": place}
        width = _WIDTH // len(panels)
        for column, panel in enumerate(panels):
            place = {"x": column * width, "y": top + 1, "w": width, "h": _HEIGHT}
            yield {"id": 100 * (number + 1) + column + 1, "gridPos": place, **_chart(panel)}
        top += _HEIGHT + 1


def _chart(panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.top is not None:
        axis["max"] = panel.top
    axis["custom"] = {
        "fillOpacity": 25 if panel.stacked else 5,
        "stacking": {"mode": "normal" if panel.stacked else "none"},
    }
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": axis, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(panel.lines)
        ],
    }
