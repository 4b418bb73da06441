"""What a pool makes of connect functions and connections that misbehave."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cenote import BadConnector, OperationTimeout, Pool, PoolTimeout, connectors
from tests.connectors.services import LineServer
from tests.connectors.web import WebServer


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def test_a_connect_that_hangs_costs_a_caller_no_more_than_its_deadline() -> None:
    up = threading.Event()

    def connect() -> sqlite3.Connection:
        up.wait(30)
        return memory()

    with Pool(connectors.dbapi(connect), max_size=1, timeout=30) as pool:
        with pytest.raises(PoolTimeout):
            pool.acquire(timeout=0.05)
        up.set()
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert pool.stats().created == 1, "who gave up had not aborted it"


def test_a_connect_that_fails_for_a_while_is_tried_again() -> None:
    outcomes: Iterator[Exception | sqlite3.Connection] = iter(
        [sqlite3.OperationalError("down"), ValueError("worse"), memory()]
    )

    def connect() -> sqlite3.Connection:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with Pool(connectors.dbapi(connect), timeout=30, backoff_cap=0.05) as pool:
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert pool.stats().create_errors == 2


def test_a_connect_that_returns_nothing_is_told_so() -> None:
    nothing = cast(Any, lambda: None)
    told = pytest.raises(BadConnector, match="returned None")
    with Pool(connectors.dbapi(nothing), on_down="fail", timeout=30) as pool, told:
        pool.acquire()


def test_a_connect_that_returns_one_connection_twice_never_lends_it_twice() -> None:
    same = memory()
    with Pool(connectors.dbapi(lambda: same), max_size=2) as pool, pool.connection() as first:
        assert first is same
        with pytest.raises(BadConnector, match="in the pool already"):
            pool.acquire(timeout=30)


class Stubborn(sqlite3.Connection):
    """Can neither be rolled back nor closed in an orderly way."""

    def rollback(self) -> None:
        raise sqlite3.OperationalError("no")

    def close(self) -> None:
        super().close()
        raise sqlite3.OperationalError("never")


def test_a_connection_that_can_not_be_rolled_back_or_closed_is_not_used_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = connectors.dbapi(
        lambda: sqlite3.connect(":memory:", check_same_thread=False, factory=Stubborn)
    )
    with Pool(database, max_size=1, timeout=30) as pool:
        with pool.connection() as first:
            first.execute("create table notes (line text)")
            first.execute("insert into notes values ('never committed')")
        with pool.connection() as second:
            assert second is not first
    assert pool.stats().size == 0
    assert "closing a connection" in caplog.text


def test_a_connection_of_another_thread_is_refused_by_sqlite_and_costs_only_itself() -> None:
    """So does ``check_same_thread``, whose default can not be used with any pool."""
    with Pool(connectors.dbapi(lambda: sqlite3.connect(":memory:")), timeout=30) as pool:
        with pytest.raises(sqlite3.ProgrammingError), pool.connection() as connection:
            connection.execute("select 1")
        assert pool.stats().used == 0


def test_a_server_that_accepts_and_is_silent_costs_a_handshake_no_more_than_its_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OperationTimeout, match="TLS handshake"):
            connectors.tcp("127.0.0.1", port, tls=True).connect(1.0)
        with pytest.raises(OperationTimeout, match="TLS handshake"):
            connectors.http("127.0.0.1", port, tls=True).connect(1.0)


def test_a_server_that_hangs_up_in_the_handshake_is_told(lines: LineServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OSError, match=r"EOF|reset"):
            connectors.tcp("127.0.0.1", port, tls=True).connect(20)
        thread.join()


def borrow(pool: Pool[Any]) -> Any:
    return pool.acquire()


@pytest.mark.parametrize(
    "make",
    [
        lambda web: connectors.dbapi(memory, ping="select 1"),
        lambda web: connectors.http("127.0.0.1", web.port),
        lambda web: connectors.tcp("127.0.0.1", web.port),
    ],
    ids=["dbapi", "http", "tcp"],
)
def test_who_holds_a_connection_borrowed_it_in_the_users_line(
    web: WebServer, make: Callable[[WebServer], Any]
) -> None:
    place = f"{Path(__file__).name}:{borrow.__code__.co_firstlineno + 1}"
    with Pool(make(web), max_size=1, leak_after=60.0) as pool:
        for _ in range(2):  # opened, then idle
            connection = borrow(pool)
            assert pool.holders()[0].where == place
            with pytest.raises(PoolTimeout, match=f"longest held .*[(]{place}[)]"):
                pool.acquire(timeout=0.01)
            pool.release(connection)
