"""asyncio connections: open a socket, shake hands, all before one absolute deadline.

Strategy: the conversation itself is ``AsyncChannel``, of which ``AsyncConnection`` is a subclass.
What is here happens once a connection.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from cenote.connection import failures
from cenote.connection._exchange_aio import AsyncChannel
from cenote.connection.address import UnixAddress
from cenote.connection.handshake import ProtocolChoice, Traits, handshake
from cenote.connection.opening_aio import Opening
from cenote.errors import ConnectionLost, OperationTimeout

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cenote.connection.address import Address


class AsyncConnection(AsyncChannel):
    """A connection to one memcached server that has been shaken hands with.

    Everything about using it is in ``AsyncChannel``.

    Attributes:
        traits: What the handshake learned about the server.
    """

    __slots__ = ("traits",)

    traits: Traits


async def connect(
    address: Address,
    *,
    protocol: ProtocolChoice = "auto",
    timeout: float = 5.0,
) -> AsyncConnection:
    """Open a connection to ``address`` on the running event loop.

    A cancel closes whatever was opened and is not swallowed.

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
    opening = Opening(address)
    try:
        async with asyncio.timeout(timeout):
            sock = await opening.run()
            connection = await _attach(
                sock, address, partial(AsyncConnection, sock, timeout, address)
            )
    except TimeoutError as error:
        raise failures.connect_timed_out(address, monotonic() - began, opening.state) from error
    try:
        connection.traits = await _shake_hands(connection, protocol, began, began + timeout)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _attach(
    sock: socket.socket, address: Address, protocol_factory: Callable[[], AsyncConnection]
) -> AsyncConnection:
    """Put a connected socket under the event loop's care."""
    loop = asyncio.get_running_loop()
    is_unix = isinstance(address, UnixAddress)
    create = loop.create_unix_connection if is_unix else loop.create_connection
    try:
        _, connection = await create(protocol_factory, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection


async def _shake_hands(
    connection: AsyncConnection, protocol: ProtocolChoice, began: float, deadline: float
) -> Traits:
    steps = handshake(protocol)
    flight = next(steps)
    try:
        while True:
            flight = steps.send(await connection.converse(flight, deadline))
    except StopIteration as done:
        return cast(Traits, done.value)
    except OperationTimeout as error:
        seconds = monotonic() - began
        raise failures.connect_timed_out(connection.address, seconds, error) from error
    except ConnectionLost as error:
        raise failures.hung_up(connection.address, error) from error
