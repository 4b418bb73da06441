"""Connections of any PEP 249 driver for ``Pool``.

Strategy: what can be known of a connection is in ``database.py``; here it is asked, and acted upon.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from cenote.connectors import database

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict


class DBAPIConnection(Protocol):
    """As much of a PEP 249 connection as a pool needs."""

    def cursor(self) -> Any:
        """Return a cursor."""

    def rollback(self) -> object:
        """Undo what was not committed."""

    def close(self) -> object:
        """Close the connection."""


C = TypeVar("C", bound=DBAPIConnection)


class Database(Generic[C]):
    """Opens connections of one driver; made by ``dbapi``."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._is_clean: database.IsClean | None = None
        self._pid = os.getpid()

    def connect(self, _timeout: float) -> C:
        """Open a connection, as long as that may take the driver."""
        connection = self._connect()
        self._pid = os.getpid()
        self._is_clean = database.clean_test(connection)
        return connection

    def close(self, connection: C) -> None:
        """Close a connection."""
        connection.close()

    def abort(self, connection: C) -> None:
        """Close a connection; in a forked child without a word on what is the parent's."""
        if self._pid == os.getpid():
            connection.close()
        else:
            database.disown(connection)

    def is_alive(self, connection: C) -> bool:
        """Look, without a round trip, whether an idle connection has ended."""
        return database.looks_alive(connection)

    def is_clean(self, connection: C) -> bool:
        """Say whether there is nothing to roll back; False if the driver does not tell."""
        try:
            return self._is_clean is not None and self._is_clean(connection)
        except Exception:  # noqa: BLE001 - a closed connection's; closing is for the pool
            return False

    def reset(self, connection: C) -> None:
        """Roll back what a lease left open.

        Raises:
            Exception: It can not be done, or did not help: the connection must not be used again.
        """
        connection.rollback()
        database.expect_idle(connection)

    def classify(self, error: BaseException) -> Verdict:
        """Judge the error a lease ended with; ``"invalidate_all"``: the server went away."""
        return database.classify(error, tells_state=self._is_clean is not None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} by {self._connect!r}>"


class PingedDatabase(Database[C]):
    """A ``Database`` whose connections are asked by a round trip whether they are alive."""

    def __init__(self, connect: Callable[[], C], ping: Callable[[C], object]) -> None:
        super().__init__(connect)
        self._ping = ping

    def ping(self, connection: C) -> None:
        """Prove a connection alive by a round trip, and leave no transaction behind.

        Raises:
            Exception: It is not.
        """
        self._ping(connection)
        if not self.is_clean(connection):
            self.reset(connection)

    def is_alive(self, connection: C) -> bool:
        """Look, then ask."""
        if not super().is_alive(connection):
            return False
        self.ping(connection)  # a pool takes an error for a no
        return True


def dbapi(
    connect: Callable[[], C], *, ping: str | Callable[[C], object] | None = None
) -> Database[C]:
    """Connect by a PEP 249 driver.

    A connection comes back clean: it is rolled back, unless its driver says that no transaction is
    open. Errors tell which connections are broken: see ``Database.classify``, which a caller may
    ask too before it tries again.

    Args:
        connect: Opens a connection. What time limits it needs (for connecting, for statements),
            it gives to the driver.
        ping: Without it an idle connection is only looked at, which shows that the peer has closed
            it, but not that the peer has fallen silent. A statement such as ``"SELECT 1"``, or a
            callable that is given the connection, is asked before an idle connection is handed out
            (the caller waits for the answer), and for ``keepalive``.

    Raises:
        ConfigurationError: One of them can not be called.
    """
    database.check_hooks(connect, ping)
    if ping is None:
        return Database(connect)
    return PingedDatabase(connect, _asking(ping) if isinstance(ping, str) else ping)


def _asking(statement: str) -> Callable[[DBAPIConnection], None]:
    def ask(connection: DBAPIConnection) -> None:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.fetchall()
        cursor.close()

    return ask
