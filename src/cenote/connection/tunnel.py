# cython: annotation_typing=False
"""The TLS of one connection without any I/O: what is said on one side, what travels on the other.

Strategy: OpenSSL works between two memory buffers, so that our own ``send`` and ``recv`` keep their
guarantees: one absolute deadline, one write and one read a round trip. All that has arrived is
decrypted at once: nothing hides here while somebody waits for the socket to become readable. What
arrives and says nothing (a session ticket, a new key) is no data.

The last byte of what fills more than one record travels in a record of its own. memcached (1.6.18)
reads a part of a record, then waits for its socket with the rest in hand, which only something that
is yet to come would bring it to look at. A last byte is never a part. What fits in one record is
read whole.

A small request and its reply take five calls into Python's ``ssl``, by methods bound beforehand.
The same file is compiled, unchanged, as ``cenote.connection._tunnel_c`` (types in
``_tunnel_c.pxd``).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import cast

from cenote.connection import failures

RECORD = 16384
"""Bytes of the longest record."""

MOST = 262144
"""Bytes that are encrypted at a time, of what may not all be sent at once."""


class Tunnel:
    """One side of a TLS connection, the client's.

    Args:
        context: How to speak TLS.
        hostname: The name that the server's certificate must be for.
        session: A TLS session to resume, of the same context; None: begin anew.

    Raises:
        ValueError: The TLS session is of another context.

    Attributes:
        established: Whether the handshake is over.
        end: Why nothing more is to be expected: the peer has ended the conversation (``EOFError``),
            or what arrived can not be believed (``ssl.SSLError``); None: it goes on.
    """

    __slots__ = (
        "_continued", "_covers", "_drain", "_feed", "_incoming", "_object", "_read", "_unsent",
        "_write", "end", "established",
    )  # fmt: skip

    def __init__(
        self, context: ssl.SSLContext, hostname: str | None, session: ssl.SSLSession | None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, outgoing, server_hostname=hostname, session=session
        )
        self._feed, self._drain = self._incoming.write, outgoing.read
        spoken = _spoken_by(self._object)
        self._read, self._write = spoken.read, spoken.write
        self.end: Exception | None = None
        self._unsent = b""
        self._covers = 0
        self._continued = False
        self.established = False

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session, for another connection to resume; whole once the server has spoken."""
        return self._object.session

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed an earlier session."""
        return bool(self._object.session_reused)

    @property
    def version(self) -> str:
        """The version of TLS that was agreed on, as ``"TLSv1.3"``; empty before."""
        return self._object.version() or ""

    def advance(self, data: bytes = b"") -> bytes:
        """Go on with the handshake.

        Args:
            data: What the peer sent; nothing at first.

        Returns:
            What to send to it, however this ends: see ``parting``.

        Raises:
            ssl.SSLError: The handshake has failed.
        """
        self._feed(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self.established = True
        return self._drain()

    def parting(self) -> bytes:
        """Return what is to be sent yet after the handshake has failed: why, in TLS's words."""
        return self._drain()

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return what to send so that the peer gets ``data``, which is all there is for now."""
        return self._encrypt(data, len(data) > RECORD)

    def decrypt(self, data: bytes) -> bytes:
        """Return what the peer says by ``data``, which may be nothing; see ``end`` afterwards."""
        self._feed(data)
        room = min(RECORD, len(data))  # what is said is shorter than its records
        said = []
        while self.end is None:
            try:
                more = self._read(room)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                self.end = error
            else:
                if not more:
                    self.end = EOFError(failures.END_OF_FILE)
                said.append(more)
                if len(more) < room and not self._incoming.pending:  # else there may be more of it
                    break
        return b"".join(said)

    def goodbye(self) -> bytes:
        """Return what tells the peer that nothing follows."""
        with suppress(ssl.SSLError, ValueError):  # it does not wait for the peer to say so too
            self._object.unwrap()
        return self._drain()

    # For a socket that takes as much as it likes.

    def seal(self, data: bytes | memoryview) -> bytes:
        """Return what to send next, of ``data`` or, if that is not all sent, of what was before.

        Args:
            data: What was not counted by ``sent`` yet, from its beginning.
        """
        if not self._unsent:
            size = len(data)
            several = self._continued or size > RECORD
            self._continued = size > MOST
            self._covers = min(size, MOST)
            self._unsent = self._encrypt(memoryview(data)[:MOST] if size > MOST else data, several)
        return self._unsent

    def sent(self, count: int) -> int:
        """Say how much of it the socket took; return how much of the data that has seen off."""
        if count < len(self._unsent):
            self._unsent = self._unsent[count:]
            return 0
        self._unsent = b""
        return self._covers

    def _encrypt(self, data: bytes | memoryview, several: bool) -> bytes:
        """Return the records of what is all, or the end, of what fills one or ``several``."""
        if several and len(data) > 1:
            self._write(memoryview(data)[:-1])
            self._write(memoryview(data)[-1:])
        else:
            self._write(data)
        return self._drain()


def _spoken_by(secure: ssl.SSLObject) -> ssl.SSLObject:
    """Return what reads and writes are passed on to, which is in C; or else the object itself."""
    if type(secure) is not ssl.SSLObject:  # a context of the user's may make its own
        return secure
    return cast(ssl.SSLObject, getattr(secure, "_sslobj", secure))
