"""Databases in a ``Pool``: PostgreSQL by psycopg, SQLite, and what a driver does not tell."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from cenote import ConnectFailed, Pool, connectors
from cenote.connectors import Database
from tests.connectors.postgres import PostgresServer
from tests.patience import until


class Counted(psycopg.Connection[tuple[Any, ...]]):
    """Counts what was rolled back."""

    rollbacks = 0

    def rollback(self) -> None:
        Counted.rollbacks += 1
        super().rollback()


@pytest.fixture
def database(postgres: PostgresServer) -> Database[Counted]:
    Counted.rollbacks = 0
    return connectors.dbapi(lambda: Counted.connect(postgres.conninfo))


Postgres = Pool[Counted]


@pytest.fixture
def pool(database: Database[Counted]) -> Iterator[Postgres]:
    with Pool(database, max_size=4, timeout=30, backoff_cap=0.1, check_after=1000) as pool:
        yield pool


def session(connection: psycopg.Connection[Any]) -> int:
    return connection.info.backend_pid


def test_a_connection_without_a_transaction_is_not_rolled_back(postgres: PostgresServer) -> None:
    database = connectors.dbapi(lambda: Counted.connect(postgres.conninfo, autocommit=True))
    before = Counted.rollbacks
    with Pool(database, timeout=30) as pool:
        for number in range(5):
            with pool.connection() as connection:
                row = connection.execute("select %s::int", (number,)).fetchone()
                assert row == (number,)
        assert pool.stats().created == 1
    assert Counted.rollbacks == before


def test_a_transaction_left_open_is_rolled_back_before_the_next_lease(pool: Postgres) -> None:
    pool.resize(0, 1)
    with pool.connection() as connection:
        connection.execute("create table notes (line text)")
        connection.commit()
        connection.execute("insert into notes values ('not committed')")
        first = session(connection)
    with pool.connection() as connection:
        assert session(connection) == first
        assert connection.execute("select count(*) from notes").fetchone() == (0,)
        connection.execute("drop table notes")
        connection.commit()
    assert Counted.rollbacks == 1


def test_a_refused_statement_costs_no_connection(pool: Postgres) -> None:
    pool.resize(0, 1)
    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedTable), pool.connection() as connection:
            connection.execute("select * from nothing")
    with pytest.raises(ValueError, match="mine"), pool.connection() as connection:
        connection.execute("select 1")
        raise ValueError("mine")
    with pool.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert pool.stats().created == 1


def test_a_connection_left_in_the_middle_of_a_query_is_not_used_again(pool: Postgres) -> None:
    pool.resize(0, 1)
    with pool.connection() as connection:
        first = session(connection)
        connection.pgconn.send_query(b"select pg_sleep(0)")
    with pool.connection() as connection:
        assert session(connection) != first
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_session_that_ended_while_idle_is_not_handed_out(
    postgres: PostgresServer, database: Database[Counted]
) -> None:
    with Pool(database, check_after=0, timeout=30) as pool:
        with pool.connection() as connection:
            connection.execute("select 1")
        assert postgres.terminate_sessions() == 1
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_one_error_that_says_the_server_went_away_is_enough(
    postgres: PostgresServer, pool: Postgres
) -> None:
    """The siblings were used a moment ago and are not checked: all are replaced."""
    for connection in [pool.acquire() for _ in range(4)]:
        connection.execute("select 1")
        pool.release(connection)
    while pool.stats().idle < 4:  # each is rolled back first, behind the releaser
        pass
    postgres.restart()
    with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
        connection.execute("select 1")
    for _ in range(8):
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)


class Load:
    """Threads that query without a pause, and try again what failed by no fault of its own."""

    def __init__(self, pool: Postgres, database: Database[Counted], workers: int = 6) -> None:
        self._pool = pool
        self._database = database
        self._end = threading.Event()
        self._progress = threading.Condition()
        self._dead: list[Counted] = []
        self.answered = 0
        self.retried = 0
        self.faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(workers)]

    def wait_for_more(self, count: int) -> None:
        with self._progress:
            goal = self.answered + count
            arrived = self._progress.wait_for(lambda: self.answered >= goal or self.faults, 60)
        assert arrived, f"stuck after {self.answered} queries: {self._pool.stats()}"
        assert not self.faults

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, worker: int) -> None:
        number = worker * 1_000_000
        try:
            while not self._end.is_set():
                number += 1
                assert self._query(number) == number
                with self._progress:
                    self.answered += 1
                    self._progress.notify_all()
        except BaseException as error:
            with self._progress:
                self.faults.append(error)
                self._progress.notify_all()

    def _query(self, number: int) -> int:
        while True:
            try:
                with self._pool.connection() as connection:
                    return self._ask(connection, number)
            except psycopg.Error as error:
                if self._database.classify(error) == "ok":
                    raise
                self.retried += 1

    def _ask(self, connection: Counted, number: int) -> int:
        assert not any(each is connection for each in self._dead), "a dead one was handed out again"
        try:
            row = connection.execute("select %s::int", (number,)).fetchone()
        except psycopg.Error:
            self._dead.append(connection)
            raise
        assert row is not None
        return int(row[0])


def test_no_query_is_lost_while_sessions_and_the_server_end_under_load(
    postgres: PostgresServer, pool: Postgres, database: Database[Counted]
) -> None:
    with Load(pool, database) as load:
        for _ in range(3):
            load.wait_for_more(50)
            postgres.terminate_sessions()
        load.wait_for_more(50)
        postgres.restart()
        load.wait_for_more(50)
    assert not load.faults
    assert load.retried
    stats = pool.stats()
    assert stats.used == stats.waiting == 0


def test_a_forked_child_leaves_its_parents_session_alone(pool: Postgres) -> None:
    pool.resize(0, 1)
    with pool.connection() as connection:
        first = session(connection)
    if (child := os.fork()) == 0:
        with pool.connection() as connection:
            ok = session(connection) != first
            connection.execute("select 1")
        pool.close()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    with pool.connection() as connection:
        assert session(connection) == first
        assert connection.execute("select 1").fetchone() == (1,)


# Pings.


def test_a_ping_leaves_no_transaction_behind(postgres: PostgresServer) -> None:
    database = connectors.dbapi(lambda: Counted.connect(postgres.conninfo), ping="select 1")
    with Pool(database, check_after=0, timeout=30) as pool:
        for _ in range(3):
            with pool.connection() as connection:
                assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert pool.stats().created == 1


def test_a_ping_that_fails_costs_the_connection_and_not_its_caller() -> None:
    dead: list[sqlite3.Connection] = []

    def ask(connection: sqlite3.Connection) -> None:
        if any(each is connection for each in dead):
            raise sqlite3.OperationalError("gone")

    with Pool(connectors.dbapi(memory, ping=ask), check_after=0, timeout=30) as pool:
        with pool.connection() as first:
            dead.append(first)
        with pool.connection() as second:
            assert second is not first
    assert pool.stats().closed["check"] == 1


def test_idle_connections_are_kept_alive_by_the_ping() -> None:
    pinged = threading.Event()
    database = connectors.dbapi(memory, ping=lambda _: pinged.set())
    with Pool(database, min_size=1, keepalive=0.02, timeout=30) as pool:
        pool.open(wait=True)
        assert pinged.wait(30)


def test_a_ping_that_lies_costs_one_error(postgres: PostgresServer) -> None:
    """The dead connection is discarded by the error of its user."""
    database = connectors.dbapi(lambda: LooksAlive(postgres.conninfo), ping=lambda _: None)
    with Pool(database, max_size=1, check_after=0, timeout=30) as pool:
        with pool.connection() as connection:
            connection.ask()
        until(lambda: pool.stats().idle == 1)  # it has been rolled back, beside us
        postgres.terminate_sessions()
        with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
            connection.ask()
        with pool.connection() as connection:
            connection.ask()


class LooksAlive:
    """A driver that tells nothing: no descriptor, no state."""

    def __init__(self, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo)

    def ask(self) -> object:
        return self._connection.execute("select 1")

    def cursor(self) -> object:
        return self._connection.cursor()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


# SQLite, and drivers that do not tell.


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def test_sqlite_is_rolled_back_when_it_is_in_a_transaction(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    database = connectors.dbapi(lambda: sqlite3.connect(path, check_same_thread=False))
    with Pool(database, max_size=1, timeout=30) as pool:
        with pool.connection() as connection:
            connection.execute("create table notes (line text)")
            connection.execute("insert into notes values ('not committed')")
            assert connection.in_transaction
        with pool.connection() as connection:
            assert not connection.in_transaction
            assert connection.execute("select count(*) from notes").fetchone() == (0,)
            connection.execute("insert into notes values ('committed')")
            connection.commit()
        with pool.connection() as connection:
            assert connection.execute("select * from notes").fetchall() == [("committed",)]
        assert pool.stats().created == 1


def test_a_connection_that_its_user_closed_is_not_used_again() -> None:
    with Pool(connectors.dbapi(memory), max_size=1, timeout=30) as pool:
        with pool.connection() as connection:
            connection.close()
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert pool.stats().created == 2


class Untold:
    """A driver that does not tell whether a transaction is open."""

    def __init__(self) -> None:
        self._connection = memory()
        self.rollbacks = 0

    def cursor(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def rollback(self) -> None:
        self.rollbacks += 1
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


def test_what_a_driver_does_not_tell_is_rolled_back_always() -> None:
    with Pool(connectors.dbapi(Untold), max_size=1, timeout=30) as pool:
        for uses in range(3):
            with pool.connection() as connection:
                assert connection.rollbacks == uses
        with pytest.raises(ValueError, match="mine"), pool.connection() as first:
            raise ValueError("mine")
        with pool.connection() as connection:
            assert connection is not first


def test_who_can_not_connect_is_told_why() -> None:
    def refuse() -> sqlite3.Connection:
        return sqlite3.connect("/nowhere/at/all.db")

    with (
        Pool(connectors.dbapi(refuse), on_down="fail", timeout=30, backoff_cap=0.05) as pool,
        pytest.raises(ConnectFailed, match="unable to open database file"),
    ):
        pool.acquire()


class AlwaysOpen(sqlite3.Connection):
    """As SQLite's with ``autocommit=False`` (Python 3.12): each transaction begins the next."""

    rollbacks = 0

    @property
    def in_transaction(self) -> bool:
        return True

    def rollback(self) -> None:
        self.rollbacks += 1
        super().rollback()


def test_a_driver_that_is_always_in_a_transaction_is_rolled_back_and_used_again() -> None:
    options: dict[str, Any] = {"check_same_thread": False, "factory": AlwaysOpen}
    with Pool(connectors.dbapi(lambda: sqlite3.connect(":memory:", **options)), max_size=1) as pool:
        for _ in range(3):
            with pool.connection() as connection:
                assert connection.in_transaction
        assert pool.stats().created == 1
        with pool.connection() as connection:
            assert isinstance(connection, AlwaysOpen)
            assert connection.rollbacks == 3
