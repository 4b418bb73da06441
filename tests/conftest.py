"""What holds for every test: which implementation runs, and that nothing is left behind."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess

import pytest
from hypothesis import settings

import cenote
from cenote import _server_process, local

# The same examples every time, on slow machines too; `--hypothesis-profile=explore` looks further.
settings.register_profile("cenote", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("cenote")

# Seconds a thread or process that was told to end may take.
_PATIENCE = 5.0


def pytest_report_header() -> str:
    return f"cenote {cenote.__version__}, implementation: {cenote.implementation}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that change from run to run: pytest-xdist shares tests out by name."""
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError("give these parameters ids: " + ", ".join(unstable))


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
