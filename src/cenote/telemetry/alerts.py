"""Alerts on pools, judged in the process: rules are data, and what they call is yours.

Strategy: a rule is a signal, a limit and two durations. It fires once the limit has been passed for
``hold`` seconds, and clears once it has not been passed for ``keep`` seconds, so that what hovers
about the limit is told once. ``Judge`` decides and is pure: readings and ``now`` go in, changes
come out. ``Alerts`` reads the pools and calls back, outside its lock. The same rules are written
for Prometheus by ``rule_file.py``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from types import MappingProxyType
from typing import Literal

from cenote.errors import ConfigurationError
from cenote.node.health import Condition
from cenote.pool.sizing import duration_text, number_text
from cenote.pool.stats import PoolStats
from cenote.telemetry import signals
from cenote.telemetry.periodic import Periodic
from cenote.telemetry.signals import WINDOW, Signal, Stretch, Unit
from cenote.telemetry.sources import Source, Sources

Severity = Literal["warning", "critical"]
Change = Literal["fires", "clears"]

_log = logging.getLogger("cenote.telemetry")


@dataclass(frozen=True, slots=True)
class Rule:
    """When to alert; ``dataclasses.replace`` makes one with another limit.

    Attributes:
        name: In CamelCase, as Prometheus' alerts are called.
        signal: What is looked at.
        limit: It fires above this.
        hold: Seconds for which it must have been above.
        keep: Seconds for which it must not have been, to clear.
        severity: How much of a hurry it is.
        says: What is wrong; ``{pool}`` and ``{value}`` are filled in.
        advice: What to do.
    """

    name: str
    signal: Signal
    limit: float
    hold: float
    keep: float
    severity: Severity
    says: str
    advice: str

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigurationError(f"a rule's name is an identifier, not {self.name!r}")
        if self.hold < 0 or self.keep < 0:
            raise ConfigurationError(f"hold and keep of rule {self.name} are seconds >= 0")
        if not isinstance(self.signal, Signal):
            raise ConfigurationError(f"signal={self.signal!r} of rule {self.name} is no Signal")


RULES: tuple[Rule, ...] = (
    Rule("CenotePoolBusy", signals.UTILISATION, 0.8, 300, 120, "warning",
         "{value} of the connections of pool {pool} are in use",
         "Raise max_size, or shorten what is done with a connection: see who holds them longest."),
    Rule("CenotePoolSlow", signals.WAIT, 0.1, 120, 120, "warning",
         "callers of pool {pool} wait {value} for a connection",
         "Raise max_size, or find out why connections are held longer than usual."),
    Rule("CenotePoolExhausted", signals.EXHAUSTION, 0.0, 0, 120, "critical",
         "callers of pool {pool} leave without a connection ({value})",
         "Every connection is out. Raise max_size, fix what holds them, or shed load earlier."),
    Rule("CenotePoolChurns", signals.CHURN, 5.0, 120, 120, "warning",
         "pool {pool} opens {value} connections: it hardly pools",
         "See why they are closed: errors, a server that hangs up, or too short a max_lifetime."),
    Rule("CenotePoolFaults", signals.ERRORS, 0.1, 60, 120, "warning",
         "connections of pool {pool} break or can not be opened ({value})",
         "See the errors of connecting, and the server's own log."),
    Rule("CenotePoolDown", signals.DOWN, 0.5, 15, 15, "critical",
         "pool {pool} is down: connecting keeps failing",
         "The server does not answer. The pool tries again by itself, with growing delays."),
    Rule("CenoteNodeDown", signals.NODE_DOWN, 0.5, 15, 15, "critical",
         "server {pool} is down: it is ejected, or can not be connected to",
         "nodes() says why. It is probed until it answers; failover says who serves its keys."),
    Rule("CenotePoolLeaks", signals.LEAKS, 0.0, 0, 300, "warning",
         "leases of pool {pool} are held too long or dropped ({value})",
         "holders() says who borrowed what where; use with blocks."),
)  # fmt: skip
"""The rules that are shipped."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that fires for a pool, or has cleared.

    Attributes:
        change: What has happened.
        rule: By which rule.
        pool: The pool's label.
        value: The signal, as it was when last above the limit.
        since: When it went above, on the clock of who asked.
    """

    change: Change
    rule: Rule
    pool: str
    value: float
    since: float

    def __str__(self) -> str:
        told = self.rule.says.format(pool=repr(self.pool), value=written(self.value, self.unit))
        return told if self.change == "fires" else f"no longer: {told}"

    @property
    def unit(self) -> Unit:
        """The unit of the value."""
        return self.rule.signal.unit


def written(value: float, unit: Unit) -> str:
    """Write a signal's value with its unit."""
    if unit == "ratio":
        return f"{value:.0%}"
    if unit == "seconds":
        return duration_text(value)
    return f"{number_text(value)}/s" if unit == "rate" else f"{value:g}"


class _Case:
    """One rule and one pool.

    Attributes:
        since: When the limit was passed; None: it is not.
        seen: When that was last so.
        value: The signal then.
        firing: Whether it was told.
    """

    __slots__ = ("firing", "seen", "since", "value")

    def __init__(self) -> None:
        self.since: float | None = None
        self.seen = 0.0
        self.value = 0.0
        self.firing = False

    def judge(self, rule: Rule, value: float | None, now: float) -> Change | None:
        if value is not None and value > rule.limit:
            self.since = now if self.since is None else self.since
            self.seen, self.value = now, value
            if not self.firing and now - self.since >= rule.hold:
                self.firing = True
                return "fires"
            return None
        if self.firing and now - self.seen < rule.keep:
            return None
        cleared = self.firing
        self.since, self.firing = None, False
        return "clears" if cleared else None


class Judge:
    """Decides what fires and what clears; not thread-safe.

    Args:
        rules: What is judged by.

    Raises:
        ConfigurationError: Two rules have one name.
    """

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        self._rules = tuple(rules)
        if len({rule.name for rule in self._rules}) < len(self._rules):
            raise ConfigurationError("two rules have the same name")
        self._history: deque[tuple[float, Mapping[str, PoolStats]]] = deque()
        self._cases: dict[tuple[str, str], _Case] = {}

    def judge(
        self,
        now: float,
        pools: Mapping[str, PoolStats],
        nodes: Mapping[str, Condition] = MappingProxyType({}),
    ) -> list[Alert]:
        """Return what has begun to fire, and what has cleared.

        Args:
            now: Monotonic seconds; never less than before.
            pools: The pools by label. What fired for one that has gone clears.
            nodes: How the servers do that some of them connect to.
        """
        self._history.append((now, pools))
        while now - self._history[0][0] > WINDOW:
            self._history.popleft()
        stretches = {label: self._stretch(label, now, nodes.get(label)) for label in pools}
        gone = [key for key in self._cases if key[1] not in pools]
        changes = [alert for key in gone if (alert := self._dismissed(key)) is not None]
        for rule in self._rules:
            for label, stretch in stretches.items():
                case = self._cases.setdefault((rule.name, label), _Case())
                since = case.since
                change = case.judge(rule, rule.signal.of(stretch), now)
                if change is not None:
                    began = now if since is None else since
                    changes.append(Alert(change, rule, label, case.value, began))
        return changes

    def firing(self) -> list[Alert]:
        """Return what fires now."""
        return [
            Alert("fires", rule, label, case.value, case.since or 0.0)
            for rule in self._rules
            for (name, label), case in self._cases.items()
            if name == rule.name and case.firing
        ]

    def _stretch(self, label: str, now: float, node: Condition | None) -> Stretch:
        at, before = next((at, pools) for at, pools in self._history if label in pools)
        return Stretch(before[label], self._history[-1][1][label], now - at, node)

    def _dismissed(self, key: tuple[str, str]) -> Alert | None:
        case, rule = self._cases.pop(key), next(r for r in self._rules if r.name == key[0])
        if not case.firing:
            return None
        return Alert("clears", rule, key[1], case.value, case.since or 0.0)


class Alerts:
    """Judges the pools of the process and calls back; may be used from any thread.

    Args:
        *given: Pools and clients; none: every pool of the process.
        tell: Called with each alert that fires or clears, by whoever calls ``check``; what it
            raises is logged.
        rules: What is judged by.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: ``tell`` can not be called, two rules have one name, or what was given
            is neither pool nor client.
    """

    def __init__(
        self,
        *given: Source,
        tell: Callable[[Alert], object],
        rules: Iterable[Rule] = RULES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if not callable(tell):
            raise ConfigurationError(f"tell={tell!r} can not be called with an Alert")
        self._sources = Sources(*given)
        self._tell = tell
        self._judge = Judge(rules)
        self._clock = clock
        self._lock = Lock()

    def check(self) -> list[Alert]:
        """Read the pools, judge them, and tell what has changed; returns that too."""
        readings = self._sources.read()
        pools = {reading.label: reading.stats for reading in readings}
        nodes = {reading.label: reading.node for reading in readings if reading.node is not None}
        with self._lock:
            changes = self._judge.judge(self._clock(), pools, nodes)
        for alert in changes:
            try:
                self._tell(alert)
            except Exception:
                _log.exception("who was told of an alert raised: %s", alert)
        return changes

    def firing(self) -> list[Alert]:
        """Return what fires, as of the last ``check``."""
        with self._lock:
            return self._judge.firing()

    def every(self, seconds: float = 5.0) -> Periodic:
        """Check so often, in a thread of its own, until the answer is closed."""
        return Periodic(self.check, seconds, "cenote-alerts")
