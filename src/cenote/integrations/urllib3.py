"""cenote's pools for urllib3: limits over all hosts, fair waiting, lifetimes, statistics.

Strategy: urllib3 keeps a pool object for each host, which speaks HTTP over a connection it gets
from a queue of its own. Here it gets the connection from one ``KeyedPool``, whose keys are those
pool objects; everything else is urllib3's own code. As there, a connection that was dropped while
it was idle is noticed when it is taken, and reconnects in its place.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from cenote.errors import PoolClosed, PoolSaturated, PoolTimeout
from cenote.pool import KeyedPool, Observer
from cenote.pool.passed_over import pass_over

try:
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
    from urllib3.exceptions import ClosedPoolError, EmptyPoolError
    from urllib3.util.connection import is_connection_dropped
except ImportError as error:
    raise ImportError(
        "cenote.integrations.urllib3 needs urllib3 2: pip install 'cenote[requests]'"
    ) from error

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection

__all__ = ["Connections", "adopt", "new_connections"]

pass_over("urllib3")  # whoever borrows a connection does so in its user's line


class _Host(HTTPConnectionPool):
    """A urllib3 pool that takes its connections from a ``KeyedPool``; ``connections`` is set once.

    urllib3 gives back nothing but ``None`` for a connection it has closed after an error, and for
    one it never got; it does so in the thread that took it, before that takes another. So each
    thread's latest is remembered, until it tries to take the next.
    """

    connections: Connections

    def take_from(self, connections: Connections) -> None:
        """Begin to."""
        self.connections = connections
        self._latest = threading.local()

    def _get_conn(self, timeout: float | None = None) -> BaseHTTPConnection:
        self._latest.connection = None
        if self.pool is None:
            raise ClosedPoolError(self, "Pool is closed.")
        try:
            connection = self.connections.acquire(self, ... if timeout is None else timeout)
        except (PoolTimeout, PoolSaturated) as error:
            told = str(error).replace(" max_per_key ", " max_per_host ")  # as it is called here
            raise EmptyPoolError(self, told) from error
        except PoolClosed as error:
            raise ClosedPoolError(self, str(error)) from error
        self._latest.connection = connection
        if is_connection_dropped(connection):
            connection.close()
        return connection

    def _put_conn(self, conn: BaseHTTPConnection | None) -> None:
        connection = self._latest.connection if conn is None else conn
        if connection is not None:
            self.connections.release(connection)

    def close(self) -> None:
        """Close the idle connections, and those that are out as they come back."""
        super().close()
        self.connections.invalidate_all(self)


class _SecureHost(_Host, HTTPSConnectionPool):
    """The same with TLS."""


Connections: TypeAlias = "KeyedPool[_Host, BaseHTTPConnection]"


class _Connector:
    """Makes the connections of one host; they connect when they are first used."""

    def __init__(self, host: _Host) -> None:
        self._host = host

    def connect(self, _timeout: float) -> BaseHTTPConnection:
        return self._host._new_conn()  # noqa: SLF001 - urllib3's way to make one

    def close(self, connection: BaseHTTPConnection) -> None:
        connection.close()

    def is_clean(self, connection: BaseHTTPConnection) -> bool:
        return not connection.is_closed


def new_connections(
    *,
    max_total: int = 100,
    max_per_host: int | None = 10,
    timeout: float | None = 5.0,
    max_waiting: int | None = 1024,
    max_idle: float | None = 600.0,
    max_lifetime: float | None = 1800.0,
    leak_after: float | None = None,
    name: str | None = None,
    observer: Observer | None = None,
) -> Connections:
    """Make a pool of urllib3's connections to all hosts, for ``adopt``.

    Args:
        max_total: Connections there may be to all hosts together.
        max_per_host: And to each; ``None``: only the total counts.
        timeout: Seconds to wait for one, unless a request says otherwise; ``None``: no limit.

    The other arguments are those of ``KeyedPool``.

    Raises:
        ConfigurationError: An option is out of range.
    """
    return KeyedPool(
        _Connector, max_total=max_total, max_per_key=max_per_host, timeout=timeout,
        max_waiting=max_waiting, max_idle=max_idle, max_lifetime=max_lifetime,
        leak_after=leak_after, name=name, observer=observer,
    )  # fmt: skip


def adopt(manager: PoolManager, connections: Connections) -> None:
    """Have a ``PoolManager`` (or ``ProxyManager``) take its connections from ``connections``.

    Hosts it has connections to already keep those. Several managers may share the connections'
    limits. A request for which none came free in time raises urllib3's ``EmptyPoolError``.
    """
    makers: dict[str, Any] = {
        "http": partial(_make, _Host, connections),
        "https": partial(_make, _SecureHost, connections),
    }
    manager.pool_classes_by_scheme = makers


def _make(kind: type[_Host], connections: Connections, *where: Any, **options: Any) -> _Host:
    host = kind(*where, **options)
    host.take_from(connections)
    return host
