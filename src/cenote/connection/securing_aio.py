"""TLS between an event loop's transport and a channel, which takes it for its transport.

Strategy: what the transport receives is decrypted and passed on to the channel in the same
callback; what the channel writes is encrypted and written at once. The stream knows how much has
not been written, holds back and ends as the transport does. The channel is told that it is
connected when the handshake is over.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

from cenote.connection import failures, tls_failures
from cenote.connection.address import TCPAddress
from cenote.connection.reading_aio import Reads

if TYPE_CHECKING:
    import socket

    from cenote.connection.address import Address
    from cenote.connection.tls import Securing

_CHUNK = 65536


class SecureTransport(asyncio.Protocol):
    """A channel's transport, and the protocol of the transport below.

    Args:
        channel: Gets what the server says.
        address: The server.
        tls: Makes the tunnel.

    Raises:
        TLSError: A file can not be read, or there is no name to check.

    Attributes:
        tunnel: The TLS side of the connection.
        established: Done when the handshake is over; fails as connecting does.
    """

    def __init__(self, channel: asyncio.Protocol, address: Address, tls: Securing) -> None:
        host = address.host if isinstance(address, TCPAddress) else None
        self.tunnel = tls.tunnel(host, address)
        self._name = tls.name_for(host)
        self._address = address
        self._channel = channel
        self._transport: asyncio.Transport | None = None
        self._reads: Reads  # from when there is a transport on
        loop = asyncio.get_running_loop()
        self.established: asyncio.Future[None] = loop.create_future()

    # Towards the server.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._reads = Reads(transport)
        self._advance(b"")

    def data_received(self, data: bytes) -> None:
        """Pass on what the server says."""
        self._reads.came(len(data))
        if not self.tunnel.established:
            self._advance(data)
            return
        said = self.tunnel.decrypt(data)
        if said:
            self._channel.data_received(said)  # who is woken by it may look whether there is more
        if self.tunnel.end is not None and not self.is_closing():
            self._break(self.tunnel.end)

    def pause_writing(self) -> None:
        """Pass it on."""
        if self.tunnel.established:
            self._channel.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self.tunnel.established:
            self._channel.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on, or fail the handshake."""
        if self.tunnel.established:
            self._channel.connection_lost(exc)
        else:
            self._fail(failures.hung_up_securing(self._address, exc or failures.END_OF_FILE))

    def _advance(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            answer = self.tunnel.advance(data)
        except ssl.SSLError as error:
            self._transport.write(self.tunnel.parting())
            self._transport.close()
            rejected = tls_failures.rejected(self._address, self._name, error)
            rejected.__cause__ = error
            self._fail(rejected)
            return
        self._transport.write(answer)
        if self.tunnel.established:
            self._channel.connection_made(cast(asyncio.Transport, self))
            if not self.established.done():
                self.established.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self.established.done():
            self.established.set_exception(error)
            self.established.exception()  # who connects may have been cancelled: nobody need know

    def _break(self, error: Exception) -> None:
        """End what the server has ended, or what can not be believed."""
        self._channel.connection_lost(error)
        self.abort()

    # Towards the channel.

    def write(self, data: bytes) -> None:
        """Encrypt and write; nothing is written behind the end, which the channel is to be told."""
        assert self._transport is not None
        if self.tunnel.end is None:
            self._transport.write(self.tunnel.encrypt(data))

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have not been written, encrypted."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        return self._transport is None or self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, saying so if the server takes that at once too."""
        if self._transport is None:
            return
        if not self._transport.is_closing() and not self._transport.get_write_buffer_size():
            self._transport.write(self.tunnel.goodbye())
        self._transport.abort()

    def catch_up(self, sock: socket.socket) -> None:
        """Take what has arrived since the loop last looked: it may say nothing, or the end.

        Args:
            sock: The socket below the transport.
        """
        if self.tunnel.end is not None:
            self._break(self.tunnel.end)
            return
        try:
            while data := sock.recv(_CHUNK):
                self.data_received(data)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
        else:
            self._break(EOFError(failures.END_OF_FILE))
