"""``cenote top``: what it reckons, how it looks, and that it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cenote import Pool
from cenote.cli.top.model import ORDERS, Row, Snapshot, rows
from cenote.cli.top.screen import BAR, bar, draw, rate, seconds
from cenote.pool.options import NO_LIMIT
from cenote.pool.stats import BOUNDS
from cenote.telemetry import Service, serve
from cenote.telemetry.sources import Sources
from tests.cli.conftest import Run
from tests.telemetry.conftest import Thing


@pytest.fixture
def busy() -> Iterator[tuple[Pool[Thing], Service]]:
    with (
        Pool(Thing, name="orders", max_size=4, histograms=True) as pool,
        serve("127.0.0.1:0", pool) as service,
        pool.connection(),
    ):
        yield pool, service


def snapshot(now: float, **pools: dict[str, Any]) -> Snapshot:
    """Return a snapshot with these pools; what is not said of one is as of one just made."""
    from cenote.telemetry import snapshot as real

    with Pool(Thing, name="plain", max_size=10) as plain:
        told = real.take(Sources(plain), now, [], [])
    (template,) = told["pools"]
    made = []
    for label, fields in pools.items():
        times = fields.pop("times", {})
        made.append(
            {**template, "label": label, "stats": template["stats"] | fields, "times": times}
        )
    return {**told, "pools": made}


def test_rates_are_what_happened_between_the_oldest_and_the_newest() -> None:
    first = snapshot(10.0, p={"acquired": 100, "timeouts": 1, "waited": 0, "wait_seconds": 0.0})
    last = snapshot(12.0, p={"acquired": 300, "timeouts": 5, "waited": 4, "wait_seconds": 0.2})
    (row,) = rows([first, snapshot(11.0, p={}), last])
    assert (row.leases, row.refused, row.faults) == (100.0, 2.0, 0.0)
    assert row.wait == pytest.approx(0.05)


def test_with_one_look_no_rate_is_known_and_with_a_new_pool_neither() -> None:
    (row,) = rows([snapshot(1.0, p={"acquired": 5})])
    assert (row.leases, row.wait) == (None, None)
    old, new = rows([snapshot(1.0, p={}), snapshot(2.0, p={}, q={"acquired": 7})])
    assert (old.leases, new.leases) == (0.0, None)


def test_the_state_is_that_of_the_server_where_that_is_in_trouble() -> None:
    told = snapshot(1.0, p={"state": "ready"})
    told["pools"][0]["state"] = "suspect"
    assert [row.state for row in rows([told])] == ["suspect"]


def test_quantiles_are_those_of_the_last_seconds() -> None:
    def times(**counts: int) -> dict[str, Any]:
        told = [0] * (len(BOUNDS) + 1)
        for bound, count in counts.items():
            told[int(bound[1:])] = count
        return {"wait": {"counts": told, "total": 1.0}}

    first = snapshot(1.0, p={"times": times(b0=1000)})
    last = snapshot(2.0, p={"times": times(b0=1000, b9=98, b12=2)})
    (row,) = rows([first, last])
    assert row.waits == (BOUNDS[9], BOUNDS[12])
    (row,) = rows([last])
    assert row.waits == (BOUNDS[0], BOUNDS[9])
    assert row.uses is None


def test_pools_are_ordered_by_what_is_asked_for() -> None:
    first = snapshot(0.0, a={}, b={}, c={})
    last = snapshot(
        1.0, a={"waiting": 1}, b={"used": 5, "acquired": 10}, c={"used": 1, "timeouts": 3}
    )
    told = {order: [row.label for row in rows([first, last], order)] for order in ORDERS}
    assert told == {
        "name": ["a", "b", "c"],
        "busy": ["b", "c", "a"],
        "waiting": ["a", "b", "c"],
        "traffic": ["b", "a", "c"],
        "errors": ["c", "a", "b"],
    }


def row_of(**fields: Any) -> Row:
    (row,) = rows([snapshot(0.0, p=fields)])
    return row


def test_a_bar_has_a_piece_for_all_that_connections_do() -> None:
    row = row_of(max_size=12, used=6, reserved=1, connecting=1, idle=2)
    drawn = bar(row).plain
    assert drawn == "█" * 12 + "▚" * 2 + "▒" * 2 + "▓" * 4 + "░" * 4
    assert len(drawn) == BAR


@pytest.mark.parametrize(
    "fields",
    [{}, {"used": 10}, {"used": 7, "idle": 6}, {"max_size": NO_LIMIT, "used": 3}, {"idle": 1}],
)
def test_a_bar_is_as_long_as_it_should_be(fields: dict[str, int]) -> None:
    assert len(bar(row_of(**fields)).plain) == BAR


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0 µs"), (5e-6, "5 µs"), (0.0123, "12.3 ms"), (1.5, "1.5 s"),
        (61.0, "61 s"), (300.0, "5 min"), (7200.0, "2.0 h"), (float("inf"), "> 50 s"),
    ],
)  # fmt: skip
def test_durations_are_written_to_be_read(value: float | None, text: str) -> None:
    assert seconds(value).plain == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0/s"), (0.665, "0.665/s"), (2857.1, "2857/s"), (98765.4, "98.8k/s")],
)
def test_rates_are_written_without_an_exponent(value: float | None, text: str) -> None:
    assert rate(value).plain == text


def test_what_does_not_fit_the_window_is_left_out() -> None:
    told = {
        **snapshot(0.0, p={"used": 1}),
        "events": [
            {"pool": "p", "kind": "up", "level": 20, "text": f"event {n}", "age": 1.0}
            for n in range(99)
        ],
    }
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw(told, rows([told]), order="name", size=(120, 24)))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    assert any("event 0" in line for line in lines)


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, ["pool", "connections", "in use"]),
        (80, ["pool", "connections", "in use", "waiting"]),
        (200, ["state", "hold p99", "broken"]),
    ],
)
def test_columns_are_given_up_whole_in_a_narrow_window(width: int, columns: list[str]) -> None:
    told = snapshot(0.0, **{"memcached.example.org:11211": {"used": 1}})
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(told, rows([told]), order="name", size=(width, 24)))
    text = console.export_text()
    assert "memcached.example.org:11211" in text
    assert "1/10" in text
    assert "…" not in text.partition("memcached")[2]
    assert all(column in text for column in columns)


def test_once_prints_one_view(run: Run, busy: tuple[Pool[Thing], Service]) -> None:
    _, service = busy
    result = run("top", service.endpoint, "--once", "--interval", "0.05")
    assert result.exit_code == 0, result.output
    assert re.search(r"orders +ready +[█▓░]+ +1/4", result.stdout)
    assert "process" in result.stdout


def test_json_is_the_snapshot_as_it_is(run: Run, busy: tuple[Pool[Thing], Service]) -> None:
    _, service = busy
    result = run("top", service.url, "--json")
    (pool,) = json.loads(result.stdout)["pools"]
    assert (pool["label"], pool["stats"]["used"]) == ("orders", 1)


def test_a_unix_socket_and_a_token_will_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "pools.sock")
    with serve(path, token="s3cret"):
        result = run("top", path, "--json")
        assert result.exit_code == 2
        assert "say the token" in result.stderr
        monkeypatch.setenv("CENOTE_TOKEN", "s3cret")
        assert run("top", path, "--json").exit_code == 0


def test_nobody_there_is_one_line_that_says_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run("top", str(tmp_path / "nobody.sock"), "--once")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "No such file" in line
    assert "cenote.telemetry.serve()" in line


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"hello", "not an endpoint of cenote"),
        (b"[]", "not an endpoint of cenote"),
        (b'{"format": 99}', "format 99"),
    ],
)
def test_something_else_there_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, body: bytes, says: str
) -> None:
    with serve("127.0.0.1:0") as service:
        monkeypatch.setitem(service._pages, "/snapshot.json", lambda: (body, "text/plain", {}))
        result = run("top", service.endpoint, "--once")
    assert result.exit_code == 2
    assert says in result.stderr


class Screen:
    """``cenote top`` in a terminal, in a process of its own."""

    def __init__(self, endpoint: str) -> None:
        self._terminal, inside = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cenote", "top", endpoint, "--interval", "0.05"],
            stdin=inside, stdout=inside, stderr=inside,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "40"},
        )  # fmt: skip
        os.close(inside)
        self.shown = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for(self, text: str) -> None:
        """Wait until a text is shown after what was waited for before."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.shown, timeout=60), self.shown[
                -2000:
            ]
            self.shown = self.shown.partition(text)[2]

    def ended(self) -> int:
        try:
            code = self._process.wait(timeout=60)
        finally:
            self._process.kill()
        self._reader.join()
        os.close(self._terminal)
        return code

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._terminal, 65536)
            except OSError:
                return
            if not part:
                return
            with self._changed:
                self.shown += part.decode("utf-8", "replace")
                self._changed.notify()


def test_it_lives_in_a_terminal_obeys_keys_and_leaves_it_as_it_was(
    busy: tuple[Pool[Thing], Service],
) -> None:
    _, service = busy
    screen = Screen(service.endpoint)
    try:
        screen.wait_for("by name")
        screen.wait_for("orders")
        screen.press("s")
        screen.wait_for("by busy")
        screen.press("p")
        screen.wait_for("paused")
        screen.press("p")
        screen.wait_for("by busy")
        screen.press("\x1b[B")  # the arrow down
        screen.press("s")
        screen.wait_for("by waiting")
        service.close()
        screen.wait_for("no answer, asking again")
    finally:
        screen.press("q")
        assert screen.ended() == 0
    assert "\x1b[?1049l" in screen.shown  # back from the other screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_q_does(
    busy: tuple[Pool[Thing], Service], number: signal.Signals
) -> None:
    """Also where whoever started it ignores the signal, as a shell does for a job beside it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        screen = Screen(busy[1].endpoint)
    finally:
        signal.signal(number, before)
    screen.wait_for("by name")
    screen.send(number)
    assert screen.ended() == 0
    assert "\x1b[?1049l" in screen.shown
    assert "Aborted" not in screen.shown
