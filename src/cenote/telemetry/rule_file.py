"""The alert rules as a rule file for Prometheus, written from the same data.

Strategy: YAML contains JSON, so strings are quoted by ``json``, and no library is needed. ``hold``
is Prometheus' ``for``, ``keep`` its ``keep_firing_for``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from cenote.telemetry.alerts import RULES, Rule
from cenote.telemetry.signals import Unit

_VALUES: dict[Unit, str] = {
    "ratio": "{{ $value | humanizePercentage }}",
    "seconds": "{{ $value | humanizeDuration }}",
    "rate": "{{ $value | humanize }}/s",
    "flag": "{{ $value }}",
}


def render(rules: Iterable[Rule] = RULES) -> str:
    """Return a rule file; needs Prometheus 2.42 or later."""
    entries = "".join(map(_entry, rules))
    return f"# Made from cenote.telemetry.RULES.\ngroups:\n  - name: cenote\n    rules:\n{entries}"


def _entry(rule: Rule) -> str:
    says = rule.says.format(pool="{{ $labels.pool }}", value=_VALUES[rule.signal.unit])
    return f"""\
      - alert: {rule.name}
        expr: {json.dumps(f"{rule.signal.promql} > {rule.limit:g}")}
        for: {rule.hold:g}s
        keep_firing_for: {rule.keep:g}s
        labels:
          severity: {rule.severity}
        annotations:
          summary: {json.dumps(says)}
          description: {json.dumps(rule.advice)}
"""
