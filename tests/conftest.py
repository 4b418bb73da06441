"""What holds for every test: which implementation runs, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

import cenote
from cenote import _server_process, local
from tests.cancellation import LoopFactory, Scenario, prove
from tests.certificates import Certificates
from tests.thorough import some

# The same examples every time, on slow machines too; `--hypothesis-profile=explore` looks further.
settings.register_profile(
    "cenote", deadline=None, derandomize=True, database=None, max_examples=some(100)
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("cenote")

_FOLDER = Path(__file__).parent

# Seconds a thread or process that was told to end may take on a busy machine.
_PATIENCE = 30.0

# Folders of tests that are traced for the coverage of the layers, where they are not too dear.
TRACED = {"client", "connection", "connectors", "node", "pool", "protocol"}

# What tests record that they have proved, and how the end of the run calls it.
PROVED = {"schedules": "cancellation", "requests": "chaos"}


# What is traced is the tests' own processes; those that they start would take twice as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def pytest_report_header() -> str:
    return f"cenote {cenote.__version__}, implementation: {cenote.implementation}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is traced; refuse names that change: pytest-xdist shares tests out by name."""
    for item in items:
        if item.path.relative_to(_FOLDER).parts[0] in TRACED:
            item.add_marker("traced")
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError("give these parameters ids: " + ", ".join(unstable))


def pytest_collection_finish() -> None:
    """Let collections of garbage look at what tests make, not at the tests: some collect often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a server running."""
    threads = set(threading.enumerate())
    servers = set(_server_process._running)
    yield
    started = {thread for thread in threading.enumerate() if thread.ident} - threads
    _join([*started, *multiprocessing.active_children()])
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left running: {left}"
    children = multiprocessing.active_children()
    assert not children, f"processes left running: {children}"
    shared = {local._shared._process} if local._shared is not None else set()
    assert not set(_server_process._running) - servers - shared, "a memcached was left running"


def _join(started: Iterable[threading.Thread | BaseProcess]) -> None:
    deadline = time.monotonic() + _PATIENCE
    for one in started:
        one.join(max(0.0, deadline - time.monotonic()))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, good and bad."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


Proof = Callable[[Scenario], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def proof(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Proof:
    """Prove a scenario of ``tests/cancellation.py`` in each loop; report how many schedules."""

    def run(scenario: Scenario, loop_factory: LoopFactory = request.param) -> None:
        schedules = prove(scenario, loop_factory=loop_factory)
        assert schedules > 1, "the victim was never suspended"
        record_property("schedules", schedules)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was proved: tests record it as ``schedules`` and ``requests``."""
    recorded: dict[str, list[int]] = defaultdict(list)
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if isinstance(value, int):
                recorded[name].append(value)
    for name, what in PROVED.items():
        if counts := recorded[name]:
            terminalreporter.write_line(f"{what}: {sum(counts):,} {name} proved")
    if seeds := sorted(set(recorded["seed"])):
        terminalreporter.write_line(f"chaos: seeds {', '.join(map(str, seeds))}")
