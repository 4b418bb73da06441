"""The demo on screens of any width, with and without a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cenote.cli.demo import screen
from cenote.cli.demo.phases import PHASES, Board
from cenote.cli.demo.report import COLUMNS
from tests.cli.results import SETTING, sample


def console(width: int, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=terminal, color_system=None), out


def shown(width: int, **what: object) -> str:
    target, out = console(width)
    screen.show(target, sample(**what))  # type: ignore[arg-type] # options of the sample
    return out.getvalue()


@pytest.mark.parametrize("width", [100, 80, 79, 60, 40])
def test_every_figure_is_shown_in_full_at_any_width(width: int) -> None:
    text = shown(width)
    for word in ("a connection a request", "one pooled client", "10.0x", "98.0%", *COLUMNS[1:]):
        assert word in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_80_columns_are_enough_for_a_line_a_phase() -> None:
    (line,) = [one for one in shown(80).splitlines() if "10.0x" in one]
    assert line.startswith("one pooled client")


def test_the_pools_own_statistics_are_shown() -> None:
    assert "2 idle" in shown(100)


def test_it_ends_with_what_the_shared_pool_advises() -> None:
    text = shown(100)
    assert "What the pool of one pooled client advises:" in text
    assert "500 callers a second hold a connection for 2 ms" in text
    assert text.rstrip().splitlines()[-1].startswith("max_size is 8: ")


def test_it_says_that_no_reply_was_somebody_elses() -> None:
    assert "0 mismatches: each of 1,100 records" in shown(100)


def test_it_says_when_a_reply_was_somebody_elses() -> None:
    text = shown(100, mismatches=2)
    assert "2 replies belonged to another request" in text
    assert "0 mismatches" not in text


def test_failed_lookups_are_shown_with_what_the_last_one_said() -> None:
    assert "lookups failed: 1, the last with OSError: gone" in shown(100, error="gone")


def test_an_interrupted_session_says_so() -> None:
    assert "Interrupted" in shown(100, interrupted=True)
    assert "Interrupted" not in shown(100)


def test_what_is_measured_is_said_beforehand() -> None:
    target, out = console(100)
    screen.introduce(target, SETTING, "1.6.18", 0.0001)
    text = " ".join(out.getvalue().split())
    assert "memcached 1.6.18 at local://" in text
    assert "computes in 0.10 ms" in text


def board_with(lookups: int) -> Board:
    board = Board(1)
    board.tallies[0].hits = lookups
    return board


def test_without_a_terminal_there_is_a_line_a_phase_and_nothing_live() -> None:
    target, out = console(80)
    with screen.progress(target, 2.0) as watch:
        watch(PHASES[0], board_with(10), 1.0)
        watch(PHASES[0], board_with(20), 2.0)
    assert out.getvalue() == "a connection a request: 20 lookups in 2.0 s\n"


def test_on_a_terminal_there_is_a_bar_with_the_rate() -> None:
    target, out = console(80, terminal=True)
    with screen.progress(target, 2.0) as watch:
        watch(PHASES[1], board_with(3000), 1.5)
    assert "one pooled client" in out.getvalue()
    assert "2,000 lookups/s" in out.getvalue()
