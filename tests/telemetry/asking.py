"""Asking an endpoint, byte by byte where need be."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from cenote.telemetry import Service
from cenote.telemetry.endpoint import Endpoint


def connect(service: Service) -> socket.socket:
    where = Endpoint.read(service.endpoint)
    if where.path:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(where.path)
        return connection
    return socket.create_connection((where.host, where.port), timeout=30)


def exchange(service: Service, sent: bytes) -> bytes:
    """Send bytes and return everything that comes back."""
    with connect(service) as connection:
        connection.sendall(sent)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass  # it would not read all that was sent
    return received


def get(service: Service, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for a path; returns status, headers in lower case, and body."""
    told = {"Host": "127.0.0.1", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return answer(exchange(service, f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()))


def answer(received: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def snapshot(service: Service) -> Any:
    status, _, body = get(service, "/snapshot.json")
    assert status == 200, body
    return json.loads(body)


def eventually(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something outside this process has come about."""
    deadline, pause = monotonic() + seconds, threading.Event()
    while not holds():
        assert monotonic() < deadline, "it has not come about"
        pause.wait(0.02)
