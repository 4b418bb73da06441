"""Addresses that behave as a test needs them: names with several, servers that say what they are
told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cenote.connection import TCPAddress
from tests.connection.peers import Peer, receive_exactly


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> Iterator[None]:
    """A world in which the name `several` has the given IPv4 addresses."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        if host != "several" or options.get("flags"):
            return real(host, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@contextmanager
def answering(*replies: bytes, request: int = len(b"mn\r\nversion\r\n")) -> Iterator[TCPAddress]:
    """A server that reads one flight, says what it is told to, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(5)
                receive_exactly(sock, request)
                for reply in replies:
                    sock.sendall(reply)

        with Peer(serve):
            yield TCPAddress(*listener.getsockname())


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
