"""Asking a process for a snapshot, at a port or a unix socket."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any

from cenote.cli.top.model import Snapshot
from cenote.errors import CenoteError
from cenote.telemetry.endpoint import Endpoint
from cenote.telemetry.snapshot import FORMAT


class Unanswered(CenoteError):
    """A process did not answer, or not as one of ours."""


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._patience)
        self.sock.connect(self._path)


def ask(endpoint: Endpoint, token: str | None, timeout: float = 5.0) -> Snapshot:
    """Return a snapshot of a process.

    Raises:
        Unanswered: Nobody listens, it took too long, it was refused, or it is something else.
    """
    if endpoint.path:
        connection: HTTPConnection = _UnixConnection(endpoint.path, timeout)
    else:
        connection = HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", "/snapshot.json", headers=headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise Unanswered(f"{endpoint}: {_reason(error)}: {_REMEDY}") from error
    finally:
        connection.close()
    return _read(endpoint, status, body)


_REMEDY = "have the process call cenote.telemetry.serve()"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read(endpoint: Endpoint, status: int, body: bytes) -> Snapshot:
    if status != 200:
        said = body.decode("utf-8", "replace").strip().partition("\n")[0][:200]
        raise Unanswered(f"{endpoint}: {said or status}")
    try:
        told: Any = json.loads(body)
        version = told["format"]
    except (ValueError, KeyError, TypeError):
        raise Unanswered(f"{endpoint}: not an endpoint of cenote.telemetry.serve()") from None
    if version != FORMAT:
        raise Unanswered(f"{endpoint}: it speaks format {version}, not {FORMAT}: update cenote")
    return dict(told)
