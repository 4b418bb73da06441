"""``top``: ask, draw, wait for a key; again."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import termios
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event

import click
from rich.console import Console
from rich.live import Live

from cenote.cli.options import json_option
from cenote.cli.top.endpoint import Unanswered, ask
from cenote.cli.top.model import ORDERS, Order, Snapshot, rows
from cenote.cli.top.screen import HINT, draw
from cenote.telemetry.endpoint import DEFAULT, Endpoint

_WINDOW = 5.0  # seconds that rates are told of
_LINES = 50  # of a view that is printed once
_ESCAPE = "\x1b"
_QUIT = ("q", "Q", _ESCAPE)


@click.command()
@click.argument("endpoint", default=DEFAULT, envvar="CENOTE_ENDPOINT")
@click.option("--once", is_flag=True, help="Print one view and end.")
@click.option(
    "--interval", type=click.FloatRange(0.05, 60), default=1.0, show_default=True,
    help="Seconds between two looks.",
)  # fmt: skip
@click.option(
    "--sort", "order", type=click.Choice(ORDERS), default="name", show_default=True,
    help="What comes first.",
)  # fmt: skip
@click.option("--token", envvar="CENOTE_TOKEN", show_envvar=True, help="What the process wants.")
@json_option
def top(
    endpoint: str, interval: float, order: Order, token: str | None, *, once: bool, to_json: bool
) -> None:
    """Watch the pools of a running process.

    ENDPOINT is where it called cenote.telemetry.serve(): host:port, or the path of a unix socket;
    127.0.0.1:9211 by default. Keys: s sorts, p pauses, q quits. With --json: the snapshot as it is.
    """
    asked = Endpoint.read(endpoint)
    console = Console()
    if to_json:
        click.echo(json.dumps(ask(asked, token), indent=2))
    elif once or not (console.is_terminal and sys.stdin.isatty()):
        first = ask(asked, token)
        Event().wait(interval)
        last = ask(asked, token)
        told = rows([first, last], order)
        console.print(draw(last, told, order=order, size=(console.width, _LINES)))
    else:
        for number in (signal.SIGINT, signal.SIGTERM):  # the terminal is to be restored
            signal.signal(number, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # as good a way to end it as any
            watch(console, asked, token, interval, order)


def watch(
    console: Console, endpoint: Endpoint, token: str | None, interval: float, order: Order
) -> None:
    """Draw until somebody presses q; the first answer must come, later ones are waited for."""
    seen: deque[Snapshot] = deque([ask(endpoint, token)])
    note, paused = "", False
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            told = rows(list(seen), order)
            view = draw(seen[-1], told, order=order, size=console.size, note=note, hint=HINT)
            live.update(view, refresh=True)
            key = keys(interval)
            if key in _QUIT:
                return
            if key == "s":
                order = ORDERS[(ORDERS.index(order) + 1) % len(ORDERS)]
            elif key == "p":
                paused = not paused
            note = "paused" if paused else _look(seen, endpoint, token)


def _look(seen: deque[Snapshot], endpoint: Endpoint, token: str | None) -> str:
    """Add a snapshot and forget the oldest; returns what is wrong, empty if nothing is."""
    try:
        found = ask(endpoint, token)
    except Unanswered as error:
        return f"no answer, asking again: {error}"
    if found["process"]["pid"] != seen[-1]["process"]["pid"]:
        seen.clear()  # it was restarted
    seen.append(found)
    while len(seen) > 2 and found["now"] - seen[1]["now"] >= _WINDOW:
        seen.popleft()
    return ""


class _Keyboard:
    """Waits for a key."""

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def __call__(self, seconds: float) -> str:
        """Return the key that is pressed within so many seconds; empty: none, or a longer one."""
        if not self._has_input(seconds):
            return ""
        key = (os.read(self._stream, 1) or b"q").decode("latin-1")
        if key == _ESCAPE and self._has_input(0):  # an arrow, say, which begins with it
            self._pass_over()
            return ""
        return key

    def _pass_over(self) -> None:
        """Read what a longer key sends behind the escape: a bracket, digits, and a letter."""
        os.read(self._stream, 1)
        while self._has_input(0) and os.read(self._stream, 1) < b"@":
            pass

    def _has_input(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._stream], [], [], seconds)
        return bool(ready)


@contextmanager
def _keys() -> Iterator[_Keyboard]:
    """Read keys as they are pressed, without showing them."""
    stream = sys.stdin.fileno()
    before = termios.tcgetattr(stream)
    tty.setcbreak(stream)
    try:
        yield _Keyboard(stream)
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)
