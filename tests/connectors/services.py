"""A small real service that answers lines with lines, over TCP, TLS or a unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

Where = tuple[str, int] | str


class LineServer:
    """Answers each line; may be stopped, which ends every connection, and started again.

    ``say x`` is answered with ``x``, ``twice x`` with two lines, ``half x`` with a line that lacks
    its end, ``mute`` not at all, ``name`` with the server's name, ``bye`` by hanging up.
    """

    def __init__(
        self, where: Where = ("127.0.0.1", 0), *, name: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.where = where
        self.name = name
        self.accepted = 0
        self.lines: list[bytes] = []
        self._tls = tls
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.start()

    @property
    def port(self) -> int:
        assert isinstance(self.where, tuple)
        return self.where[1]

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX if isinstance(self.where, str) else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.where)
        listener.listen(128)
        self.where = listener.getsockname()
        self._listener = listener
        self._spawn(self._accept, listener)

    def stop(self) -> None:
        """Refuse whoever comes, hang up on whoever is there."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._threads.clear()
        if isinstance(self.where, str):
            Path(self.where).unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _spawn(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener, contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.accepted += 1
                self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with self._secured(sock) as secured, secured.makefile("rb") as lines:
                for line in lines:
                    self.lines.append(line)
                    if (reply := self._reply(line.strip())) is None:
                        return
                    secured.sendall(reply)
        except OSError:
            pass  # whoever hangs up is not waited for

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._sockets.add(sock)  # before the handshake: whoever stalls in it can be hung up on
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        except OSError:
            sock.close()
            raise
        return sock

    def _reply(self, line: bytes) -> bytes | None:
        verb, _, rest = line.partition(b" ")
        match verb:
            case b"say":
                return rest + b"\n"
            case b"twice":
                return (rest + b"\n") * 2
            case b"half":
                return rest
            case b"name":
                return self.name.encode() + b"\n"
            case b"fill":
                return os.urandom(int(rest))
            case b"bye":
                return None
            case _:
                return b""
