"""Every example of docs/connectors.md runs, on real servers, and prints what it says it prints.

The names of the examples' servers are resolved to those that run here, on whichever port.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.connectors.postgres import PostgresServer
from tests.connectors.services import LineServer
from tests.connectors.web import WebServer

PAGE = Path(__file__).resolve().parents[2] / "docs/connectors.md"
EXAMPLE = re.compile(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL)


class MailServer:
    """A real SMTP server in a thread of its own."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.sessions = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)

    async def handle_DATA(  # noqa: N802 - what aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.received += envelope.rcpt_tos
        return "250 OK"

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._end = loop, asyncio.Event()
        server = await loop.create_server(self._session, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._end.wait()

    def _session(self) -> SMTP:
        self.sessions += 1
        return SMTP(self, hostname="mail.internal", loop=self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


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
