"""What is asked of the servers rather than of a key: flushing, statistics, versions, health.

Strategy: every command goes to every server and answers by server. A server that could not be asked
is an outage: it raises, or with ``on_error="miss"`` is left out of the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from cenote.client.base_aio import AsyncBase
from cenote.client.ttl import whole_seconds
from cenote.cluster.discovery import DiscoveryStatus
from cenote.errors import CenoteError, InvalidArgument, NoNodesAvailable
from cenote.node.health import NodeHealth
from cenote.pool import PoolStats
from cenote.protocol import Reply, Request
from cenote.runtime.aio import contextmanager, monotonic

if TYPE_CHECKING:
    from cenote.node.aio import AsyncConnection


class AsyncAdministration(AsyncBase):
    """The commands that are about servers."""

    async def flush_all(self, delay: float | timedelta = 0) -> bool:
        """Forget everything on every server.

        Args:
            delay: Seconds from now, rounded up, or a ``timedelta``.

        Returns:
            True; False if a server could not be asked, with ``on_error="miss"``.

        Raises:
            InvalidArgument: The delay is negative or not a time.
            CenoteError: A server could not be asked in time (``on_error="raise"``).
        """
        seconds = whole_seconds(delay, "delay")
        if seconds < 0:
            raise InvalidArgument(f"delay is {delay!r}: use 0 or more seconds")
        replies = await self._each(
            self._protocol.flush_all(self._exptime(seconds) if seconds else 0)
        )
        return not any(isinstance(reply, CenoteError) for reply in replies.values())

    async def stats(self, *args: str) -> dict[str, dict[str, str]]:
        """Return the statistics of every server: ``{server: {name: value}}``.

        Args:
            *args: What to ask for, as in ``stats("slabs")``; the general statistics when left out.

        Raises:
            InvalidArgument: An argument is not a word of printable ASCII.
            ClientError: The server does not know these statistics.
            CenoteError: A server could not be asked in time (``on_error="raise"``).
        """
        for word in args:
            if not isinstance(word, str):
                raise InvalidArgument(f"an argument of stats is a str, not {type(word).__name__}")
        replies = _answers(await self._each(self._protocol.stats(*args)))
        return cast("dict[str, dict[str, str]]", replies)

    async def version(self) -> dict[str, str]:
        """Return the version of every server: ``{server: version}``.

        Raises:
            CenoteError: A server could not be asked in time (``on_error="raise"``).
        """
        return cast("dict[str, str]", _answers(await self._each(self._protocol.version())))

    @contextmanager
    async def connection(self, server: str | None = None) -> AsyncIterator[AsyncConnection]:
        """Lease a connection to a server, used by nobody else: for ``async with``.

        What is sent on it is made by ``cenote.protocol``, as in ``await
        connection.exchange(protocol.get(b"key"), deadline)``; for a client with
        ``protocol="binary"``, by ``cenote.protocol.binary``. Left with replies outstanding it is
        closed, not reused; a cancel loses nothing but that connection.

        Args:
            server: The server's name, as in `nodes`; None: the only one.

        Raises:
            ConfigurationError: There is no server of that name, or several and none is named.
            PoolError: No connection could be had in time.
        """
        deadline = monotonic() + self._timeout
        node = await self._cluster.started(server, deadline)
        async with node.lease(deadline) as connection:
            yield connection

    def nodes(self) -> dict[str, NodeHealth]:
        """Return what is known of every server's health; nothing is sent."""
        return self._cluster.health()

    def discovery(self) -> DiscoveryStatus | None:
        """Return what has come of the looks for servers; None without ``discovery``."""
        return self._cluster.discovery_status()

    def pools(self) -> dict[str, PoolStats]:
        """Return the statistics of every server's pool; nothing is sent."""
        return self._cluster.pools()

    async def _each(self, request: Request) -> dict[str, Reply]:
        replies: dict[str, Reply]
        try:
            replies = await self._cluster.each(request, monotonic() + self._timeout)
        except NoNodesAvailable as error:
            replies = {"": error}
        for reply in replies.values():
            if isinstance(reply, CenoteError):
                self._tolerate(reply)
        return replies


def _answers(replies: Mapping[str, Reply]) -> dict[str, Reply]:
    return {name: reply for name, reply in replies.items() if not isinstance(reply, CenoteError)}
