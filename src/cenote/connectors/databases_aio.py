"""Connections of asyncio drivers that follow PEP 249, for ``AsyncPool``: psycopg, aiosqlite, ...

Strategy: that of ``databases_sync.py``, awaited.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from cenote.connectors import database

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict


class AsyncDBAPIConnection(Protocol):
    """As much of an asyncio driver's connection as a pool needs."""

    def execute(self, statement: Any, /) -> Awaitable[Any]:
        """Execute a statement; returns a cursor."""
        ...

    def rollback(self) -> Awaitable[object]:
        """Undo what was not committed."""
        ...

    def close(self) -> Awaitable[object]:
        """Close the connection."""
        ...


C = TypeVar("C", bound=AsyncDBAPIConnection)


class AsyncDatabase(Generic[C]):
    """Opens connections of one driver; made by ``dbapi``."""

    def __init__(self, connect: Callable[[], Awaitable[C]]) -> None:
        self._connect = connect
        self._is_clean: database.IsClean | None = None
        self._pid = os.getpid()

    async def connect(self, _timeout: float) -> C:
        """Open a connection."""
        connection = await self._connect()
        self._pid = os.getpid()
        self._is_clean = database.clean_test(connection)
        return connection

    async def close(self, connection: C) -> None:
        """Close a connection."""
        await connection.close()

    def abort(self, connection: C) -> None:
        """Let go of a connection; in a forked child without a word on what is the parent's."""
        if self._pid == os.getpid():
            database.let_go(connection)
        else:
            database.disown(connection)

    def is_alive(self, connection: C) -> Awaitable[bool] | bool:
        """Look, without a round trip, whether an idle connection has ended."""
        return database.looks_alive(connection)

    def is_clean(self, connection: C) -> bool:
        """Say whether there is nothing to roll back; False if the driver does not tell."""
        try:
            return self._is_clean is not None and self._is_clean(connection)
        except Exception:  # noqa: BLE001 - a closed connection's; closing is for the pool
            return False

    async def reset(self, connection: C) -> None:
        """Roll back what a lease left open.

        Raises:
            Exception: It can not be done, or did not help: the connection must not be used again.
        """
        await connection.rollback()
        database.expect_idle(connection)

    def classify(self, error: BaseException) -> Verdict:
        """Judge the error a lease ended with; ``"invalidate_all"``: the server went away."""
        return database.classify(error, tells_state=self._is_clean is not None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} by {self._connect!r}>"


class AsyncPingedDatabase(AsyncDatabase[C]):
    """An ``AsyncDatabase`` whose connections are asked by a round trip whether they are alive."""

    def __init__(
        self, connect: Callable[[], Awaitable[C]], ping: Callable[[C], Awaitable[object]]
    ) -> None:
        super().__init__(connect)
        self._ping = ping

    async def ping(self, connection: C) -> None:
        """Prove a connection alive by a round trip, and leave no transaction behind.

        Raises:
            Exception: It is not.
        """
        await self._ping(connection)
        if not self.is_clean(connection):
            await self.reset(connection)

    async def is_alive(self, connection: C) -> bool:
        """Look, then ask."""
        if not super().is_alive(connection):
            return False
        await self.ping(connection)  # a pool takes an error for a no
        return True


def dbapi(
    connect: Callable[[], Awaitable[C]],
    *,
    ping: str | Callable[[C], Awaitable[object]] | None = None,
) -> AsyncDatabase[C]:
    """Connect by an asyncio driver that follows PEP 249.

    As for ``Pool``, but ``connect`` and ``ping`` return awaitables, and a ping that takes long is
    waited for by a task of the pool: its caller leaves at its deadline.
    """
    database.check_hooks(connect, ping)
    if ping is None:
        return AsyncDatabase(connect)
    return AsyncPingedDatabase(connect, _asking(ping) if isinstance(ping, str) else ping)


def _asking(statement: str) -> Callable[[AsyncDBAPIConnection], Awaitable[object]]:
    async def ask(connection: AsyncDBAPIConnection) -> None:
        cursor = await connection.execute(statement)
        await cursor.fetchall()
        await cursor.close()

    return ask
