"""A real SMTP server."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
