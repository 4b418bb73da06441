"""SQLAlchemy's QueuePool over connections that do nothing: only the pool itself is measured.

It rolls back on return by default; here that is a call of an empty method.
"""

from __future__ import annotations

from sqlalchemy.pool import QueuePool

from bench.adapters.verbs import Checkout


class Connection:
    """As much of a DB-API connection as the pool touches."""

    def rollback(self) -> None: ...

    def close(self) -> None: ...


def _pool(size: int) -> QueuePool:
    return QueuePool(Connection, pool_size=size, max_overflow=0, timeout=30)


def connect_close():
    connect = _pool(4).connect

    def cycles(count: int) -> None:
        for _ in range(count):
            connect().close()

    return cycles


def fair(size: int) -> Checkout:
    return Checkout(_pool(size).connect, lambda connection: connection.close())


CONTENDERS = {
    "checkout": {"SQLAlchemy QueuePool connect/close": connect_close},
    "fairness": {"SQLAlchemy QueuePool": fair},
}
