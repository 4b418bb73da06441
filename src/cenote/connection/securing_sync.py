"""The TLS handshake over a blocking socket, before a deadline."""

from __future__ import annotations

import select
import socket
import ssl
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection import failures, patience, tls_failures
from cenote.connection.address import TCPAddress

if TYPE_CHECKING:
    from cenote.connection.address import Address
    from cenote.connection.tls import Securing
    from cenote.connection.tunnel import Tunnel

_CHUNK = 16384
_NOW = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


def secure(
    sock: socket.socket, tls: Securing, address: Address, began: float, deadline: float
) -> Tunnel:
    """Shake hands over a connected socket, which stays the caller's.

    Raises:
        TLSError: One side finds fault with the other, or the server speaks no TLS.
        OperationTimeout: The deadline passed, with ``phase="connect"``.
        ConnectionLost: The server hung up.
    """
    host = address.host if isinstance(address, TCPAddress) else None
    tunnel = tls.tunnel(host, address)
    try:
        data = b""
        while True:
            _send_all(sock, tunnel.advance(data), deadline)
            if tunnel.established:
                return tunnel
            data = _receive(sock, deadline)
    except ssl.SSLError as error:
        _part(sock, tunnel)
        raise tls_failures.rejected(address, tls.name_for(host), error) from error
    except TimeoutError as error:
        seconds = monotonic() - began
        raise failures.connect_timed_out(address, seconds, tls_failures.STATE) from error
    except (OSError, EOFError) as error:
        raise failures.hung_up_securing(address, error) from error


def _part(sock: socket.socket, tunnel: Tunnel) -> None:
    """Tell the server why, if it takes that at once."""
    try:
        sock.send(tunnel.parting(), _NOW)
    except OSError:
        return  # it has gone


def _send_all(sock: socket.socket, data: bytes, deadline: float) -> None:
    while data:
        _wait(sock, select.POLLOUT, deadline)
        data = data[sock.send(data, _NOW) :]


def _receive(sock: socket.socket, deadline: float) -> bytes:
    _wait(sock, select.POLLIN, deadline)
    data = sock.recv(_CHUNK, _NOW)
    if not data:
        raise EOFError(failures.END_OF_FILE)
    return data


def _wait(sock: socket.socket, events: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(sock, events)
    rest = deadline - monotonic()
    if rest <= 0 or not poller.poll(patience.poll_milliseconds(rest)):
        raise TimeoutError
