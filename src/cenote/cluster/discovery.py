"""Servers that are found rather than named: what a discovery is, and what its answers mean.

Strategy: whoever finds servers (``elasticache``, ``dns``, a user's own) answers with a list, maybe
with a version. `Watch` decides what that is worth, without I/O: a list that is empty or older than
the one in use changes nothing, nor does a failure. What was good last stays in use, however long.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from cenote.cluster.server import Server

if TYPE_CHECKING:
    from random import Random

_log = logging.getLogger("cenote.discovery")

JITTER: Final = 0.1
"""Share of the interval by which a look may come earlier or later: no two clients in step."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a discovery has found.

    Attributes:
        servers: The servers, in an order that does not change by chance.
        version: Grows with every change, where there is such a number: what is older is ignored.
        ttl: Seconds for which this holds, if that is known: one looks again no later.
    """

    servers: Sequence[Server]
    version: int | None = None
    ttl: float | None = None


@runtime_checkable
class Discovery(Protocol):
    """Finds the servers of a `Client`.

    Attributes:
        interval: Seconds between two looks.
        timeout: Seconds a look may take.
    """

    interval: float
    timeout: float

    def find(self, servers: Sequence[Server], timeout: float) -> Discovered:
        """Return the servers there are now, or raise; called from a thread of its own.

        Args:
            servers: What the client was given as ``servers``: where to ask, or what to look up.
            timeout: Seconds it may take.
        """
        ...


@runtime_checkable
class AsyncDiscovery(Protocol):
    """Finds the servers of an `AsyncClient`: as `Discovery`, with ``find`` a coroutine function."""

    interval: float
    timeout: float

    def find(self, servers: Sequence[Server], timeout: float) -> Awaitable[Discovered]:
        """Return the servers there are now, or raise."""
        ...


@dataclass(frozen=True, slots=True)
class DiscoveryStatus:
    """What has come of a client's looks for servers.

    Attributes:
        version: The version of the list in use, where there is such a number.
        changes: How often the list has changed, the first time included.
        failures: Looks in a row that brought no list that can be used.
        last_error: Why the latest did not; None if it did.
        age: Seconds since a look last brought the list in use, or a newer one.
    """

    version: int | None
    changes: int
    failures: int
    last_error: str | None
    age: float


class Watch:
    """Decides what is made of the answers, and when to look again.

    Args:
        interval: Seconds between two looks.
        rng: Draws jitter.
    """

    def __init__(self, interval: float, rng: Random) -> None:
        self._interval = interval
        self._rng = rng
        self._servers: list[Server] = []
        self._version: int | None = None
        self._changes = 0
        self._failures = 0
        self._last_error: str | None = None
        self._seen = -math.inf
        self._ttl = math.inf

    @property
    def servers(self) -> Sequence[Server]:
        """The servers in use."""
        return self._servers

    def found(self, answer: Discovered, now: float) -> Sequence[Server] | None:
        """Take an answer; return the servers to use from now on, None: those there are."""
        if not _is_list(answer):
            self.failed(f"find returned {answer!r}, which is no Discovered", now)
            return None
        servers = list(answer.servers)
        if not servers:
            self.failed("the list of servers is empty", now)
            return None
        if self._is_older(answer.version):
            self.failed(f"version {answer.version} is older than {self._version}, in use", now)
            return None
        if self._failures:
            _log.info("servers are found again, after %d failures", self._failures)
        self._failures, self._last_error = 0, None
        self._seen, self._version = now, answer.version
        self._ttl = math.inf if answer.ttl is None else answer.ttl
        if servers == self._servers:
            return None
        return servers

    def adopted(self, servers: Sequence[Server]) -> None:
        """Take note that the servers are in use."""
        self._servers = list(servers)
        self._changes += 1
        names = ", ".join(server.name for server in servers)
        _log.info("%d servers are in use: %s", len(servers), names)

    def failed(self, reason: object, now: float) -> None:
        """Take note of a look that was in vain; the last good list stays in use."""
        self._failures += 1
        self._last_error = str(reason)
        if self._failures == 1:
            _log.warning(
                "no new list of servers: %s; the last good one (%s) stays in use",
                reason,
                f"{len(self._servers)} servers, {now - self._seen:.0f} s old"
                if self._servers
                else "none yet",
            )

    def pause(self) -> float:
        """Return the seconds until the next look."""
        seconds = self._interval * (1 + JITTER * (2 * self._rng.random() - 1))
        return min(seconds, max(1.0, self._ttl))

    def status(self, now: float) -> DiscoveryStatus:
        """Describe it."""
        return DiscoveryStatus(
            self._version, self._changes, self._failures, self._last_error, now - self._seen
        )

    def _is_older(self, version: int | None) -> bool:
        return version is not None and self._version is not None and version < self._version


def _is_list(answer: object) -> bool:
    return isinstance(answer, Discovered) and all(
        isinstance(server, Server) for server in answer.servers
    )
