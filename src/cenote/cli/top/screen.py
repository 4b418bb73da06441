"""How ``cenote top`` looks: rows, holders, alerts and events, as far as the window reaches.

Strategy: what is drawn is one group of tables without boxes. The pieces of a bar differ by their
glyphs too, so that it reads without colours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cenote.cli.top.model import Order, Row, Snapshot

BAR = 24
FAINT = "bright_black"
_GAP = 2  # between columns
_LONGEST = 32  # of a name
_PIECES = (("█", "blue"), ("▚", "yellow"), ("▒", "magenta"), ("▓", "green"), ("░", "bright_black"))
_STATES = {"ready": "green", "opening": "yellow", "draining": "yellow", "suspect": "yellow"}
_LEVELS = {10: "bright_black", 20: "", 30: "yellow", 40: "bold red"}
HINT = " · s sort · p pause · q quit"


def draw(
    snapshot: Snapshot,
    rows: list[Row],
    *,
    order: Order,
    size: tuple[int, int],
    note: str = "",
    hint: str = "",
) -> RenderableType:
    """Return what is to be seen.

    Args:
        snapshot: The newest.
        rows: The pools, in order.
        order: By what they are ordered.
        size: Columns and lines there are.
        note: Said at the top: that nobody answers, that it is paused.
        hint: Said there otherwise: which keys there are.
    """
    width, height = size
    left = height - len(rows) - 4
    parts: list[RenderableType] = [
        _head(snapshot, order, note, hint), Text(), _pools(rows, width - 2),
    ]  # fmt: skip
    for part, lines in (
        _alerts(snapshot["alerts"], left),
        _holders(snapshot["pools"], min(8, left // 2)),
    ):
        if lines:
            parts += [Text(), part]
            left -= lines + 1
    events, lines = _events(snapshot["events"], left - 2)
    if lines:
        parts += [Text(), events]
    return Padding(Group(*parts), (0, 1))


def _head(snapshot: Snapshot, order: Order, note: str, hint: str) -> RenderableType:
    process = snapshot["process"]
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, overflow="ellipsis", justify="right", max_width=60)
    who = Text.assemble(
        (process["program"], "bold"),
        f" · process {process['pid']} · Python {process['python']} · cenote {process['cenote']}",
    )
    said = Text(note, "bold red") if note else Text(f"by {order}{hint}", FAINT)
    line.add_row(who, said)
    return line


def _table(*columns: str, last: str = "") -> Table:
    """Return an empty table; ``>`` aligns a column right, and ``last`` gives way where it must."""
    table = Table(
        box=None, pad_edge=False, header_style=FAINT, padding=(0, _GAP, 0, 0),
        expand=bool(last),
    )  # fmt: skip
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(
            name.removeprefix(">"), justify=justify, no_wrap=True, overflow="ellipsis",
            max_width=_LONGEST,
        )  # fmt: skip
    if last:
        table.add_column(last, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _pools(rows: list[Row], width: int) -> Table:
    """Return the pools, with as many columns as there is room for, but no fewer than three."""
    cells = {name: [make(row) for row in rows] for name, make in _COLUMNS}
    wide = {
        name: max(len(name.removeprefix(">")), *(cell.cell_len for cell in column), 0) + _GAP
        for name, column in cells.items()
    }
    kept = [name for name, _ in _COLUMNS]
    while len(kept) > 3 and sum(wide[name] for name in kept) > width:
        kept.pop()
    if sum(wide[name] for name in kept) > width:
        cells["connections"] = [bar(row, BAR // 2) for row in rows]
    shown = [name for name in _SHOWN if name in kept]
    table = _table(*shown)
    for at in range(len(rows)):
        table.add_row(*(cells[name][at] for name in shown))
    return table


def _in_use(row: Row) -> Text:
    told = f"{row.used}/{row.limit}" if row.limit else str(row.used)
    return Text(told, "bold red" if row.share >= 0.8 else "")


def bar(row: Row, width: int = BAR) -> Text:
    """Return a bar of a pool's connections: used, otherwise busy, connecting, idle, yet to open."""
    size = row.used + row.other + row.connecting + row.idle
    whole = max(row.limit if row.limit is not None else size, size, 1)
    drawn, ends, upto = Text(), [], 0
    for count in (row.used, row.other, row.connecting, row.idle):
        upto += count
        ends.append(round(width * upto / whole))
    begin = 0
    for (glyph, style), end in zip(_PIECES, (*ends, width), strict=True):
        drawn.append(glyph * (end - begin), style)
        begin = end
    return drawn


def _holders(pools: list[Any], most: int) -> tuple[Table, int]:
    table = _table(">held", "pool", "by", last="where")
    held = [(each, pool["label"]) for pool in pools for each in pool["holders"]]
    held.sort(key=lambda pair: -pair[0]["seconds"])
    for each, label in held[:most]:
        stack = each["stack"] if each["stack"].partition(" ")[0] != each["where"] else ""
        where = Text(each["where"] or "-")
        where.append(f"  now at {stack}" if stack else "", FAINT)
        table.add_row(seconds(each["seconds"]), label, each["who"], where)
    return table, table.row_count + 1 if table.row_count else 0


def _alerts(alerts: list[Any], most: int) -> tuple[Table, int]:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for each in alerts[:most]:
        style = "bold red" if each["severity"] == "critical" else "bold yellow"
        table.add_row(Text("!", style), Text(each["says"], style), Text(each["advice"]))
    return table, table.row_count


def _events(events: list[Any], most: int) -> tuple[Table, int]:
    table = _table(">ago", "pool", last="what happened")
    for each in events[: max(0, most)]:
        style = _LEVELS.get(each["level"], "")
        table.add_row(seconds(each["age"]), Text(each["pool"], style), Text(each["text"], style))
    return table, table.row_count


def rate(value: float | None, alarm: str = "") -> Text:
    """Write how often something happens."""
    if value is None:
        return Text("-", FAINT)
    if value == 0:
        return Text("0/s", FAINT)
    if value >= 1e4:
        return Text(f"{value / 1e3:.1f}k/s", alarm)
    return Text(f"{value:.0f}/s" if value >= 100 else f"{value:.3g}/s", alarm)


def seconds(value: float | None) -> Text:
    """Write a duration, to three digits."""
    if value is None:
        return Text("-", FAINT)
    if value >= 3600:
        return Text("> 50 s" if value == float("inf") else f"{value / 3600:.1f} h")
    if value >= 120:
        return Text(f"{value / 60:.0f} min")
    if value >= 10:
        return Text(f"{value:.0f} s")
    if value >= 0.9995:
        return Text(f"{value:.1f} s")
    return Text(f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.0f} µs")


# The columns of a pool, those that are given up first in a narrow window last.
_COLUMNS: tuple[tuple[str, Callable[[Row], Text]], ...] = (
    ("pool", lambda row: Text(row.label, "bold")),
    ("connections", bar),
    (">in use", _in_use),
    (">waiting", lambda row: Text(str(row.waiting), "bold red" if row.waiting else FAINT)),
    (">leases", lambda row: rate(row.leases)),
    (">refused", lambda row: rate(row.refused, "bold red")),
    ("state", lambda row: Text(row.state, _STATES.get(row.state, "bold red"))),
    (">wait", lambda row: seconds(row.wait)),
    (">broken", lambda row: rate(row.faults, "bold red")),
    (">wait p99", lambda row: seconds(row.waits[1] if row.waits else None)),
    (">hold p99", lambda row: seconds(row.uses[1] if row.uses else None)),
    (">wait p50", lambda row: seconds(row.waits[0] if row.waits else None)),
)
_SHOWN = (
    "pool", "state", "connections", ">in use", ">waiting", ">leases", ">wait", ">wait p50",
    ">wait p99", ">hold p99", ">refused", ">broken",
)  # fmt: skip
