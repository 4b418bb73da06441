"""From an address to a connected socket of the running event loop.

Strategy: each attempt is a task; they start in the order and at the times that ``race.py`` says.
The first to connect is kept. Whoever loses, or is cancelled, closes its socket. (The loop's own
``create_connection`` knows happy eyeballs too, but not on uvloop, and it loses errors.)
"""

from __future__ import annotations

import asyncio
import math
import socket
from time import monotonic

from cenote.connection import failures
from cenote.connection.address import Address, TCPAddress, UnixAddress
from cenote.connection.endpoint import (
    Endpoint,
    is_connected_to_itself,
    literal_endpoints,
    tcp_endpoints,
    unix_endpoint,
)
from cenote.connection.race import Race
from cenote.connection.whereabouts import Whereabouts


class Opening:
    """One way from an address to a connected socket.

    Args:
        address: Where the server listens.
        whereabouts: Is told where a name leads, and where the connection was made to.

    Attributes:
        state: How far it has come; its text tells what was tried.
    """

    __slots__ = ("_address", "_whereabouts", "state")

    def __init__(self, address: Address, whereabouts: Whereabouts | None = None) -> None:
        self._address = address
        self._whereabouts = whereabouts
        self.state: object = "connecting"

    async def run(self) -> socket.socket:
        """Connect, at whichever endpoint answers first; a caller limits the time by a cancel.

        Raises:
            OSError: The name is not known, or no endpoint could be connected to; all are named.
        """
        if isinstance(self._address, UnixAddress):
            endpoints = [unix_endpoint(self._address)]
        else:
            endpoints = literal_endpoints(self._address) or await self._look_up(self._address)
            if self._whereabouts is not None:
                self._whereabouts.found(self._address, endpoints)
        self.state = race = Race(endpoints)
        sock = await _run_race(race)
        if sock is None:
            raise failures.connect_failed(self._address, race, race.last_error) from race.last_error
        if self._whereabouts is not None:
            self._whereabouts.arrived(_peer_of(sock))
        return sock

    async def _look_up(self, address: TCPAddress) -> list[Endpoint]:
        self.state = "looking up its name"
        loop = asyncio.get_running_loop()
        try:
            return tcp_endpoints(
                await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise failures.not_found(address, error) from error


def _peer_of(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:  # reset already: the handshake will say so
        return None


async def _run_race(race: Race[Endpoint]) -> socket.socket | None:
    """The socket of the first endpoint that answers, None if all refuse; the others are closed."""
    attempts: dict[asyncio.Task[socket.socket], Endpoint] = {}
    try:
        while not race.lost:
            now = monotonic()
            due = race.due(now)
            if not due:
                endpoint = race.start(now)
                attempts[asyncio.create_task(_attempt(endpoint))] = endpoint
            elif winner := await _first_success(race, attempts, due):
                return winner
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_close_loser)
    return None


async def _first_success(
    race: Race[Endpoint], attempts: dict[asyncio.Task[socket.socket], Endpoint], due: float
) -> socket.socket | None:
    done, _ = await asyncio.wait(
        attempts,
        timeout=due if due < math.inf else None,
        return_when=asyncio.FIRST_COMPLETED,
    )
    for task in done:
        endpoint = attempts.pop(task)
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, OSError):
            raise error
        race.failed(endpoint, error)
    return None


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _attempt(endpoint: Endpoint) -> socket.socket:
    sock = endpoint.open()
    try:
        if isinstance(endpoint.sockaddr, str):
            await _connect_unix(sock, endpoint.sockaddr)
        else:
            await asyncio.get_running_loop().sock_connect(sock, endpoint.sockaddr)
        _check_peer(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """Connect at once, or come again as long as the server's backlog is full."""
    pause = 0.001
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        else:
            return


def _check_peer(sock: socket.socket) -> None:
    if is_connected_to_itself(sock):
        raise failures.met_itself()
