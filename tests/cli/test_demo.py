"""The demo on a real memcached: every phase, no wrong reply, Ctrl-C, a server that goes away."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cenote import Client
from cenote.cli.demo.phases import PHASES, Board, Connections, Phase, Setting
from cenote.cli.demo.session import PhaseResult, run_session
from cenote.cli.demo.workload import NEWCOMER_EVERY, Workload
from cenote.testing.memcached import MemcachedServer
from tests.cli.conftest import Run

WORKERS = 4
CONNECTIONS = 2
SHORT = 0.05
PATIENCE = 60.0


@pytest.fixture
def setting(memcached_server: MemcachedServer) -> Setting:
    return Setting(memcached_server.url, WORKERS, CONNECTIONS)


def unwatched(*_: object) -> None:
    """Watch nothing."""


def run_until(enough: Callable[[Board], bool], phase: Phase, setting: Setting) -> PhaseResult:
    """Run a phase until it has done enough."""

    def watch(phase: Phase, board: Board, seconds: float) -> None:
        if enough(board):
            raise KeyboardInterrupt

    session = run_session([phase], setting, PATIENCE, watch)
    assert session.interrupted
    return session.phases[0]


def some_lookups(board: Board) -> bool:
    return all(tally.lookups > NEWCOMER_EVERY for tally in board.tallies)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_a_phase_looks_users_up_and_finds_the_right_ones(phase: Phase, setting: Setting) -> None:
    tally = run_until(some_lookups, phase, setting).tally
    assert tally.lookups == tally.latency.count > 0
    assert (tally.mismatches, tally.errors) == (0, 0)
    assert tally.hits > tally.misses > 0


@pytest.mark.parametrize(
    ("number", "most"), [(1, CONNECTIONS), (2, WORKERS), (3, CONNECTIONS)], ids=str
)
def test_a_pool_opens_no_more_connections_than_it_may(
    number: int, most: int, setting: Setting
) -> None:
    result = run_until(some_lookups, PHASES[number], setting)
    assert 1 <= result.connections.opened <= most
    assert result.connections.pool is not None
    leases = result.connections.pool.acquired
    if PHASES[number].name == "asyncio":
        assert 1 <= leases < result.tally.lookups  # many lookups share one
    else:
        assert leases >= result.tally.lookups


def test_a_connection_a_request_opens_one_for_each(setting: Setting) -> None:
    result = run_until(some_lookups, PHASES[0], setting)
    assert result.connections.opened == result.tally.lookups


@pytest.mark.parametrize("phase", PHASES[:2], ids=lambda phase: phase.name)
def test_every_phase_has_the_same_share_of_misses(phase: Phase, setting: Setting) -> None:
    """Each worker misses once in so many lookups, and may end shortly before it would again."""
    tally = run_until(some_lookups, phase, setting).tally
    hits_in_between = tally.lookups - tally.misses * NEWCOMER_EVERY
    assert 0 <= hits_in_between <= WORKERS * (NEWCOMER_EVERY - 1)


def test_phases_run_one_after_another_each_for_its_time(setting: Setting) -> None:
    session = run_session(PHASES[:2], setting, SHORT, unwatched)
    assert [result.name for result in session.phases] == [phase.name for phase in PHASES[:2]]
    assert all(result.seconds >= SHORT for result in session.phases)
    assert not session.interrupted


class Stand:
    """A phase that stands for any, to be watched."""

    name = "stand"
    about = "does what it is given"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ran = 0

    def run(self, setting: Setting, workload: Workload, board: Board) -> Connections:
        self.ran += 1
        if self.error is not None:
            raise self.error
        board.tallies[0].found(hit=True, belongs=True, nanoseconds=5)
        while not board.stopped:
            pass
        return Connections(1)


def test_ctrl_c_ends_the_session_and_keeps_what_was_measured(setting: Setting) -> None:
    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    first, second = Stand(), Stand()
    session = run_session([first, second], setting, 60.0, press_ctrl_c)
    assert session.interrupted
    assert (first.ran, second.ran) == (1, 0)
    assert session.phases[0].tally.lookups == 1


def test_a_phase_that_breaks_ends_the_session_at_once(setting: Setting) -> None:
    with pytest.raises(ZeroDivisionError):
        run_session([Stand(ZeroDivisionError())], setting, 60.0, unwatched)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_a_server_that_goes_away_costs_lookups_and_nothing_else(phase: Phase) -> None:
    """Whatever came back until then was right."""
    with MemcachedServer(unix=True) as server:

        def stopped(board: Board) -> bool:
            server.stop()
            return any(tally.errors for tally in board.tallies)

        setting = Setting(server.url, WORKERS, CONNECTIONS)
        tally = run_until(stopped, phase, setting).tally
    assert tally.errors > 0
    assert tally.last_error
    assert tally.mismatches == 0


def test_the_command_shows_its_tables(run: Run, memcached_server: MemcachedServer) -> None:
    result = run("demo", "--url", memcached_server.url, "--seconds", "0.1", "--workers", "2")
    assert result.exit_code == 0, result.output
    for phase in PHASES:
        assert phase.name in result.stdout
    assert "0 mismatches" in result.stdout


def test_the_command_prints_json_and_nothing_else_on_its_output(
    run: Run, memcached_server: MemcachedServer
) -> None:
    """On the server of ``CENOTE_URL``, as every command."""
    result = run("demo", "--seconds", "0.1", "--json")
    printed = json.loads(result.stdout)
    assert printed["url"].startswith(f"unix://{memcached_server.url}?")
    assert [phase["name"] for phase in printed["phases"]] == [phase.name for phase in PHASES]
    assert printed["mismatches"] == 0
    assert "cenote demo" in result.stderr


def test_the_demo_leaves_the_items_of_others_alone(
    run: Run, memcached_client: Client, memcached_server: MemcachedServer
) -> None:
    memcached_client.set("mine", "kept")
    run("demo", "--url", memcached_server.url, "--seconds", "0.1")
    assert memcached_client.get("mine") == "kept"


def test_no_server_is_one_line_and_exit_code_2(run: Run) -> None:
    with MemcachedServer() as server:
        server.stop()
        result = run("demo", "--url", server.url)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
