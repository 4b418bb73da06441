"""SQLAlchemy's QueuePool over connections that do nothing: only the pool itself is measured.

It rolls back on return by default; here that is a call of an empty method. And over those of
SQLite, where it is one of the driver's.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.pool import QueuePool

from bench.adapters.verbs import Checkout


class Connection:
    """As much of a DB-API connection as the pool touches."""

    def rollback(self) -> None: ...

    def close(self) -> None: ...


def _pool(size: int, connect=Connection) -> QueuePool:
    return QueuePool(connect, pool_size=size, max_overflow=0, timeout=30)


def connect_close():
    return _cycles(_pool(4).connect)


def sqlite_connect_close():
    connect = lambda: sqlite3.connect(":memory:", check_same_thread=False)  # noqa: E731
    return _cycles(_pool(4, connect).connect)


def _cycles(connect):

    def cycles(count: int) -> None:
        for _ in range(count):
            connect().close()

    return cycles


def fair(size: int) -> Checkout:
    return Checkout(_pool(size).connect, lambda connection: connection.close())


CONTENDERS = {
    "checkout": {"SQLAlchemy QueuePool connect/close": connect_close},
    "database": {"SQLAlchemy QueuePool connect/close": sqlite_connect_close},
    "fairness": {"SQLAlchemy QueuePool": fair},
}
