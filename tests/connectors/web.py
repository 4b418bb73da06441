"""A real HTTP server, that hangs up, says too much, or falls silent when it is asked to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def handle(self) -> None:
        web = self._web
        web.accepted += 1
        web.sockets.add(self.connection)
        try:
            super().handle()
        except OSError:
            pass
        finally:
            web.sockets.discard(self.connection)

    @property
    def _web(self) -> WebServer:
        assert isinstance(self.server, _Threads)
        return self.server.web

    def do(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        self._web.requests.append(f"{self.command} {self.path}")
        getattr(self, urlsplit(self.path).path.strip("/"), self.echo)(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do  # noqa: N815 - what http.server calls

    def echo(self, body: bytes) -> None:
        self.answer(body or self.path.encode())

    def answer(self, body: bytes, *, ending: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if ending:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end(self, body: bytes) -> None:
        self.answer(b"the end", ending=True)

    def drop(self, body: bytes) -> None:
        """Hang up without an answer."""
        self.close_connection = True

    def half(self, body: bytes) -> None:
        """Hang up in the middle of an answer."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        self.close_connection = True

    def twice(self, body: bytes) -> None:
        """Answer twice."""
        one = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nyours"
        self.wfile.write(one + one)

    def hints(self, body: bytes) -> None:
        """Say early, twice, what http.client does not know of; then answer."""
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
        self.wfile.write(hint)
        self.wfile.write(hint)
        self.answer(b"the answer")

    def upgrade(self, body: bytes) -> None:
        """Go on in another protocol."""
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n")

    def nonsense(self, body: bytes) -> None:
        self.wfile.write(b"220 mail.example.org ESMTP\r\n")
        self.close_connection = True

    def large(self, body: bytes) -> None:
        self.answer(bytes(5_000_000))

    def chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    def silence(self, body: bytes) -> None:
        self._web.silence.wait(60)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class _Threads(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, web: WebServer, address: tuple[str, int]) -> None:
        self.web = web
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up is not reported."""


class WebServer:
    """Serves on loopback until it is closed."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self.requests: list[str] = []
        self.sockets: set[socket.socket] = set()
        self.silence = threading.Event()
        self._server = _Threads(self, ("127.0.0.1", 0))
        self._scheme = "https" if tls else "http"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    @property
    def url(self) -> str:
        host = "localhost" if self._scheme == "https" else "127.0.0.1"
        return f"{self._scheme}://{host}:{self.port}"

    def hang_up(self) -> None:
        """End every connection, as a server does that was idle for too long."""
        for sock in list(self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.silence.set()
        self._server.shutdown()
        self.hang_up()
        self._server.server_close()
        self._thread.join()
