"""What a pool can know of a database connection, whichever PEP 249 driver it is of.

Strategy: drivers are told apart by what their connections and errors have, so none is imported.

1. *Clean* is a connection of which its driver says that no transaction is open. Where the driver
   does not say, no connection is clean: each is rolled back.
2. An error that the server sent has completed the conversation. One of the classes for failures of
   the connection has not, and SQLSTATE, where there is one, tells which it is. An error that means
   the server went away makes all of its connections suspect.
3. An idle connection with a descriptor that has become readable has ended, or is about to.

Nothing here waits.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict

IsClean = Callable[[Any], bool]

_IDLE: Final = 0  # the number PostgreSQL's drivers give the state outside a transaction
_SHUTDOWN: Final = {"57P01", "57P02", "57P03"}  # by an administrator; a crash; not yet up
_MYSQL_GONE: Final = {1053, 2006, 2013, 2055}  # shutting down; gone away; lost, twice
_SUSPECT: Final = {"OperationalError", "InterfaceError", "InternalError"}
_KEPT: list[object] = []


def check_hooks(connect: object, ping: object) -> None:
    """Refuse what can neither connect nor ping.

    Raises:
        ConfigurationError: It can not be called; ``ping`` may also be a statement, or None.
    """
    if not callable(connect):  # it may be a DSN, with a password
        raise ConfigurationError(
            f"connect is a function that opens a connection, not {type(connect).__name__}: write "
            "dbapi(lambda: driver.connect(...))"
        )
    if ping is not None and not isinstance(ping, str) and not callable(ping):
        raise ConfigurationError(
            f"ping={ping!r} can not be called: give a statement, or a function of a connection"
        )


def clean_test(connection: object) -> IsClean | None:
    """How this connection's driver tells that no transaction is open; None: it does not."""
    if hasattr(connection, "pgconn"):
        return _is_clean_psycopg
    if hasattr(getattr(connection, "info", None), "transaction_status"):
        return _is_clean_psycopg2
    if _has(connection, "in_transaction"):
        return _is_clean_by_attribute
    if _has(connection, "transaction_in_progress"):
        return _is_clean_oracle
    return None


def _has(connection: object, name: str) -> bool:
    return isinstance(getattr(connection, name, None), bool)


def _is_clean_psycopg(connection: Any) -> bool:
    return bool(connection.pgconn.transaction_status == _IDLE)


def _is_clean_psycopg2(connection: Any) -> bool:
    return not connection.closed and bool(connection.info.transaction_status == _IDLE)


def _is_clean_by_attribute(connection: Any) -> bool:  # sqlite3, aiosqlite, mysql.connector
    return not connection.in_transaction


def _is_clean_oracle(connection: Any) -> bool:
    return not connection.transaction_in_progress


def expect_idle(connection: object) -> None:
    """Refuse a connection that is in the middle of something although it was rolled back.

    Only PostgreSQL's drivers tell. SQLite's with ``autocommit=False`` is in a transaction always.

    Raises:
        RuntimeError: It is.
    """
    if hasattr(connection, "pgconn") and not _is_clean_psycopg(connection):
        raise RuntimeError(f"{connection!r} is busy, even after a rollback")


def looks_alive(connection: object) -> bool:
    """Whether nothing that can be seen from here says that an idle connection has ended."""
    if getattr(connection, "closed", False) or getattr(connection, "broken", False):
        return False
    number = descriptor(connection)
    if number is None:
        return True
    poller = select.poll()
    poller.register(number, select.POLLIN)
    return not poller.poll(0)


def descriptor(connection: Any) -> int | None:
    """The connection's descriptor; None: the driver does not tell it, or it is closed."""
    number = None
    with contextlib.suppress(Exception):  # no such method, or the driver's word for closed
        number = connection.fileno()
    return number if isinstance(number, int) and number >= 0 else None


def disown(connection: object) -> None:
    """In a forked child: let go of the parent's connection without a word to the server.

    Its descriptor, if it is known, leads nowhere from now on, so whatever the driver may still do
    with it does no harm. The object is kept, so that its finalizer does nothing at all.
    """
    _KEPT.append(connection)
    number = descriptor(connection)
    if number is not None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, number)
        os.close(nowhere)


def let_go(connection: Any) -> None:
    """Close an asyncio driver's connection without waiting for anything, as far as it can be."""
    pgconn = getattr(connection, "pgconn", None)
    close = getattr(connection, "stop", None) if pgconn is None else pgconn.finish
    if close is not None:
        close()


def classify(error: BaseException, *, tells_state: bool) -> Verdict:
    """Judge the error that a lease ended with.

    Args:
        error: It.
        tells_state: The driver tells whether a transaction is open, and so whether a connection is
            in the middle of something.
    """
    names = {each.__name__ for each in type(error).__mro__}
    if not names & {"DatabaseError", "InterfaceError"}:
        return "ok" if tells_state else "discard"  # no error of the driver's
    state = _sqlstate(error)
    if state:
        return "invalidate_all" if state in _SHUTDOWN or state.startswith("08") else "ok"
    if not names & _SUSPECT:
        return "ok"
    if "OperationalError" in names and _server_is_gone(error, state):
        return "invalidate_all"
    return "ok" if hasattr(error, "sqlite_errorcode") else "discard"


def _sqlstate(error: BaseException) -> str | None:
    """The error's SQLSTATE; empty: it has none; None: its driver knows no such thing."""
    for name in ("sqlstate", "pgcode"):
        if hasattr(error, name):
            return str(getattr(error, name) or "")
    return None


def _server_is_gone(error: BaseException, state: str | None) -> bool:
    """PostgreSQL's drivers have no state to tell where the server did not say anything."""
    return state == "" or (bool(error.args) and error.args[0] in _MYSQL_GONE)
