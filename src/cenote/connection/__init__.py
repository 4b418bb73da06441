"""Connections: bytes to and from a server, deadlines, the handshake. The only layer with I/O.

``sync`` and ``aio`` hold ``connect`` and the two kinds of connection; they have the same verbs.
They are imported by their full names so that a program of threads does not pay for importing
asyncio.
"""

from __future__ import annotations

from cenote.connection.access import OPEN, Access
from cenote.connection.address import Address, TCPAddress, UnixAddress, check_address
from cenote.connection.credentials import AnyCredentials, Credentials, is_coroutine_source
from cenote.connection.handshake import ProtocolChoice, Traits, check_login
from cenote.connection.tls import TLS, AnyTLS, Securing, securing

__all__ = [
    "OPEN",
    "TLS",
    "Access",
    "Address",
    "AnyCredentials",
    "AnyTLS",
    "Credentials",
    "ProtocolChoice",
    "Securing",
    "TCPAddress",
    "Traits",
    "UnixAddress",
    "check_address",
    "check_login",
    "is_coroutine_source",
    "securing",
]
