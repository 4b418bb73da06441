"""psycopg_pool over connections that do nothing: only the pool itself is measured, no PostgreSQL.

The pool takes any ``connection_class``; this one has what the pool looks at on every getconn and
putconn: a transaction status that is always IDLE, and the attributes it writes on a connection.
``getconn``/``putconn`` are measured rather than ``connection()``, which would also begin and
commit.
"""

from __future__ import annotations

import psycopg_pool
from psycopg.pq import TransactionStatus

from bench.adapters.verbs import Checkout


class Status:
    transaction_status = TransactionStatus.IDLE


class Connection:
    """As much of a psycopg connection as the pool touches."""

    pgconn = Status()
    closed = False
    _pool = None

    @classmethod
    def connect(cls, _conninfo: str = "", **_options: object) -> Connection:
        return cls()

    def close(self) -> None: ...


class AsyncConnection(Connection):
    @classmethod
    async def connect(cls, _conninfo: str = "", **_options: object) -> AsyncConnection:
        return cls()

    async def close(self) -> None: ...


def _pool(size: int) -> psycopg_pool.ConnectionPool:
    pool = psycopg_pool.ConnectionPool(
        connection_class=Connection, min_size=size, max_size=size, open=False
    )
    pool.open(wait=True)
    return pool


def getconn_putconn():
    pool = _pool(4)
    getconn, putconn = pool.getconn, pool.putconn

    def cycles(count: int) -> None:
        for _ in range(count):
            putconn(getconn())

    return cycles


def fair(size: int) -> Checkout:
    pool = _pool(size)
    return Checkout(pool.getconn, pool.putconn)


async def async_getconn_putconn():
    pool = psycopg_pool.AsyncConnectionPool(
        connection_class=AsyncConnection, min_size=4, max_size=4, open=False
    )
    await pool.open(wait=True)
    getconn, putconn = pool.getconn, pool.putconn

    async def cycles(count: int) -> None:
        for _ in range(count):
            await putconn(await getconn())

    return cycles


CONTENDERS = {
    "checkout": {"psycopg_pool getconn/putconn": getconn_putconn},
    "async checkout": {"psycopg_pool getconn/putconn": async_getconn_putconn},
    "fairness": {"psycopg_pool": fair},
}
