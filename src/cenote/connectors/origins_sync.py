"""Connectors of HTTP for ``Pool``, and for ``KeyedPool`` by origin, such as ``https://host``."""

from __future__ import annotations

from http import client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cenote.connection.address import TCPAddress, check_address
from cenote.connection.tls import AnyTLS, Securing, securing
from cenote.connectors.http_sync import HTTPConnection
from cenote.errors import CenoteError, ConfigurationError

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict

_PORTS = {"http": client.HTTP_PORT, "https": client.HTTPS_PORT}


class HTTPConnector:
    """Opens HTTP connections to one server; made by ``http`` and ``origin``."""

    def __init__(self, host: str, port: int, tls: Securing | None, timeout: float | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout

    def connect(self, timeout: float) -> HTTPConnection:
        """Open a connection within ``timeout`` seconds.

        Raises:
            OperationTimeout: The time was up, with ``phase="connect"``.
            OSError: No address could be connected to, or the TLS handshake failed.
        """
        connection = HTTPConnection(self._host, self._port, self._tls, self._timeout)
        connection.open(timeout)
        return connection

    def close(self, connection: HTTPConnection) -> None:
        """Close a connection."""
        connection.close()

    def is_alive(self, connection: HTTPConnection) -> bool:
        """Look whether an idle connection has ended, or says something nobody asked for."""
        return connection.is_alive()

    def is_clean(self, connection: HTTPConnection) -> bool:
        """Say whether the last response was read to its end."""
        return connection.clean

    def classify(self, error: BaseException) -> Verdict:
        """Judge what ended a lease: what is no error of the connection leaves it as clean as it is.

        A server closes connections as it sees fit, which says nothing of the others.
        """
        broken = isinstance(error, (CenoteError, OSError, client.HTTPException))
        return "discard" if broken else "ok"

    def __repr__(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"<{type(self).__name__} of {scheme}://{self._host}:{self._port}>"


def http(
    host: str,
    port: int | None = None,
    tls: AnyTLS | bool | None = None,
    *,
    timeout: float | None = 10.0,
) -> HTTPConnector:
    """Connect to an HTTP server, with TLS or without.

    Args:
        host: A name, looked up for each connection, or a literal address.
        port: The port; by default the scheme's.
        tls: A ``cenote.TLS`` (its files are read again when they have changed) or an
            ``ssl.SSLContext``; True: ``TLS()``; None: no TLS.
        timeout: Seconds that ``fetch`` may take unless it says otherwise; None: no limit.

    Raises:
        ConfigurationError: The host is no name (``origin`` takes a URL), or the port no number.
    """
    secured = securing(tls)
    if port is None:
        port = _PORTS["https" if secured else "http"]
    check_address(TCPAddress(host, port))
    return HTTPConnector(host, port, secured, timeout)


def origin(url: str, *, tls: AnyTLS | None = None) -> HTTPConnector:
    """Connect to the origin of a URL: what a ``KeyedPool`` of HTTP connections is made of.

    Args:
        url: ``http://host``, ``https://host:port``; a path is ignored.
        tls: For ``https``, as for ``http``; by default ``TLS()``.

    Raises:
        ConfigurationError: It is no URL of HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(f"{url!r} is no origin: use http://host or https://host:port")
    return http(parts.hostname, parts.port, (tls or True) if parts.scheme == "https" else None)
