"""Connectors of byte streams for ``Pool``: TCP, TLS and unix sockets.

Strategy: every connect looks the name up anew and tries each address (``connection/race.py``), so
a pool follows a server that moves. An idle connection is checked by a peek, and one that comes back
unclean is discarded.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection.address import Address, TCPAddress, UnixAddress, check_address
from cenote.connection.opening_sync import open_socket
from cenote.connection.tls import AnyTLS, Securing, peer_name, securing
from cenote.connectors import endings
from cenote.connectors.securing_sync import secure
from cenote.connectors.stream_sync import Stream

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict


class StreamConnector:
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

    def connect(self, timeout: float) -> Stream:
        """Open a stream within ``timeout`` seconds.

        Raises:
            OperationTimeout: The time was up, with ``phase="connect"``.
            OSError: No address could be connected to, or the TLS handshake failed.
            TLSError: The peer's certificate is refused, or a file of ours can not be loaded.
        """
        began = monotonic()
        deadline = began + timeout
        context = self._tls.context() if self._tls else None
        sock = open_socket(self._address, began, deadline)
        sock.setblocking(False)
        if context is not None:
            hostname = self._server_hostname
            sock = secure(sock, context, hostname, self._address, began, deadline)
        return Stream(sock, self._address, self._timeout, one_way=self._one_way)

    def close(self, stream: Stream) -> None:
        """Close a stream."""
        stream.close()

    def abort(self, stream: Stream) -> None:
        """Close a stream without a word: what a forked child does with its parent's."""
        stream.abort()

    def is_alive(self, stream: Stream) -> bool:
        """Look whether an idle stream has ended, or says something nobody asked for."""
        return stream.is_alive()

    def is_clean(self, stream: Stream) -> bool:
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
) -> StreamConnector:
    """Connect to a TCP service, with TLS or without.

    Args:
        host: A name, looked up for each connection, or a literal address.
        port: The port.
        tls: A ``cenote.TLS`` (its files are read again when they have changed) or an
            ``ssl.SSLContext``; True: ``TLS()``; None: no TLS.
        server_hostname: Whom the peer's certificate must name; by default ``host``.
        timeout: Seconds that a call of a stream may take unless it says otherwise; None: no limit.
        one_way: The server answers nothing: a connection that was only sent on may be used again.
            Otherwise it is closed, since an answer may still come.

    Raises:
        ConfigurationError: The host is no name, the port no number, or ``tls`` none of those.
    """
    address = TCPAddress(host, port)
    check_address(address)
    secured = securing(tls)
    name = peer_name(secured, server_hostname, host)
    return StreamConnector(address, secured, name, timeout, one_way)


def unix(
    path: str,
    tls: AnyTLS | bool | None = None,
    *,
    server_hostname: str | None = None,
    timeout: float | None = 5.0,
    one_way: bool = False,
) -> StreamConnector:
    """Connect to a service on a unix stream socket; the other arguments are those of ``tcp``.

    Args:
        path: Of the socket.
    """
    address = UnixAddress(path)
    check_address(address)
    secured = securing(tls)
    name = peer_name(secured, server_hostname, None)
    return StreamConnector(address, secured, name, timeout, one_way)
