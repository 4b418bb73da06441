"""A server that speaks TLS by a script, for what a real one can not be made to do."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from cenote.connection import TCPAddress

Script = Callable[["TLSPeer"], None]


class TLSPeer:
    """Accepts a connection for each script, one after the other; runs it in a thread, and closes.

    Attributes:
        address: Where it listens.
        sock: The connection.
        failure: What the script died of.
    """

    def __init__(self, context: ssl.SSLContext, *scripts: Script) -> None:
        self._context = context
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, name="tls-peer")
        self._begin()
        self.address = TCPAddress(*self._listener.getsockname())
        self.sock = socket.socket()
        self.failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._thread.join, 10)
        self._listener.close()
        self.sock.close()
        assert kind is not None or self.failure is None, self.failure

    def _begin(self) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _run(self) -> None:
        try:
            self._listener.settimeout(8)
            for script in self._scripts:
                accepted, _ = self._listener.accept()
                self.sock.close()
                self.sock = accepted
                self.sock.settimeout(8)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._begin()
                script(self)
                self.sock.close()
        except BaseException as error:
            self.failure = error
        finally:
            self.sock.close()

    # For scripts.

    def receive(self) -> None:
        """Take what comes, undeciphered."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._incoming.write(data)

    def flush(self) -> None:
        """Send what TLS has to say."""
        self.sock.sendall(self._outgoing.read())

    def shake_hands(self, *, hold_tickets: bool = False) -> None:
        """Do the handshake; ``hold_tickets``: what follows it is for ``flush`` to send."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()
            else:
                break
        if not hold_tickets:
            self.flush()

    def read(self) -> bytes:
        """What the client says next."""
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                self.receive()

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self.flush()

    def say_goodbye(self) -> None:
        """Send close_notify."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self.flush()

    def close(self) -> None:
        """Close the connection without a word of TLS."""
        self.sock.close()

    def introduce(self) -> None:
        """Do the handshakes of TLS and of a client."""
        self.shake_hands()
        self.expect(b"mn\r\nversion\r\n", b"MN\r\nVERSION 1.6.18\r\n")

    def expect(self, asked: bytes, answer: bytes) -> None:
        heard = b""
        while len(heard) < len(asked):
            heard += self.read()
        assert heard == asked
        self.write(answer)

    def await_end(self) -> None:
        """Wait until the client has gone."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            return
