"""The demo on a screen: progress while it runs, then the tables. A terminal is not needed.

Strategy: a live bar only where there is a terminal to draw it on; anywhere else a line for each
phase as it ends. A window that is too narrow for the table gets the same figures one below the
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

import cenote
from cenote.cli.demo.phases import PHASES, Board, Phase, PooledClient, Setting
from cenote.cli.demo.report import COLUMNS, Report, cells
from cenote.cli.demo.session import Watch
from cenote.cli.demo.workload import CATALOGUE, NEWCOMER_EVERY
from cenote.pool import PoolStats
from cenote.pool.options import TARGET_WAIT
from cenote.pool.sizing import SHARE, Advice, advise

POOL_COLUMNS = ("its pool", "live", "leases", "waits", "mean wait", "timeouts", "closed")


def introduce(console: Console, setting: Setting, server: str, origin: float) -> None:
    """Say what is about to be measured, on what."""
    kind = "compiled" if cenote.implementation == "speedups" else "pure Python"
    console.print(
        Text.assemble(
            ("cenote demo", "bold"),
            f"  cenote {cenote.__version__} ({kind}), memcached {server} at {setting.url}",
        )
    )
    console.print(
        f"{setting.workers} workers look users up by id, cache-aside: {CATALOGUE:,} are cached, "
        f"the popular ones asked for most; 1 lookup in {NEWCOMER_EVERY} is of a new user, whom the "
        f"origin computes in {origin * 1e3:.2f} ms. Shared clients may open {setting.connections} "
        "connections.\n",
        highlight=False,
    )
    console.print(_legend())
    console.print()


def _legend() -> Table:
    legend = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    legend.add_column()
    legend.add_column(overflow="fold", style="dim")
    for phase in PHASES:
        legend.add_row(phase.name, phase.about)
    return legend


@contextmanager
def progress(console: Console, seconds: float) -> Iterator[Watch]:
    """Show how the phases get on; give the watch that the demo is to call."""
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rate]}"),
            console=console,
            transient=True,
        ) as bars:
            yield _Bars(bars, seconds)
    else:
        yield _Lines(console, seconds)


class _Bars:
    """A bar for each phase."""

    def __init__(self, bars: Progress, seconds: float) -> None:
        self._bars = bars
        width = max(len(phase.name) for phase in PHASES)
        self._tasks: dict[str, TaskID] = {
            phase.name: bars.add_task(f"{phase.name:<{width}}", total=seconds, rate="")
            for phase in PHASES
        }

    def __call__(self, phase: Phase, board: Board, elapsed: float) -> None:
        rate = f"{board.lookups / elapsed:>9,.0f} lookups/s" if elapsed else ""
        self._bars.update(self._tasks[phase.name], completed=elapsed, rate=rate)


class _Lines:
    """A line for each phase, when its time is up."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._seconds = seconds

    def __call__(self, phase: Phase, board: Board, elapsed: float) -> None:
        if elapsed >= self._seconds:
            self._console.print(f"{phase.name}: {board.lookups:,} lookups in {elapsed:.1f} s")


def show(console: Console, report: Report) -> None:
    """Show the figures, what the pools say, and whether every reply was the right one."""
    if report.interrupted:
        console.print("Interrupted: this is what had been measured.", style="yellow")
    console.print(_fitting(console, COLUMNS, [cells(figures) for figures in report.figures]))
    console.print()
    if report.pools:
        rows = [(name, *_pool_cells(stats)) for name, stats in report.pools.items()]
        console.print(_fitting(console, POOL_COLUMNS, rows))
        console.print()
    for line, style in verdicts(report):
        console.print(line, style=style, highlight=False)
    for name, advice in advised(report):
        console.print(f"\nWhat the pool of {name} advises:", highlight=False)
        console.print(str(advice), highlight=False)


def advised(report: Report) -> Iterator[tuple[str, Advice]]:
    """Give the size that callers who share a pool need; elsewhere a connection is no lease."""
    stats = report.pools.get(PooledClient.name)
    advice = stats and advise(stats, None, target_wait=TARGET_WAIT, share=SHARE)
    if advice:
        yield PooledClient.name, advice


def verdicts(report: Report) -> Iterator[tuple[str, str]]:
    """Give the sentences below the tables, each with its style."""
    if report.mismatches:
        yield (
            f"{report.mismatches:,} replies belonged to another request: please report this.",
            "bold red",
        )
    else:
        yield (
            f"0 mismatches: each of {report.lookups:,} records carried the key it was asked by.",
            "green",
        )
    for phase in report.figures:
        if phase.errors:
            yield (
                f"{phase.name}: lookups failed: {phase.errors:,}, the last with {phase.last_error}",
                "red",
            )


def _fitting(console: Console, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """Return the rows as a table, or one figure a line where the table would be too wide."""
    table = _figures_beside(columns, rows)
    unbounded = console.options.update(max_width=1000)
    if Measurement.get(console, unbounded, table).maximum <= console.width:
        return table
    return _figures_below(columns, rows)


def _figures_beside(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _figures_below(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(Text(row[0], style="bold"))
        for column, cell in zip(columns[1:], row[1:], strict=True):
            table.add_row(f"  {column}", cell)
    return table


def _pool_cells(stats: PoolStats) -> tuple[str, ...]:
    mean = stats.wait_seconds / stats.waited if stats.waited else 0.0
    closed = ", ".join(f"{count} {reason}" for reason, count in stats.closed.items() if count)
    return (
        f"{stats.live}/{stats.max_size}",
        f"{stats.acquired:,}",
        f"{stats.waited:,}",
        f"{mean * 1e3:.2f} ms",
        f"{stats.timeouts:,}",
        closed or "none",
    )
