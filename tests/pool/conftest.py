"""Says in the end how many schedules of cancellation were proved."""

from __future__ import annotations

import pytest

SCHEDULES = "schedules"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    proved = [
        value
        for report in passed
        for name, value in report.user_properties
        if name == SCHEDULES and isinstance(value, int)
    ]
    if proved:
        terminalreporter.write_line(f"cancellation: {sum(proved)} schedules proved")
