"""Watching pools from outside: figures, alerts, events, and an endpoint to look in by.

Strategy: everything here reads; nothing of it is on the way of a lease, and what is not used costs
nothing. What needs a library is a module of its own, to be imported by whoever has the extra:
``cenote.telemetry.prometheus``, ``cenote.telemetry.opentelemetry``.
"""

from __future__ import annotations

from cenote.telemetry.alerts import RULES, Alert, Alerts, Rule
from cenote.telemetry.events import Announcer, Event
from cenote.telemetry.logs import LogEvents
from cenote.telemetry.periodic import Periodic
from cenote.telemetry.service import Service, serve
from cenote.telemetry.signals import Signal, Stretch
from cenote.telemetry.statsd import Sink, StatsdPusher

__all__ = [
    "RULES",
    "Alert",
    "Alerts",
    "Announcer",
    "Event",
    "LogEvents",
    "Periodic",
    "Rule",
    "Service",
    "Signal",
    "Sink",
    "StatsdPusher",
    "Stretch",
    "serve",
]
