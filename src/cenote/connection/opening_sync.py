"""From an address to a connected blocking socket.

Strategy: sockets connect without blocking, under one selector, in the order and at the times that
``race.py`` says. The first to connect is kept and the others are closed.

``getaddrinfo`` can neither be interrupted nor given a time limit. Literal addresses need no
look-up; a name is looked up by a daemon thread that the caller waits for until its deadline. A
thread that is stuck in a resolver is left behind and ends when the resolver gives up.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
from time import monotonic
from typing import cast

from cenote.connection import failures
from cenote.connection.address import Address, TCPAddress, UnixAddress
from cenote.connection.endpoint import (
    Endpoint,
    is_connected_to_itself,
    literal_endpoints,
    tcp_endpoints,
    unix_endpoint,
)
from cenote.connection.patience import LONGEST
from cenote.connection.race import Race
from cenote.connection.whereabouts import Whereabouts


def open_socket(
    address: Address, began: float, deadline: float, whereabouts: Whereabouts | None = None
) -> socket.socket:
    """Connect to ``address``, at whichever of its endpoints answers first.

    Args:
        address: Where the server listens.
        began: When the caller began, on the ``time.monotonic`` clock, for error texts.
        deadline: Absolute, on the same clock.
        whereabouts: Is told where a name leads, and where the connection was made to.

    Returns:
        A connected socket; whether it blocks is for the caller to set.

    Raises:
        OperationTimeout: The deadline passed, with ``phase="connect"``.
        OSError: The name is not known, or no endpoint could be connected to; all are named.
    """
    if isinstance(address, UnixAddress):
        return _open_unix(address, began, deadline)
    endpoints = look_up(address, began, deadline)
    if whereabouts is not None:
        whereabouts.found(address, endpoints)
    sock = _open_first(address, endpoints, began, deadline)
    if whereabouts is not None:
        whereabouts.arrived(_peer_of(sock))
    return sock


def _peer_of(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:  # reset already: the handshake will say so
        return None


def _open_unix(address: UnixAddress, began: float, deadline: float) -> socket.socket:
    """Connect to a unix socket, which waits (only) when the server's backlog is full."""
    endpoint = unix_endpoint(address)
    sock = endpoint.open()
    sock.setblocking(True)
    seconds = max(0.001, _left(deadline))
    limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    try:
        sock.connect(endpoint.sockaddr)
    except BlockingIOError as error:
        sock.close()
        raise failures.connect_timed_out(address, monotonic() - began, "backlog full") from error
    except OSError as error:
        sock.close()
        raise failures.connect_failed(address, error.strerror or error, error) from error
    return sock


def _left(deadline: float) -> float:
    """The seconds to wait at most, in a form that every system call takes."""
    return min(max(0.0, deadline - monotonic()), LONGEST)


# Names.


def look_up(address: TCPAddress, began: float, deadline: float) -> list[Endpoint]:
    """Return all endpoints of an address.

    Raises:
        OperationTimeout: They were not found by the deadline.
        OSError: The name is not known.
    """
    literal = literal_endpoints(address)
    return literal if literal is not None else _look_up_name(address, began, deadline)


def _look_up_name(address: TCPAddress, began: float, deadline: float) -> list[Endpoint]:
    found: list[Endpoint | OSError] = []
    thread = threading.Thread(
        target=_resolve, args=(address, found), name=f"cenote-resolver-{address.host}", daemon=True
    )
    thread.start()
    thread.join(_left(deadline))
    if thread.is_alive():
        raise failures.connect_timed_out(address, monotonic() - began, "looking up its name")
    endpoints = [each for each in found if isinstance(each, Endpoint)]
    if not endpoints:
        raise cast(OSError, found[0])
    return endpoints


def _resolve(address: TCPAddress, found: list[Endpoint | OSError]) -> None:
    try:
        resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        found.extend(tcp_endpoints(resolved))
    except (OSError, UnicodeError) as error:
        found.append(failures.not_found(address, error))


# The race.


def _open_first(
    address: TCPAddress, endpoints: list[Endpoint], began: float, deadline: float
) -> socket.socket:
    """Connect to whichever endpoint answers first; the other attempts are closed."""
    race = Race(endpoints)
    with selectors.DefaultSelector() as selector:
        try:
            while monotonic() < deadline and not race.lost:
                if sock := _attempt(race, selector, deadline):
                    return sock
        finally:
            for key in list(selector.get_map().values()):
                cast(socket.socket, key.fileobj).close()
    if race.lost:
        raise failures.connect_failed(address, race, race.last_error) from race.last_error
    raise failures.connect_timed_out(address, monotonic() - began, race)


def _attempt(
    race: Race[Endpoint], selector: selectors.BaseSelector, deadline: float
) -> socket.socket | None:
    """One step of the race: begin the attempt that is due, or wait for one to end."""
    now = monotonic()
    due = race.due(now)
    if not due:
        return _begin(race, selector, race.start(now))
    for key, _ in selector.select(min(due, _left(deadline))):
        sock = cast(socket.socket, key.fileobj)
        selector.unregister(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if winner := _judge(race, key.data, sock, code):
            return winner
    return None


def _begin(
    race: Race[Endpoint], selector: selectors.BaseSelector, endpoint: Endpoint
) -> socket.socket | None:
    try:
        sock = endpoint.open()
    except OSError as error:  # a family this machine does not have
        race.failed(endpoint, error)
        return None
    code = sock.connect_ex(endpoint.sockaddr)
    if code == errno.EINPROGRESS:
        selector.register(sock, selectors.EVENT_WRITE, endpoint)
        return None
    return _judge(race, endpoint, sock, code)


def _judge(
    race: Race[Endpoint], endpoint: Endpoint, sock: socket.socket, code: int
) -> socket.socket | None:
    """The socket if its attempt succeeded (``code`` is its errno), else None: it is closed."""
    if not code and not is_connected_to_itself(sock):
        return sock
    sock.close()
    race.failed(endpoint, OSError(code, os.strerror(code)) if code else failures.met_itself())
    return None
