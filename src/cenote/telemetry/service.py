"""The endpoint at which a process can be looked at: opened when asked, for reading only.

Strategy: one daemon thread with an event loop of its own, so that it works in programs with threads
and with asyncio alike, and slow askers cost nothing: each connection has a deadline for everything,
and there is room for so many at once. Every second the loop reads the pools, without their locks,
for the history and the alerts. What goes wrong with an answer is logged, and is that answer's end.

A forked child closes its copy of the listening socket and touches nothing else: its parent's loop
shares a selector with it. It may serve at an endpoint of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import logging
import os
import socket
import stat
import threading
import weakref
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Self

from cenote.errors import ConfigurationError
from cenote.telemetry import snapshot
from cenote.telemetry.alerts import Judge
from cenote.telemetry.asking import LONGEST_HEAD, Asked, Refused, answer, read
from cenote.telemetry.endpoint import DEFAULT, Endpoint
from cenote.telemetry.events import EventLog
from cenote.telemetry.page import page
from cenote.telemetry.sources import Source, Sources

_log = logging.getLogger("cenote.telemetry")

STEP = 1.0  # seconds between two looks at the pools
PATIENCE = 5.0  # seconds that a connection may take, from its first byte to its last
ROOM = 64  # connections at once; more are turned away

_Answer = tuple[bytes, str, dict[str, str]]


class Service:
    """An endpoint that is open; see `serve`, which makes it.

    Attributes:
        endpoint: Where it is: a path, or ``host:port``.
        url: The page's address, for a browser; empty for a unix socket.
    """

    def __init__(self, endpoint: Endpoint, sources: Sources, token: str | None) -> None:
        self._socket = _listen(endpoint)
        if not endpoint.path:
            host, port = self._socket.getsockname()[:2]
            endpoint = Endpoint(host=endpoint.host or host, port=port)
        self._where = endpoint
        self._sources = sources
        self._token = token
        self._events = EventLog()
        self._history = snapshot.History()
        self._judge = Judge()
        self._open = 0
        self._callers: set[asyncio.Transport] = set()
        self._pages: dict[str, Callable[[], _Answer]] = {
            "/": page,
            "/snapshot.json": self._snapshot,
            "/history.json": self._told_history,
            "/metrics": self._metrics,
        }
        self._loop = asyncio.SelectorEventLoop()  # whichever the program itself runs
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="cenote-telemetry")
        try:
            self._thread.start()
        except BaseException:  # no thread can be had now
            self._socket.close()
            self._loop.close()
            raise
        _SERVICES.add(self)

    @property
    def endpoint(self) -> str:
        """Where it is: a path, or ``host:port``."""
        return str(self._where)

    @property
    def url(self) -> str:
        """The page's address, for a browser; empty for a unix socket."""
        return "" if self._where.path else f"http://{self._where}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Service at {self._where}>"

    def close(self, timeout: float = 5.0) -> None:
        """Close the endpoint; answers under way are broken off. A second call does nothing.

        Args:
            timeout: Seconds to wait for its thread at most.
        """
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended by itself just now
                self._loop.call_soon_threadsafe(self._closing.set)
            if self._thread is not threading.current_thread():
                self._thread.join(timeout)

    # In the thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception:
            _log.exception("the telemetry endpoint at %s has died", self._where)
        finally:
            self._socket.close()
            if self._where.path:
                with contextlib.suppress(OSError):
                    Path(self._where.path).unlink()

    async def _serve(self) -> None:
        make = self._loop.create_unix_server if self._where.path else self._loop.create_server
        server = await make(lambda: _Caller(self._meet, self._callers), sock=self._socket)
        tick = asyncio.create_task(self._tick())
        try:
            await self._closing.wait()
        finally:
            tick.cancel()
            self._events.leave(self._sources)
            self._loop.remove_reader(self._socket)  # asyncio loses who is accepted while it closes
            await _some_turns()
            server.close()
            for transport in list(self._callers):
                transport.abort()
            await _some_turns()

    async def _tick(self) -> None:
        while True:
            self._look(monotonic())
            await asyncio.sleep(STEP)

    def _look(self, now: float) -> None:
        try:
            self._events.follow(self._sources)
            readings = self._sources.read()
            pools = {each.label: each.stats for each in readings}
            nodes = {each.label: each.node for each in readings if each.node is not None}
            self._history.add(now, pools)
            self._judge.judge(now, pools, nodes)
        except Exception:
            _log.exception("the pools could not be looked at; it is tried again")

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(await self._reply(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone, or took too long
        finally:
            self._open -= 1
            writer.transport.abort()  # nothing, if it is closed

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await self._head(reader)
            asked, (body, kind, headers) = self._judge_and_find(head)
        except Refused as refused:
            says = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
            return answer(refused.status, f"{refused.says}\n".encode(), "text/plain", says)
        return answer(HTTPStatus.OK, body, kind, headers, send_body=asked.body)

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        if self._open > ROOM:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many ask at once")
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            too_long = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise Refused(too_long, f"a head of over {LONGEST_HEAD} bytes") from None
        return head.removesuffix(b"\r\n\r\n")

    def _judge_and_find(self, head: bytes) -> tuple[Asked, _Answer]:
        try:
            asked = read(head, self._where, self._token)
            return asked, self._find(asked.path)
        except Refused:
            raise
        except Exception as error:
            _log.exception("a request could not be answered")
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "it failed; see the log") from error

    def _find(self, path: str) -> _Answer:
        make = self._pages.get(path)
        if make is None:
            known = ", ".join(self._pages)
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing there; there is {known}")
        return make()

    # What there is to see.

    def _snapshot(self) -> _Answer:
        now = monotonic()
        told = snapshot.take(self._sources, now, self._judge.firing(), self._events.latest())
        return _json(told)

    def _told_history(self) -> _Answer:
        return _json(self._history.told())

    def _metrics(self) -> _Answer:
        try:
            from cenote.telemetry.prometheus import (  # noqa: PLC0415 - an extra, when asked for
                CONTENT_TYPE,
                exposition,
            )
        except ImportError as error:
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, str(error)) from error
        return exposition(self._sources), CONTENT_TYPE, {}

    def _orphan(self) -> None:
        """In a forked child: leave all to the parent."""
        os.close(self._socket.detach())
        _ORPHANS.append(self)


_SERVICES: weakref.WeakSet[Service] = weakref.WeakSet()
_ORPHANS: list[Service] = []
"""Services of the parent: kept, because a finalizer of their loop would touch its selector."""


def serve(endpoint: str = DEFAULT, *given: Source, token: str | None = None) -> Service:
    """Open an endpoint at which this process' pools can be looked at; see ``docs/telemetry.md``.

    It shows a page (``/``), the same as JSON (``/snapshot.json``, ``/history.json``), and the text
    that Prometheus scrapes (``/metrics``, with the extra ``prometheus``). ``cenote top`` asks it
    too. Nothing can be changed through it. It ends with ``close``, or with the process.

    Args:
        endpoint: ``"host:port"`` (port 0: any), or the path of a unix socket, which only this user
            can connect to. An endpoint that other machines can reach needs a token.
        *given: Pools and clients to show; none: every pool of the process.
        token: What whoever asks must say (``Authorization: Bearer``, or ``?token=`` in the page's
            address). It travels in the clear.

    Returns:
        The open endpoint.

    Raises:
        ConfigurationError: The endpoint is none, or needs a token.
        OSError: It can not be opened; something else may be there.
    """
    where = Endpoint.read(endpoint)
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ConfigurationError("a token is some printable ASCII characters")
    if token is None and not where.is_private:
        raise ConfigurationError(
            f"other machines can reach {where}: give a token, or serve at 127.0.0.1"
        )
    return Service(where, Sources(*given), token)


class _Caller(asyncio.StreamReaderProtocol):
    """A connection, which is known from its first moment to its last."""

    def __init__(
        self,
        meet: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        callers: set[asyncio.Transport],
    ) -> None:
        super().__init__(asyncio.StreamReader(limit=LONGEST_HEAD), meet)
        self._callers = callers
        self._mine: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._mine = transport
        self._callers.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """And has gone."""
        super().connection_lost(exc)
        if self._mine is not None:
            self._callers.discard(self._mine)


async def _some_turns() -> None:
    """Let the loop turn: what was accepted becomes known, what was aborted is closed."""
    for _ in range(5):
        await asyncio.sleep(0)


def _listen(endpoint: Endpoint) -> socket.socket:
    try:
        return _bound(endpoint)
    except OSError as error:
        if error.errno is None:
            raise
        text = f"can not serve at {endpoint}: {os.strerror(error.errno)}"
        raise OSError(error.errno, text) from error


def _bound(endpoint: Endpoint) -> socket.socket:
    if not endpoint.path:
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        return socket.create_server((endpoint.host, endpoint.port), family=family)
    _remove_dead(endpoint.path)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(endpoint.path)
        Path(endpoint.path).chmod(0o600)
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def _remove_dead(path: str) -> None:
    """Remove a socket that a process has left behind; one that answers stays, and is in the way."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):  # noqa: PTH116 - the link itself
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()


def _json(told: object) -> _Answer:
    return json.dumps(told, separators=(",", ":"), allow_nan=False).encode(), "application/json", {}


def _after_fork_in_child() -> None:
    for service in list(_SERVICES):
        service._orphan()  # noqa: SLF001 - of this module


def _close_all() -> None:
    """At the end of the process: leave no socket's path behind."""
    for service in list(_SERVICES):
        service.close()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
