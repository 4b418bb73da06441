"""HTTP connections for ``Pool``: those of ``http.client``, with a deadline and one safe retry.

Strategy: the protocol is ``http.client``'s. Here the socket is opened as any other of cenote's, and
each wait on it is given what is left until the deadline. A connection is *clean* when the last
response has been read to its end and nothing came after that.

Servers close connections that were idle for long, and a request may cross that on the way. It is
sent once more, on a new connection in the same place, if that is safe: the method is idempotent,
the connection was used before, and not one byte of a response had arrived.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from cenote.connection.address import TCPAddress
from cenote.connection.opening_sync import open_socket
from cenote.connectors.endings import Timeout
from cenote.connectors.peeking import is_idle, is_quiet
from cenote.connectors.securing_sync import secure
from cenote.errors import CenoteError, ConnectionLost, OperationTimeout, ProtocolError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from cenote.connection.tls import Securing

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}  # RFC 9110, 9.2.2


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A response that has been read to its end.

    Attributes:
        status: Such as 200.
        reason: What the server calls it.
        headers: Names are matched whatever their case.
        body: All of it.
    """

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


class HTTPConnection(http.client.HTTPConnection):
    """An ``http.client.HTTPConnection`` that a pool can judge; ``fetch`` is all that most need.

    ``request`` and ``getresponse`` work too. Then each wait may take ``timeout`` seconds, there is
    no retry, and a response that was not read to its end costs the connection.
    """

    def __init__(self, host: str, port: int, tls: Securing | None, timeout: float | None) -> None:
        super().__init__(host, port)
        self.default_port = http.client.HTTPS_PORT if tls else http.client.HTTP_PORT
        self.response_class = self._respond  # type: ignore[assignment]
        self._tls = tls
        self._limit = timeout
        self._deadline: float | None = None
        self._response: http.client.HTTPResponse | None = None
        self._asked = False  # since the response before
        self._spoiled = False  # something came after a response, or it was not read to its end
        self._used = False
        self._received = 0  # bytes, of the response that is awaited

    def open(self, timeout: float) -> None:
        """Connect within ``timeout`` seconds.

        Raises:
            OperationTimeout, OSError: It could not be done.
        """
        self._deadline = monotonic() + timeout
        try:
            self.connect()
        finally:
            self._deadline = None

    def fetch(
        self,
        method: str,
        url: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout = ...,
    ) -> HTTPResponse:
        """Send a request and read the response to its end.

        Args:
            method: Such as ``"GET"``.
            url: Path and query.
            body: Of the request.
            headers: Beside those that are always sent.
            timeout: Seconds for everything, also for the one retry; None: no limit; by default what
                the connector was given.

        Raises:
            OperationTimeout: The time was up.
            ConnectionLost: The server hung up, and to ask again would not be safe, or did not help.
            ProtocolError: What it sent is no HTTP.
        """
        limit = self._limit if timeout is ... else timeout
        self._deadline = math.inf if limit is None else monotonic() + limit
        try:
            return self._fetch(method, url, body, headers or {})
        except CenoteError:
            self.close()
            raise
        except TimeoutError as error:
            self.close()
            raise self._timed_out(method) from error
        except (http.client.HTTPException, OSError) as error:
            self.close()
            raise self._failed(method, error) from error
        finally:
            self._deadline = None

    def _fetch(
        self, method: str, url: str, body: bytes | str | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        may_repeat = self._used and self.sock is not None and method.upper() in _IDEMPOTENT
        try:
            return self._exchange(method, url, body, headers)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if not may_repeat or self._received:
                raise
        self.close()
        return self._exchange(method, url, body, headers)

    def _exchange(
        self, method: str, url: str, body: bytes | str | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        self.request(method, url, body, dict(headers))
        with self.getresponse() as response:
            data = response.read()
            return HTTPResponse(response.status, response.reason, response.headers, data)

    @property
    def clean(self) -> bool:
        """Whether the last response was read to its end, and the connection is still open."""
        if self.sock is None or not self._is_settled():
            return False
        self.sock.settimeout(0)  # until the next wait: with a timeout even a peek would wait
        return is_quiet(self.sock)

    def is_alive(self) -> bool:
        """Look, without a round trip, whether an idle connection can still be used."""
        if self.sock is None or not self._is_settled():
            return False
        self.sock.settimeout(0)
        return is_idle(self.sock)

    def _is_settled(self) -> bool:
        response = self._response
        return not self._asked and not self._spoiled and (response is None or response.isclosed())

    # What http.client calls.

    def connect(self) -> None:
        """Open the connection; every address of the host is tried."""
        began = monotonic()
        deadline = self._deadline
        if deadline is None:
            deadline = math.inf if self._limit is None else began + self._limit
        address = TCPAddress(self.host, self.port)
        context = self._tls.context() if self._tls else None
        sock = open_socket(address, began, deadline)
        if self._tls is not None and context is not None:
            sock.setblocking(False)
            name = self._tls.name_for(self.host)
            sock = secure(sock, context, name, address, began, deadline)
        self.sock = sock

    def putrequest(
        self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False
    ) -> None:
        """Begin a request."""
        self._asked, self._received = True, 0
        super().putrequest(method, url, skip_host, skip_accept_encoding)

    def send(self, data: Any) -> None:
        """Send part of a request."""
        if self.sock is None:
            self.connect()
        self._arm()
        super().send(data)
        self._used = True

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the response once its headers are there; its body is still to be read."""
        self._response = super().getresponse()
        self._asked = False
        return self._response

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        super().close()
        self._response, self._asked, self._spoiled, self._used = None, False, False, False

    def _respond(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> http.client.HTTPResponse:
        return _Response(self, sock, debuglevel, method, url)

    # Its waits.

    def _arm(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.patience())

    def patience(self) -> float | None:
        """Return the seconds that the next wait may take; None: no limit.

        Raises:
            TimeoutError: None: the deadline has passed.
        """
        if self._deadline is None:
            return self._limit
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return None if left == math.inf else left

    def received(self, count: int) -> None:
        """Note that bytes of the response have arrived."""
        self._received += count

    def spoil(self) -> None:
        """Note that a response left something unread, or was left before its end."""
        self._spoiled = True

    def _timed_out(self, method: str) -> OperationTimeout:
        return OperationTimeout(
            f"deadline passed in {method} on {self.host}:{self.port} with {self._received} bytes "
            "received; raise timeout, or look at the server",
            phase="exchange",
        )

    def _failed(self, method: str, error: Exception) -> CenoteError:
        what = f"{method} on {self.host}:{self.port} failed ({error!r})"
        if isinstance(error, (OSError, http.client.IncompleteRead)):
            return ConnectionLost(
                f"{what}, {self._received} bytes received", replied=self._received > 0
            )
        return ProtocolError(what)


class _Response(http.client.HTTPResponse):
    """Passes over interim responses; tells its connection when it is closed before its end."""

    def __init__(
        self,
        connection: HTTPConnection,
        sock: socket.socket,
        debuglevel: int,
        method: str | None,
        url: str | None,
    ) -> None:
        self._connection = connection
        super().__init__(cast(socket.socket, _Source(connection, sock)), debuglevel, method, url)

    def begin(self) -> None:
        """Read status and headers: ``http.client`` knows of no interim response but 100."""
        super().begin()
        while HTTPStatus.CONTINUE < self.status < HTTPStatus.OK:
            if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                self._connection.spoil()
                return
            self.headers = None  # type: ignore[assignment] # so that it begins once more
            super().begin()

    def close(self) -> None:
        if not self.isclosed():
            self._connection.spoil()
        super().close()


class _Source:
    """Stands for a socket before an ``HTTPResponse``, which only ever asks for a file of it."""

    def __init__(self, connection: HTTPConnection, sock: socket.socket) -> None:
        self._connection = connection
        self._sock = sock

    def makefile(self, _mode: str) -> _ResponseFile:
        return _ResponseFile(_Waiting(self._connection, self._sock))


class _Waiting(io.RawIOBase):
    """The bytes of a socket, for each of which no longer is waited than the connection allows."""

    def __init__(self, connection: HTTPConnection, sock: socket.socket) -> None:
        self.connection = connection
        self.over = False
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until it is closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self.over:
            return None
        self._sock.settimeout(self.connection.patience())
        count = self._file.readinto(buffer)
        self.connection.received(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _ResponseFile(io.BufferedReader):
    """Tells, when the response is over, whether more than that has arrived."""

    def close(self) -> None:
        source = self.raw
        if isinstance(source, _Waiting) and not self.closed:
            source.over = True
            if self.peek(1):
                source.connection.spoil()
        super().close()
