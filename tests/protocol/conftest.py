"""The implementation of the protocol in use, and a real memcached to hold it against."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cenote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NATIVE = "cenote.protocol._native"
SPEEDUPS = "cenote.protocol._speedups"


@pytest.fixture(scope="session")
def codec() -> Any:
    """The implementation of the protocol that is in use: encoders and ReplyParser."""
    return import_module(SPEEDUPS if cenote.implementation == "speedups" else NATIVE)


@pytest.fixture
def answer(codec: Any) -> Callable[..., Any]:
    """Return the one reply that ``segments`` make to ``request``, proving that nothing is left."""

    def answered(request: Any, *segments: bytes) -> Any:
        parser = codec.ReplyParser()
        parser.expect(request)
        replies = [reply for segment in segments for reply in parser.feed(segment)]
        assert len(replies) == 1
        assert parser.pending == 0
        return replies[0]

    return answered


@pytest.fixture(scope="module")
def memcached() -> Iterator[str]:
    """The path of the unix socket of a memcached of our own."""
    binary = shutil.which("memcached")
    if binary is None:
        pytest.skip("memcached is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "memcached.sock")
        options = ["-s", path, "-t", "1", "-m", "64"]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        server = subprocess.Popen([binary, *options, *user])
        try:
            _wait_for(path, server)
            yield path
        finally:
            server.kill()
            server.wait()


def _wait_for(path: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(0.005)  # there is nothing to wait on but the socket itself
    raise AssertionError("memcached did not start")


class Wire:
    """A raw connection: requests are written, bytes are fed as they come."""

    def __init__(self, codec: Any, path: str) -> None:
        self.parser = codec.ReplyParser()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)

    def ask(self, *requests: Any) -> list[Any]:
        """Send the requests in one write and return their replies."""
        for request in requests:
            self.parser.expect(request)
        self._socket.sendall(b"".join([request.payload for request in requests]))
        replies: list[Any] = []
        while self.parser.pending and self.parser.usable:
            room = self.parser.get_buffer(-1)
            received = self._socket.recv_into(room)
            assert received, "memcached closed the connection"
            replies += self.parser.buffer_updated(received)
        return replies

    def raw(self, data: bytes, lines: int) -> list[bytes]:
        """Send bytes as they are and return the next ``lines`` lines."""
        self._socket.sendall(data)
        answer = b""
        while answer.count(b"\r\n") < lines:
            answer += self._socket.recv(65536)
        return answer.splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(codec: Any, memcached: str) -> Iterator[Wire]:
    """A raw connection to the real server, which holds no item at the start."""
    wire = Wire(codec, memcached)
    wire.ask(codec.flush_all())
    yield wire
    wire.close()
