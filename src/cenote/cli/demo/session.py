"""Lets the phases run one after another, each for the same time, and can be interrupted.

Strategy: a phase runs in a thread of its own while the caller's thread watches, so that Ctrl-C
always finds the caller waiting, never in the middle of a request. Whatever was measured by then
counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic

from cenote import Client
from cenote.cli.demo.measure import Tally, total
from cenote.cli.demo.phases import TIMEOUT, Board, Connections, Phase, Setting
from cenote.cli.demo.workload import TTL, Workload

REFRESH = 0.1

Watch = Callable[[Phase, Board, float], None]
"""Called about ten times a second with the phase, its board, and the seconds that it has run."""


@dataclass(frozen=True)
class PhaseResult:
    """What a phase did.

    Attributes:
        name: The phase's name, and ``about`` what it does.
        seconds: How long its workers ran.
        tally: All its workers' tallies, added up.
        connections: How many connections it opened, and its pool's statistics.
    """

    name: str
    about: str
    seconds: float
    tally: Tally
    connections: Connections


@dataclass(frozen=True)
class SessionResult:
    """What the phases did, as many as ran; ``interrupted`` by Ctrl-C or not."""

    phases: tuple[PhaseResult, ...]
    interrupted: bool


def run_session(
    phases: Sequence[Phase], setting: Setting, seconds: float, watch: Watch
) -> SessionResult:
    """Run the phases in turn, ``seconds`` each, on keys that no other phase or run has.

    Raises:
        CenoteError: The server can not be reached.
    """
    run = secrets.token_hex(4)
    results: list[PhaseResult] = []
    for number, phase in enumerate(phases):
        workload = Workload(f"cenote-demo:{run}:{number}")
        _warm(setting.url, workload)
        result, interrupted = _run_phase(phase, setting, workload, seconds, watch)
        results.append(result)
        if interrupted:
            return SessionResult(tuple(results), interrupted=True)
    return SessionResult(tuple(results), interrupted=False)


def _warm(url: str, workload: Workload) -> None:
    """Put the catalogue into the cache, as it is in that of a service that has been running."""
    with Client(url, timeout=TIMEOUT) as client:
        client.set_many(workload.catalogue(), TTL)


def _run_phase(
    phase: Phase, setting: Setting, workload: Workload, seconds: float, watch: Watch
) -> tuple[PhaseResult, bool]:
    board = Board(setting.workers)
    with ThreadPoolExecutor(1, thread_name_prefix="demo-phase") as executor:
        began = monotonic()
        running = executor.submit(phase.run, setting, workload, board)
        try:
            interrupted = _watched(phase, board, running, began, seconds, watch)
        finally:
            board.stopped = True
        took = monotonic() - began
        connections = running.result()
    result = PhaseResult(phase.name, phase.about, took, total(board.tallies), connections)
    return result, interrupted


def _watched(
    phase: Phase,
    board: Board,
    running: Future[Connections],
    began: float,
    seconds: float,
    watch: Watch,
) -> bool:
    """Wait until the time is up; True if Ctrl-C came first."""
    try:
        while (left := began + seconds - monotonic()) > 0 and not running.done():
            wait([running], min(REFRESH, left))
            watch(phase, board, min(monotonic() - began, seconds))
    except KeyboardInterrupt:
        return True
    return False
