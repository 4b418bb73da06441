"""TLS over a connected socket, before a deadline."""

from __future__ import annotations

import select
import ssl
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection import failures, tls_failures
from cenote.connectors.stream_sync import wait_for

if TYPE_CHECKING:
    import socket

    from cenote.connection.address import Address


def secure(
    sock: socket.socket,
    context: ssl.SSLContext,
    hostname: str | None,
    address: Address,
    began: float,
    deadline: float,
) -> ssl.SSLSocket:
    """Shake hands; ``sock``, which does not block, is closed if that fails.

    Raises:
        OperationTimeout: The deadline passed, with ``phase="connect"``.
        OSError: The peer hung up, or speaks no TLS.
        TLSError: Its certificate is refused.
    """
    try:
        secured = context.wrap_socket(sock, server_hostname=hostname, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        while (events := _step(secured)) and wait_for(secured, events, deadline):
            pass
    except ssl.SSLCertVerificationError as error:
        secured.close()
        raise tls_failures.rejected(address, hostname, error) from error
    except BaseException:
        secured.close()
        raise
    if events:
        secured.close()
        raise failures.connect_timed_out(address, monotonic() - began, "TLS handshake")
    return secured


def _step(sock: ssl.SSLSocket) -> int:
    """Go on with the handshake; returns what to wait for, 0 when it is done."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return 0
