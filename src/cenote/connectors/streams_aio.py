"""Connectors of byte streams for ``AsyncPool``: TCP, TLS and unix sockets.

Strategy: that of ``streams_sync.py``, for an event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection import failures, tls_failures
from cenote.connection.address import Address, TCPAddress, UnixAddress, check_address
from cenote.connection.opening_aio import Opening
from cenote.connection.tls import AnyTLS, Securing, peer_name, securing
from cenote.connectors import endings
from cenote.connectors.stream_aio import AsyncStream

if TYPE_CHECKING:
    import socket

    from cenote.pool.connector import Verdict


class AsyncStreamConnector:
    """Opens streams to one address; made by ``tcp`` and ``unix``."""

    def __init__(
        self,
        address: Address,
        tls: Securing | None,
        server_hostname: str | None,
        timeout: float | None,
        one_way: bool,
    ) -> None:
        self._address = address
        self._tls = tls
        self._server_hostname = server_hostname
        self._timeout = timeout
        self._one_way = one_way

    async def connect(self, timeout: float) -> AsyncStream:
        """Open a stream within ``timeout`` seconds; a cancel closes what was opened.

        Raises:
            OperationTimeout: The time was up, with ``phase="connect"``.
            OSError: No address could be connected to, or the TLS handshake failed.
            TLSError: The peer's certificate is refused, or a file of ours can not be loaded.
        """
        began = monotonic()
        opening = Opening(self._address)
        context = self._tls.context() if self._tls else None
        try:
            async with asyncio.timeout(timeout):
                sock = await opening.run()
                opening.state = "TLS handshake" if self._tls else opening.state
                return await self._attach(sock, context)
        except ssl.SSLCertVerificationError as error:
            raise tls_failures.rejected(self._address, self._server_hostname, error) from error
        except TimeoutError as error:
            seconds = monotonic() - began
            raise failures.connect_timed_out(self._address, seconds, opening.state) from error

    async def _attach(self, sock: socket.socket, context: ssl.SSLContext | None) -> AsyncStream:
        """Put a connected socket under the event loop's care; closed if that fails."""
        loop = asyncio.get_running_loop()
        is_unix = isinstance(self._address, UnixAddress)
        create = loop.create_unix_connection if is_unix else loop.create_connection
        make = partial(AsyncStream, sock, self._address, self._timeout, one_way=self._one_way)
        try:
            _, stream = await create(
                make, sock=sock, ssl=context, server_hostname=self._server_hostname
            )
        except BaseException:
            sock.close()
            raise
        return stream

    async def close(self, stream: AsyncStream) -> None:
        """Close a stream in good order, within a second."""
        await stream.close()

    def abort(self, stream: AsyncStream) -> None:
        """Close a stream without a word: what a forked child does with its parent's."""
        stream.abort()

    def is_alive(self, stream: AsyncStream) -> bool:
        """Look whether an idle stream has ended, or says something nobody asked for."""
        return stream.is_alive()

    def is_clean(self, stream: AsyncStream) -> bool:
        """Say whether a stream that comes back may be given to somebody else."""
        return stream.clean

    def classify(self, error: BaseException) -> Verdict:
        """Judge what ended a lease: a lost connection makes its siblings suspect too."""
        return endings.classify(error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._address}>"


def tcp(
    host: str,
    port: int,
    tls: AnyTLS | bool | None = None,
    *,
    server_hostname: str | None = None,
    timeout: float | None = 5.0,
    one_way: bool = False,
) -> AsyncStreamConnector:
    """Connect to a TCP service, with TLS or without; the arguments are those of ``Pool``'s."""
    address = TCPAddress(host, port)
    check_address(address)
    secured = securing(tls)
    name = peer_name(secured, server_hostname, host)
    return AsyncStreamConnector(address, secured, name, timeout, one_way)


def unix(
    path: str,
    tls: AnyTLS | bool | None = None,
    *,
    server_hostname: str | None = None,
    timeout: float | None = 5.0,
    one_way: bool = False,
) -> AsyncStreamConnector:
    """Connect to a service on a unix stream socket; the arguments are those of ``Pool``'s."""
    address = UnixAddress(path)
    check_address(address)
    secured = securing(tls)
    name = peer_name(secured, server_hostname, None)
    return AsyncStreamConnector(address, secured, name, timeout, one_way)
