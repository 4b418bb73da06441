"""The socket under the exchange, in pure Python: what is sent, awaited and parsed.

Strategy: nothing is decided here but how long to wait. Time is limited as ``patience.py`` says;
bytes go to the parser as they come, those of a reply that has begun straight to where it wants
them.
"""

from __future__ import annotations

import math
import select
import socket
import struct
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection import failures, patience
from cenote.errors import ProtocolError
from cenote.protocol import Reply, ReplyParser

if TYPE_CHECKING:
    from cenote.connection.tunnel import Tunnel

CHUNK = 16384
SEALED = 65536
NOW = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


class DeadlinePassed(Exception):
    """The deadline passed inside a wait."""


class Stream:
    """A connected stream socket, the TLS over it if there is any, and the parser of what comes."""

    __slots__ = ("_armed", "_parser", "_received", "_sent", "_sock", "tunnel")

    def __init__(self, sock: socket.socket, tunnel: Tunnel | None) -> None:
        sock.settimeout(None)
        self._sock = sock
        self.tunnel = tunnel
        self._parser = ReplyParser()
        self._armed = math.inf
        self._sent = 0
        self._received = 0

    def _send(self, payload: bytes | memoryview) -> int:
        """Send what the socket takes at once; how much that was."""
        try:
            if self.tunnel is None:
                return self._sock.send(payload, NOW)
            return self.tunnel.sent(self._sock.send(self.tunnel.seal(payload), NOW))
        except BlockingIOError:
            return 0

    def _send_while_reading(self, payload: bytes, deadline: float) -> list[Reply]:
        """Send what has not been sent; the replies that came meanwhile."""
        replies: list[Reply] = []
        while self._sent < len(payload):
            ready = self._await(select.POLLIN | select.POLLOUT, deadline - monotonic())
            if ready & ~select.POLLOUT:
                replies += self._take(NOW) or ()
            if ready & select.POLLOUT:
                self._sent += self._send(memoryview(payload)[self._sent :])
        return replies

    def _receive(self, deadline: float) -> list[Reply]:
        """Wait for bytes; the replies they complete."""
        while True:
            rest = deadline - monotonic()
            if rest < patience.PRECISE:
                self._await(select.POLLIN, rest)
                replies = self._take(NOW)
            else:
                if patience.too_patient(self._armed, rest):
                    self._arm(patience.arm_for(rest))
                replies = self._take(0)
            if replies is not None:
                return replies
            self._armed = math.inf  # struck too early: set it to what is left

    def _take(self, flags: int) -> list[Reply] | None:
        """One ``recv``: of a reply that has begun straight to where the parser wants the rest.

        Returns:
            The replies it completed, None if there were no bytes.
        """
        try:
            if self.tunnel is not None:
                return self._take_sealed(self.tunnel, flags)
            return self._take_rest(flags) if self._parser.started else self._take_new(flags)
        except BlockingIOError:
            return None

    def _take_new(self, flags: int) -> list[Reply]:
        return self._parse(self._sock.recv(CHUNK, flags))

    def _parse(self, data: bytes) -> list[Reply]:
        if not data:
            raise EOFError(failures.END_OF_FILE)
        self._received += len(data)
        return self._parser.feed(data)

    def _take_sealed(self, tunnel: Tunnel, flags: int) -> list[Reply]:
        """One ``recv`` and all that it says, which may be nothing to us."""
        if tunnel.end is None:
            sealed = self._sock.recv(SEALED, flags)
            if not sealed:
                raise EOFError(failures.END_OF_FILE)
            data = tunnel.decrypt(sealed)
            if data or tunnel.end is None:
                self._received += len(data)
                return self._parser.feed(data)
        raise tunnel.end

    def _take_rest(self, flags: int) -> list[Reply]:
        with self._parser.get_buffer(CHUNK) as room:
            count = self._sock.recv_into(room, 0, flags)
        if not count:
            raise EOFError(failures.END_OF_FILE)
        self._received += count
        return self._parser.buffer_updated(count)

    def _await(self, events: int, rest: float) -> int:
        """Wait exactly ``rest`` seconds for the socket to be ready; for what it is."""
        poller = select.poll()
        poller.register(self._sock, events)
        ready = poller.poll(patience.poll_milliseconds(rest)) if rest > 0 else []
        if not ready:
            raise DeadlinePassed
        return ready[0][1]

    def _arm(self, seconds: float) -> None:
        micros, whole = math.modf(seconds)
        timeval = struct.pack("@ll", int(whole), int(micros * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._armed = seconds

    def _peer_is_silent(self) -> bool:
        try:
            while self._take(NOW) is not None:
                pass
        except (OSError, EOFError, ProtocolError):
            return False
        return self._parser.usable
