"""asyncio connections: open a socket, shake hands, all before one absolute deadline.

Strategy: the conversation itself is ``AsyncChannel``, of which ``AsyncConnection`` is a subclass.
What is here happens once a connection.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from cenote.connection import failures, tls_failures
from cenote.connection._exchange_aio import AsyncChannel
from cenote.connection.access import OPEN, Access
from cenote.connection.address import UnixAddress
from cenote.connection.credentials_aio import ask
from cenote.connection.handshake import Handshake, Traits, handshake, other_protocol
from cenote.connection.opening_aio import Opening
from cenote.connection.securing_aio import SecureTransport
from cenote.errors import ClientError, ConnectionLost, OperationTimeout

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from cenote.connection.address import Address
    from cenote.connection.credentials import AnyCredentials, Credentials
    from cenote.connection.login import Flight
    from cenote.connection.tls import Securing
    from cenote.connection.whereabouts import Whereabouts
    from cenote.protocol import Reply


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
    access: Access = OPEN,
    *,
    timeout: float = 5.0,
    whereabouts: Whereabouts | None = None,
) -> AsyncConnection:
    """Open a connection to ``address`` on the running event loop.

    A cancel closes whatever was opened and is not swallowed.

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
    opening = Opening(address, whereabouts)
    try:
        async with asyncio.timeout(timeout):
            sock = await opening.run()
            if access.tls is not None:
                opening.state = tls_failures.STATE
            connection = await _attach(sock, timeout, address, access.tls)
    except TimeoutError as error:
        raise failures.connect_timed_out(address, monotonic() - began, opening.state) from error
    try:
        credentials = await _ask(access.credentials, address, began, began + timeout)
        steps = handshake(access.protocol, credentials)
        with failures.hidden(credentials):
            connection.traits = await _shake_hands(
                connection, steps, access, began, began + timeout
            )
    except BaseException:
        connection.abort()
        raise
    if access.tls is not None and connection.tunnel is not None:
        access.tls.keep_session(address, connection.tunnel)
    return connection


async def _attach(
    sock: socket.socket, timeout: float, address: Address, tls: Securing | None
) -> AsyncConnection:
    """Put a connected socket under the event loop's care, and secure it."""
    loop = asyncio.get_running_loop()
    is_unix = isinstance(address, UnixAddress)
    create = loop.create_unix_connection if is_unix else loop.create_connection
    try:
        connection = AsyncConnection(sock, timeout, address)
        if tls is None:
            await create(lambda: connection, sock=sock)
            return connection
        connection.secure = below = SecureTransport(connection, address, tls)
        await create(lambda: below, sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        await below.established
    except BaseException:
        below.abort()
        raise
    return connection


async def _ask(
    source: AnyCredentials | None, address: Address, began: float, deadline: float
) -> Credentials | None:
    limit = asyncio.timeout(deadline - monotonic())
    try:
        async with limit:
            return await ask(source)
    except TimeoutError as error:
        if not limit.expired():
            raise
        seconds, state = monotonic() - began, failures.NO_CREDENTIALS
        raise failures.connect_timed_out(address, seconds, state) from error


async def _shake_hands(
    connection: AsyncConnection, steps: Handshake, access: Access, began: float, deadline: float
) -> Traits:
    flight = next(steps)
    try:
        while True:
            try:
                replies = await connection.converse(flight, deadline)
            except ClientError as error:  # a refusal, behind which nothing can be believed
                flight = steps.throw(error)
            else:
                flight, traits = await _advance(steps, replies, access, deadline)
                if traits is not None:
                    return traits
    except StopIteration as done:
        return cast(Traits, done.value)
    except _TooLong as error:
        seconds = monotonic() - began
        raise failures.connect_timed_out(connection.address, seconds, _PROVING) from error
    except OperationTimeout as error:
        seconds, state = monotonic() - began, f"{error}; {other_protocol(access.protocol)}"
        raise failures.connect_timed_out(connection.address, seconds, state) from error
    except ConnectionLost as error:
        advice = other_protocol(access.protocol)
        if access.tls is not None and not error.replied:
            known = access.tls.was_let_in(connection.address)
            raise tls_failures.unwelcome(connection.address, error, advice, known=known) from error
        raise failures.hung_up(connection.address, error, advice) from error


_PROVING: Final = "working out the proof of the password"


class _TooLong(Exception):
    """The deadline passed while the next flight was worked out."""


async def _advance(
    steps: Handshake, replies: Sequence[Reply], access: Access, deadline: float
) -> tuple[Flight, Traits | None]:
    """Return what is to be said to these replies, or what the handshake has learned.

    Whoever logs in by SASL may have to work it out: SCRAM takes a millisecond for 4,096 iterations,
    and a server may ask for two hundred times as many. That is done in a thread, without the GIL.

    Raises:
        _TooLong: It was not worked out by the deadline; the thread is left behind.
    """
    if access.credentials is None or access.protocol != "binary":
        return _step(steps, replies)
    limit = asyncio.timeout(deadline - monotonic())
    try:
        async with limit:
            return await asyncio.to_thread(_step, steps, replies)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise _TooLong from error


def _step(steps: Handshake, replies: Sequence[Reply]) -> tuple[Flight, Traits | None]:
    """Take a step of a handshake; its end can not be raised through a coroutine."""
    try:
        return steps.send(replies), None
    except StopIteration as done:
        return (), cast(Traits, done.value)
