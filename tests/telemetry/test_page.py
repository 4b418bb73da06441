"""The page, in a real browser."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from cenote import Client, OperationTimeout, Pool, PoolTimeout, Server
from cenote.telemetry import Service, serve
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE
from tests.telemetry.asking import eventually
from tests.telemetry.browser import CHROMIUM, browse
from tests.telemetry.conftest import Thing

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian: chromium)"),
    pytest.mark.timeout(400),
]

SAID = "--enable-logging=stderr"


def texts(dom: str) -> str:
    """Return what can be read on a page."""
    body = re.sub(r"<(script|style)>.*?</\1>", "", dom, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def ready(service: Service) -> Service:
    eventually(lambda: len(service._history.told()["pools"].get("things", ())) >= 2)
    return service


def test_the_page_knows_the_token_and_shows_pools_holders_events_and_charts(
    pool: Pool[Thing], tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    with Client("local://", **PATIENCE) as client, Pool(Thing, name=hostile, max_size=3) as other:
        client.get("a")
        with (
            serve("127.0.0.1:0", pool, client, other, token="s3cret") as service,
            pool.connection(5),
        ):
            ready(service)
            with pool.connection(5), pytest.raises(PoolTimeout):
                pool.acquire()
            dom = browse(f"{service.url}?token=s3cret", tmp_path / "profile", "--dump-dom", SAID)
    seen = texts(dom)
    assert "live · 3 pools" in seen
    assert "1 of 2 in use · 50 %" in seen
    assert "MainThread" in seen
    assert "no connection within" in seen
    assert "leave without a connection" in seen
    assert "memcached at local" in seen
    assert "&lt;img src=x onerror=alert(1)&gt;" in dom
    assert "<img" not in dom
    drawn = re.findall(r'<path class="c-used line" d="M[-\d.]+,[-\d.]+L', dom)
    assert len(drawn) >= 3, "no chart has a line"
    assert "CONSOLE" not in dom, "the page had something to complain of"


def test_the_page_says_how_a_server_does(tmp_path: Path) -> None:
    """Connecting to a process that is stopped succeeds, so its pool is well."""
    with (
        MemcachedServer() as server,
        Client([Server.at(server.url, name="hung")], timeout=2.0) as client,
        serve("127.0.0.1:0", client) as service,
    ):
        client.get("a")
        server.pause()
        with pytest.raises(OperationTimeout):
            client.get("a")
        server.resume()
        dom = browse(service.url, tmp_path / "profile", "--dump-dom")
    assert "hung suspect memcached at" in texts(dom)
    assert "1 not answered" in texts(dom)


def test_the_page_says_when_nobody_answers_any_more(
    pool: Pool[Thing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve("127.0.0.1:0", pool) as service:
        monkeypatch.delitem(service._pages, "/snapshot.json")
        dom = browse(service.url, tmp_path / "profile", "--dump-dom")
    assert "no answer: there is nothing there" in texts(dom)
    assert 'class="push lost"' in dom


def test_the_page_is_drawn(pool: Pool[Thing], tmp_path: Path) -> None:
    """The picture is kept where pytest keeps its files, for whoever wants to look at it."""
    picture = tmp_path / "page.png"
    with serve("127.0.0.1:0", pool) as service, pool.connection(5):
        ready(service)
        browse(
            service.url, tmp_path / "profile", f"--screenshot={picture}",
            "--window-size=1280,800", "--blink-settings=preferredColorScheme=0",  # dark
        )  # fmt: skip
    header = picture.read_bytes()[:24]
    assert struct.unpack(">II", header[16:]) == (1280, 800)
