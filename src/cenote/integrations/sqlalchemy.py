"""cenote's pools for SQLAlchemy: ``create_engine(url, poolclass=CenotePool)``.

Strategy: what SQLAlchemy keeps in a pool is a *record*, a place for a connection, and everything it
does to the connection (opening, pre-ping, recycling, reset, invalidation, events, in the caller's
thread or greenlet) it does through the record. Here the records are the resources of a cenote pool:
it decides who gets one, who waits and for how long, in which order, and which are closed. So errors
of connecting reach their caller as they are, and SQLAlchemy's own code is not touched.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Self, TypeAlias

from cenote.connectors import database
from cenote.errors import PoolSaturated, PoolTimeout
from cenote.pool import AsyncPool, Holder, Observer, Pool, PoolOptions, PoolStats
from cenote.pool.options import NO_LIMIT, Fairness
from cenote.pool.passed_over import pass_over

try:
    import sqlalchemy.pool
    from sqlalchemy import exc
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.pool.base import _AsyncConnDialect, _ConnectionRecord
    from sqlalchemy.util import await_only, greenlet_spawn
except ImportError as error:
    raise ImportError(
        "cenote.integrations.sqlalchemy needs SQLAlchemy 2: pip install 'cenote[sqlalchemy]'"
    ) from error

Record: TypeAlias = _ConnectionRecord

__all__ = ["AsyncCenotePool", "CenotePool"]

pass_over("sqlalchemy")  # whoever borrows a connection does so in its user's line

_OPENING = 1.0  # seconds that a place may take which there is room for, whatever the timeout
_TOO_LATE = "3o7r"  # under this code SQLAlchemy's documentation explains the error


class CenotePool(sqlalchemy.pool.Pool):
    """A ``poolclass`` for ``create_engine``: SQLAlchemy's engine on a ``cenote.Pool``.

    The engine's ``pool_size``, ``max_overflow``, ``pool_timeout``, ``pool_recycle``,
    ``pool_pre_ping``, ``pool_use_lifo`` and ``pool_reset_on_return`` mean what they mean for
    ``QueuePool``; the pool's events, ``invalidate`` and ``dispose`` too. ``max_waiting``,
    ``fairness``, ``max_idle``, ``leak_after`` and ``observer`` are those of ``cenote.Pool``, and
    arguments of ``create_engine`` as well.

    Args:
        pool_size: Connections that may lie idle; 0: no limit.
        max_overflow: Connections that there may be beyond those; -1: no limit. One that comes back
            when ``pool_size`` lie idle is closed.
        timeout: Seconds to wait for a connection; None: no limit.
        use_lifo: Take the connection that came back last, which lets idle ones be closed.
        recycle: Seconds after which a connection is replaced at its next checkout, or closed while
            it is idle; -1: never.

    Raises:
        ConfigurationError: An option is out of range.
    """

    _is_asyncio = False  # pyright: ignore[reportAssignmentType] # as SQLAlchemy's own have it

    def __init__(  # noqa: PLR0917 - SQLAlchemy finds no keyword-only arguments
        self,
        creator: Any,
        pool_size: int = 5,
        max_overflow: int = 10,
        timeout: float | None = 30.0,
        use_lifo: bool = False,
        recycle: int = -1,
        pre_ping: bool = False,
        reset_on_return: Any = True,
        echo: Any = None,
        logging_name: str | None = None,
        events: Any = None,
        dialect: Any = None,
        max_waiting: int | None = None,
        fairness: Fairness = "eventual",
        max_idle: float | None = None,
        leak_after: float | None = None,
        observer: Observer | None = None,
        _dispatch: Any = None,
    ) -> None:
        super().__init__(
            creator, recycle=recycle, echo=echo, logging_name=logging_name,
            reset_on_return=reset_on_return, events=events, dialect=dialect, pre_ping=pre_ping,
            _dispatch=_dispatch,
        )  # fmt: skip
        self._size = pool_size
        self._max_overflow = max_overflow
        self._observer = observer
        self._count = _Count()
        self._options = PoolOptions(
            max_size=_most(pool_size, max_overflow), timeout=timeout, max_waiting=max_waiting,
            fairness=fairness, order="lifo" if use_lifo else "fifo", max_idle=max_idle,
            max_lifetime=recycle if recycle > 0 else None, leak_after=leak_after,
        )  # fmt: skip
        self._set_up()

    def _set_up(self) -> None:
        records = Pool.from_options(
            _Places(self, self._count),
            self._options,
            name=self._orig_logging_name,
            observer=self._observer,
        )
        self._records: Pool[Record] | AsyncPool[Record] = records
        self._acquire: Callable[[float | None], Record] = records.acquire

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return self._acquire(self._patience())
        except (PoolTimeout, PoolSaturated) as error:
            told = str(error).replace(" max_size ", " pool_size or max_overflow ")
            raise exc.TimeoutError(told, code=_TOO_LATE) from error

    def _patience(self) -> float | None:
        """The seconds to wait: the timeout is for connections in use, not for room there is."""
        timeout = self._options.timeout
        has_room = self._count.value < self._options.max_size
        return max(timeout, _OPENING) if has_room and timeout is not None else timeout

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        assert isinstance(record, Record)
        if self._is_surplus(record):
            self._close(record)
        else:
            self._records.release(record)

    def _is_surplus(self, record: Record) -> bool:
        """Whether what comes back is one more than may lie idle, and nobody waits for it."""
        if not 0 < self._size < self._count.value:
            return False
        stats = self.stats()
        is_empty = record.dbapi_connection is None
        return (is_empty or stats.idle >= self._size) and not stats.waiting

    def _close(self, record: Record) -> None:
        """Close a leased record, here and now, and free its place."""
        try:
            record.close()
        finally:
            self._records.detach(record)
            self._count.add(-1)

    def recreate(self) -> Self:
        """Return a new pool with the same options and events."""
        self.logger.info("Pool recreating")
        options = self._options
        return self.__class__(
            self._creator, pool_size=self._size, max_overflow=self._max_overflow,
            timeout=options.timeout, use_lifo=options.order == "lifo", recycle=self._recycle,
            pre_ping=self._pre_ping, reset_on_return=self._reset_on_return, echo=self.echo,
            logging_name=self._orig_logging_name, dialect=self._dialect,
            max_waiting=options.max_waiting, fairness=options.fairness, max_idle=options.max_idle,
            leak_after=options.leak_after, observer=self._observer, _dispatch=self.dispatch,
        )  # fmt: skip

    def dispose(self) -> None:
        """Close the idle connections; those that are out are closed as they come back."""
        while (entry := self._records.checkout_nowait()) is not None:
            self._close(entry.resource)
        self._records.invalidate_all()
        self.logger.info("Pool disposed. %s", self.status())

    def stats(self) -> PoolStats:
        """Describe the pool at this instant; a connection may still be absent from its place."""
        return self._records.stats()

    def holders(self) -> list[Holder]:
        """Describe who has a connection out, longest held first."""
        return self._records.holders()

    def status(self) -> str:
        """Describe the pool in the words of ``QueuePool``."""
        return (
            f"Pool size: {self.size()}  Connections in pool: {self.checkedin()} "
            f"Current Overflow: {self.overflow()} Current Checked out connections: "
            f"{self.checkedout()}"
        )

    def size(self) -> int:
        """Return how many connections may lie idle; 0: no limit."""
        return self._size

    def timeout(self) -> float | None:
        """Return the seconds that are waited for a connection."""
        return self._options.timeout

    def checkedin(self) -> int:
        """Return how many connections are idle."""
        return self.stats().idle

    def checkedout(self) -> int:
        """Return how many connections are out."""
        return self.stats().used

    def overflow(self) -> int:
        """Return by how many the connections there are exceed ``size``; negative: fall short."""
        stats = self.stats()
        return stats.idle + stats.used - self._size if self._size else 0


class AsyncCenotePool(CenotePool):
    """A ``poolclass`` for ``create_async_engine``, on a ``cenote.AsyncPool``.

    As ``CenotePool``; it belongs to the event loop it is first used in. ``await engine.dispose()``
    before that ends, as for any engine of asyncio.
    """

    _is_asyncio = True  # as SQLAlchemy's own pools have it
    _dialect = _AsyncConnDialect()

    def _set_up(self) -> None:
        records = AsyncPool.from_options(
            _AsyncPlaces(self, self._count),
            self._options,
            name=self._orig_logging_name,
            observer=self._observer,
        )
        self._records = records
        self._acquire = lambda timeout: await_only(records.acquire(timeout))


class _Count:
    """How many records there are."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, change: int) -> None:
        with self._lock:
            self.value += change


class _Places:
    """The connector of records.

    It refers to its owner weakly, so that a pool whose records are gone needs no garbage collector
    to be gone too, and its upkeep with it.
    """

    def __init__(self, owner: CenotePool, count: _Count) -> None:
        self._owner = weakref.ref(owner)
        self._count = count
        self._pid = os.getpid()

    def connect(self, _timeout: float) -> Record:
        owner = self._owner()
        if owner is None:
            raise ReferenceError("SQLAlchemy has dropped the pool")
        if self._pid != os.getpid():  # a forked child's pool begins anew
            self._pid, self._count.value = os.getpid(), 0
        self._count.add(1)
        return Record(owner, connect=False)  # its first user connects

    def close(self, record: Record) -> None:
        self._count.add(-1)
        record.close()

    def abort(self, record: Record) -> None:
        """Close what was left behind; what is a parent's, without a word."""
        if not self.disown(record):
            self.close(record)

    def disown(self, record: Record) -> bool:
        """In a forked child, let go of a parent's connection; False: it is our own."""
        if self._pid == os.getpid():
            return False
        database.disown(record.driver_connection)
        return True


class _AsyncPlaces:
    """The connector of records for asyncio: closing awaits, in a greenlet of SQLAlchemy's."""

    def __init__(self, owner: CenotePool, count: _Count) -> None:
        self._places = _Places(owner, count)

    async def connect(self, timeout: float) -> Record:
        return self._places.connect(timeout)

    async def close(self, record: Record) -> None:
        await greenlet_spawn(self._places.close, record)

    def abort(self, record: Record) -> None:
        """Close without waiting, as a driver of asyncio is able to."""
        if not self._places.disown(record):
            record.invalidate()
            self._places.close(record)


def _most(pool_size: int, max_overflow: int) -> int:
    """How many connections there may be."""
    if pool_size == 0 or max_overflow < 0:
        return NO_LIMIT
    return pool_size + max_overflow
