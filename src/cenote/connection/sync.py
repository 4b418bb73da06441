"""Blocking connections: open a socket, shake hands, all before one absolute deadline.

Strategy: the conversation itself is ``Channel`` (compiled, or its pure twin), of which
``Connection`` is a subclass so that ``connection.exchange`` is one call. What is here happens once
a connection.

TLS goes between opening and the handshake; what it agrees on becomes part of the channel.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, cast

from cenote._implementation import use_compiled
from cenote.connection import failures, tls_failures
from cenote.connection.access import OPEN, Access
from cenote.connection.address import Address
from cenote.connection.credentials_sync import ask
from cenote.connection.handshake import Handshake, Traits, handshake, other_protocol
from cenote.connection.opening_sync import open_socket
from cenote.connection.securing_sync import secure
from cenote.connection.whereabouts import Whereabouts
from cenote.errors import ClientError, ConnectionLost, OperationTimeout

if TYPE_CHECKING or not use_compiled("cenote.connection._exchange"):
    from cenote.connection._exchange_native import Channel
else:
    from cenote.connection._exchange import Channel


class Connection(Channel):
    """A connection to one memcached server that has been shaken hands with.

    Everything about using it is in ``Channel``.

    Attributes:
        traits: What the handshake learned about the server.
    """

    __slots__ = ("traits",)

    traits: Traits


def connect(
    address: Address,
    access: Access = OPEN,
    *,
    timeout: float = 5.0,
    whereabouts: Whereabouts | None = None,
) -> Connection:
    """Open a connection to ``address``.

    Args:
        address: Where the server listens; every address of a host name is tried.
        access: What it takes to be let in.
        timeout: Seconds for everything: looking up the name, connecting, asking for credentials,
            the handshake.
        whereabouts: Is told where the host's name leads.

    Returns:
        A clean connection.

    Raises:
        OperationTimeout: The time was up, with ``phase="connect"``.
        OSError: No address could be connected to (``ConnectionLost`` if the server hung up).
        TLSError: There is no TLS with the server as things are.
        AuthenticationFailed: The server refused the credentials, or wants some.
        ProtocolError: What answered is no memcached server, or not one that ``access`` allows.
    """
    began = monotonic()
    deadline = began + timeout
    sock = open_socket(address, began, deadline, whereabouts)
    try:
        tunnel = None
        if access.tls is not None:
            tunnel = secure(sock, access.tls, address, began, deadline)
        connection = Connection(sock, timeout, address, tunnel)
        credentials = ask(access.credentials, address, began, deadline)
        steps = handshake(access.protocol, credentials)
        with failures.hidden(credentials):
            connection.traits = _shake_hands(connection, steps, access, began, deadline)
    except BaseException:
        sock.close()
        raise
    if access.tls is not None and tunnel is not None:
        access.tls.keep_session(address, tunnel)
    return connection


def _shake_hands(
    connection: Connection, steps: Handshake, access: Access, began: float, deadline: float
) -> Traits:
    flight = next(steps)
    try:
        while True:
            try:
                replies = connection.converse(flight, deadline)
            except ClientError as error:  # a refusal, behind which nothing can be believed
                flight = steps.throw(error)
            else:
                flight = steps.send(replies)
    except StopIteration as done:
        return cast(Traits, done.value)
    except OperationTimeout as error:
        seconds, state = monotonic() - began, f"{error}; {other_protocol(access.protocol)}"
        raise failures.connect_timed_out(connection.address, seconds, state) from error
    except ConnectionLost as error:
        advice = other_protocol(access.protocol)
        if access.tls is not None and not error.replied:
            known = access.tls.was_let_in(connection.address)
            raise tls_failures.unwelcome(connection.address, error, advice, known=known) from error
        raise failures.hung_up(connection.address, error, advice) from error
