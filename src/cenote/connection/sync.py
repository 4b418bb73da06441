"""Blocking connections: open a socket, shake hands, all before one absolute deadline.

Strategy: the conversation itself is ``Channel`` (compiled, or its pure twin), of which
``Connection`` is a subclass so that ``connection.exchange`` is one call. What is here happens once
a connection.

TLS goes between opening and the handshake: any object with a socket's methods makes a native
``Channel``.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, cast

from cenote._implementation import use_compiled
from cenote.connection import failures
from cenote.connection.address import Address
from cenote.connection.handshake import ProtocolChoice, Traits, handshake
from cenote.connection.opening_sync import open_socket
from cenote.errors import ConnectionLost, OperationTimeout

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
    address: Address, *, protocol: ProtocolChoice = "auto", timeout: float = 5.0
) -> Connection:
    """Open a connection to ``address``.

    Args:
        address: Where the server listens; every address of a host name is tried.
        protocol: Which commands to use: ask the server (``"auto"``), or ``"meta"``, ``"classic"``.
        timeout: Seconds for everything: looking up the name, connecting, the handshake.

    Returns:
        A clean connection.

    Raises:
        OperationTimeout: The time was up, with ``phase="connect"``.
        OSError: No address could be connected to (``ConnectionLost`` if the server hung up).
        ProtocolError: What answered is no memcached server, or not one that ``protocol`` allows.
    """
    began = monotonic()
    deadline = began + timeout
    sock = open_socket(address, began, deadline)
    try:
        connection = Connection(sock, timeout, address)
        connection.traits = _shake_hands(connection, protocol, began, deadline)
    except BaseException:
        sock.close()
        raise
    return connection


def _shake_hands(
    connection: Connection, protocol: ProtocolChoice, began: float, deadline: float
) -> Traits:
    steps = handshake(protocol)
    flight = next(steps)
    try:
        while True:
            flight = steps.send(connection.converse(flight, deadline))
    except StopIteration as done:
        return cast(Traits, done.value)
    except OperationTimeout as error:
        seconds = monotonic() - began
        raise failures.connect_timed_out(connection.address, seconds, error) from error
    except ConnectionLost as error:
        raise failures.hung_up(connection.address, error) from error
