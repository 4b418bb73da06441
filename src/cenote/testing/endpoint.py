"""A configuration endpoint for tests: it answers ``config get cluster`` as the clouds do.

Strategy: it stands beside real servers and keeps only their list, which a test changes. What it
answers is bytes, and a test may have it answer any others. Three dialects: Amazon's names hosts,
Google's has IPs in both places, engines before 1.4.14 keep the list under a key.
"""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

Dialect = Literal["aws", "gcp", "old"]


class ConfigurationEndpoint:
    """An endpoint on a loopback port, answering from the moment it is made.

    Args:
        nodes: The host, IP and port of each server that it lists.
        dialect: Whose it is like.
        version: The version of the list.
        login: The user and the password of who may log in; None: it knows of no such thing.

    Attributes:
        nodes: What is listed; change it together with ``version``.
        version: The version of the list.
        answer: Bytes to answer with instead; None: the list.
        asked: How often it was asked for the list.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, str, int]],
        *,
        dialect: Dialect = "aws",
        version: int = 1,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.nodes = list(nodes)
        self.version = version
        self.answer: bytes | None = None
        self.asked = 0
        self._dialect: Dialect = dialect
        self._login = None if login is None else " ".join(login).encode()
        self._server = _Server(("127.0.0.1", 0), _Conversation)
        self._server.endpoint = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="configuration-endpoint"
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, as ``host:port``."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def reply(self, line: bytes) -> bytes:
        """Return the answer to one line."""
        if line == b"version":
            return b"ERROR\r\n" if self._dialect == "gcp" else b"VERSION 1.4.14\r\n"
        if line.startswith(b"set ") and self._login is not None:
            return b""  # the next line says who it is
        if line == self._login:
            return b"STORED\r\n"
        old = self._dialect == "old"
        if line == (b"get AmazonElastiCache:cluster" if old else b"config get cluster"):
            self.asked += 1
            return self.answer if self.answer is not None else self._listed(old)
        return b"ERROR\r\n"

    def _listed(self, old: bool) -> bytes:
        nodes = " ".join(
            f"{ip if self._dialect == 'gcp' else host}|{ip}|{port}" for host, ip, port in self.nodes
        )
        text = f"{self.version}\n{nodes}\n".encode()
        head = b"VALUE AmazonElastiCache:cluster" if old else b"CONFIG cluster"
        return b"%b 0 %d\r\n%b\r\nEND\r\n" % (head, len(text), text)

    def close(self) -> None:
        """End it; whoever connects is refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True  # one that is asked nothing more is not waited for
    endpoint: ConfigurationEndpoint


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        for line in self.rfile:
            self.wfile.write(self.server.endpoint.reply(line.rstrip(b"\r\n")))
