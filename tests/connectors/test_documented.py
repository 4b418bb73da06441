"""Every example of docs/connectors.md runs, on real servers, and prints what it says it prints.

The names of the examples' servers are resolved to those that run here, on whichever port.
"""

from __future__ import annotations

import contextlib
import gc
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.mail import MailServer
from tests.connectors.postgres import PostgresServer
from tests.connectors.services import LineServer
from tests.connectors.web import WebServer

PAGE = Path(__file__).resolve().parents[2] / "docs/connectors.md"
EXAMPLE = re.compile(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def _internal(
    monkeypatch: pytest.MonkeyPatch,
    lines: LineServer,
    web: WebServer,
    mail: MailServer,
    postgres: PostgresServer,
) -> None:
    """A network with the servers of the examples."""
    real = socket.getaddrinfo
    ports = {"quotes.internal": lines.port, "files.internal": web.port, "mail.internal": mail.port}

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host in ports and not options.get("flags"):
            host, port = "127.0.0.1", ports[host]
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv("PGHOST", str(postgres.folder))
    monkeypatch.setenv("PGUSER", "cenote")
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.usefixtures("_internal")
def test_every_example_prints_what_it_says(mail: MailServer) -> None:
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))
    assert len(examples) >= 8
    names: dict[str, object] = {}
    for code, expected in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        assert printed.getvalue() == expected, code
    assert sorted(mail.received) == [f"{name}@there.internal" for name in ("ann", "bob", "eve")]
    assert mail.sessions == 1
    names.clear()
    gc.collect()
