"""What is known of a database connection and its errors, whichever driver it is of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from cenote import ConfigurationError, connectors
from cenote.connectors import aio
from cenote.connectors.database import classify, clean_test


class MySQLError(Exception):
    """As PyMySQL and mysqlclient name and number theirs."""


class DatabaseError(MySQLError): ...


class OperationalError(DatabaseError): ...


class IntegrityError(DatabaseError): ...


class InterfaceError(MySQLError): ...


class Psycopg2Error(Exception):
    """As psycopg2's: the state is called pgcode."""

    pgcode: str | None = None


Psycopg2DatabaseError = type("DatabaseError", (Psycopg2Error,), {})
Psycopg2OperationalError = type("OperationalError", (Psycopg2DatabaseError,), {})


def sqlite_error() -> sqlite3.Error:
    wrong = pytest.raises(sqlite3.OperationalError)
    with closing(sqlite3.connect(":memory:")) as connection, wrong as caught:
        connection.execute("select * from nothing")
    return caught.value


SQLSTATES = {
    "57P01": "invalidate_all",  # terminated by an administrator
    "57P02": "invalidate_all",  # after a crash
    "57P03": "invalidate_all",  # starting up
    "08006": "invalidate_all",  # connection failure
    "23505": "ok",  # unique violation
    "40001": "ok",  # serialization failure
    "42P01": "ok",  # undefined table
    "55P03": "ok",  # lock not available
    "57014": "ok",  # query cancelled
}


@pytest.mark.parametrize(("state", "verdict"), SQLSTATES.items())
def test_what_the_server_says_tells_whether_it_is_gone(state: str, verdict: str) -> None:
    error = psycopg.errors.lookup(state)("said the server")
    assert classify(error, tells_state=True) == verdict


VERDICTS = [
    (psycopg.OperationalError("the connection is closed"), "invalidate_all"),
    (psycopg.InterfaceError("the cursor is closed"), "discard"),
    (psycopg.ProgrammingError("the query has 1 placeholder but 0 parameters"), "ok"),
    (Psycopg2OperationalError("server closed the connection unexpectedly"), "invalidate_all"),
    (OperationalError(2006, "MySQL server has gone away"), "invalidate_all"),
    (OperationalError(2013, "Lost connection to MySQL server during query"), "invalidate_all"),
    (OperationalError(1213, "Deadlock found when trying to get lock"), "discard"),
    (OperationalError(), "discard"),
    (InterfaceError(0, ""), "discard"),
    (IntegrityError(1062, "Duplicate entry"), "ok"),
]


@pytest.mark.parametrize(("error", "verdict"), VERDICTS, ids=[str(e) for e, _ in VERDICTS])
def test_without_that_the_class_of_the_error_tells(error: Exception, verdict: str) -> None:
    assert classify(error, tells_state=True) == verdict


def test_an_error_of_sqlite_costs_no_connection() -> None:
    """It has no other end that could go away, and the statement has ended."""
    assert classify(sqlite_error(), tells_state=True) == "ok"


@pytest.mark.parametrize(("tells_state", "verdict"), [(True, "ok"), (False, "discard")])
def test_an_error_of_the_application_costs_a_connection_of_which_nothing_is_known(
    tells_state: bool, verdict: str
) -> None:
    assert classify(ValueError("in the block"), tells_state=tells_state) == verdict


class MySQLConnection:
    in_transaction = True


class OracleConnection:
    transaction_in_progress = False


class Psycopg2Connection:
    closed = 0

    class info:  # noqa: N801 - its name there
        transaction_status = 0


class SilentConnection:
    def in_transaction(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("connection", "clean"),
    [(MySQLConnection(), False), (OracleConnection(), True), (Psycopg2Connection(), True)],
    ids=["mysql.connector", "oracledb", "psycopg2"],
)
def test_drivers_tell_in_their_ways_whether_a_transaction_is_open(
    connection: object, clean: bool
) -> None:
    test = clean_test(connection)
    assert test is not None
    assert test(connection) is clean


def test_of_other_drivers_nothing_is_known() -> None:
    assert clean_test(SilentConnection()) is None


@pytest.mark.parametrize("dbapi", [connectors.dbapi, aio.dbapi])
def test_what_can_not_connect_or_ping_is_refused(dbapi: Callable[..., object]) -> None:
    with pytest.raises(ConfigurationError, match="opens a connection, not str: ") as refusal:
        dbapi("postgresql://me:secret@db")
    assert "secret" not in str(refusal.value)
    with pytest.raises(ConfigurationError, match="ping=True can not be called"):
        dbapi(sqlite3.connect, ping=True)
