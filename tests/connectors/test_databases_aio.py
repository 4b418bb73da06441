"""Databases in an ``AsyncPool``: PostgreSQL by psycopg's AsyncConnection, and aiosqlite."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiosqlite
import psycopg
import pytest
import uvloop

from cenote import AsyncPool
from cenote.connectors import aio as connectors
from cenote.connectors.aio import AsyncDatabase
from tests.connectors.postgres import PostgresServer
from tests.pool.conftest import Run

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Postgres = AsyncPool[Connection]


@pytest.fixture
def database(postgres: PostgresServer) -> AsyncDatabase[Connection]:
    return connectors.dbapi(lambda: psycopg.AsyncConnection.connect(postgres.conninfo))


def pool_of(database: AsyncDatabase[Connection], **options) -> Postgres:
    options = {"max_size": 4, "check_after": 1000} | options
    return AsyncPool(database, timeout=30, backoff_cap=0.1, **options)


async def answer(connection: Connection, number: int = 1) -> int:
    row = await (await connection.execute("select %s::int", (number,))).fetchone()
    assert row is not None
    return int(row[0])


def test_a_transaction_left_open_is_rolled_back_before_the_next_lease(
    run: Run, database: AsyncDatabase[Connection]
) -> None:
    async def scenario() -> None:
        async with pool_of(database, max_size=1) as pool:
            async with pool.connection() as connection:
                await connection.execute("create table drafts (line text)")
            with pytest.raises(psycopg.errors.UndefinedTable):
                async with pool.connection() as connection:
                    await connection.execute("select * from drafts")
            async with pool.connection() as connection:
                assert await answer(connection) == 1
            assert pool.stats().created == 1

    run(scenario)


def test_a_session_that_ended_while_idle_is_not_handed_out(
    run: Run, postgres: PostgresServer, database: AsyncDatabase[Connection]
) -> None:
    async def scenario() -> None:
        async with pool_of(database, check_after=0) as pool:
            async with pool.connection() as connection:
                await answer(connection)
            assert postgres.terminate_sessions() == 1
            async with pool.connection() as connection:
                assert await answer(connection) == 1

    run(scenario)


def test_a_cancelled_query_does_not_answer_somebody_else(
    run: Run, postgres: PostgresServer, database: AsyncDatabase[Connection]
) -> None:
    async def sleep(pool: Postgres) -> None:
        async with pool.connection() as connection:
            await connection.execute("select pg_sleep(60)")

    async def scenario() -> None:
        async with pool_of(database, max_size=1) as pool:
            task = asyncio.create_task(sleep(pool))
            while not postgres.sleeps():  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with pool.connection() as connection:
                assert await answer(connection, 7) == 7

    run(scenario)


@pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_no_query_is_lost_while_sessions_and_the_server_end_under_load(
    postgres: PostgresServer, database: AsyncDatabase[Connection], loop_factory
) -> None:
    dead: list[Connection] = []
    answered = retried = 0
    arrived = asyncio.Condition()

    async def ask(connection: Connection, number: int) -> int:
        assert not any(each is connection for each in dead), "a dead one was handed out again"
        try:
            return await answer(connection, number)
        except psycopg.Error:
            dead.append(connection)
            raise

    async def query(pool: Postgres, number: int) -> int:
        nonlocal retried
        while True:
            try:
                async with pool.connection() as connection:
                    return await ask(connection, number)
            except psycopg.Error as error:
                if database.classify(error) == "ok":
                    raise
                retried += 1

    async def work(pool: Postgres, number: int) -> None:
        nonlocal answered
        while True:
            number += 1
            assert await query(pool, number) == number
            async with arrived:
                answered += 1
                arrived.notify_all()

    async def more(count: int) -> None:
        goal = answered + count
        async with asyncio.timeout(60), arrived:
            await arrived.wait_for(lambda: answered >= goal)

    async def scenario() -> None:
        async with pool_of(database) as pool, asyncio.TaskGroup() as group:
            workers = [group.create_task(work(pool, n * 1_000_000)) for n in range(6)]
            for _ in range(3):
                await more(50)
                await asyncio.to_thread(postgres.terminate_sessions)
            await more(50)
            await asyncio.to_thread(postgres.restart)
            await more(50)
            for worker in workers:
                worker.cancel()
        stats = pool.stats()
        assert stats.used == stats.waiting == 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario())
    assert retried


def test_a_forked_child_leaves_its_parents_session_alone(
    run: Run, database: AsyncDatabase[Connection]
) -> None:
    async def scenario() -> None:
        async with pool_of(database, max_size=1) as pool:
            async with pool.connection() as connection:
                first = connection.info.backend_pid
            if (child := os.fork()) == 0:
                os._exit(0)  # the pool has let go of its connection before
            assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
            async with pool.connection() as connection:
                assert connection.info.backend_pid == first
                assert await answer(connection) == 1

    run(scenario)


def test_a_ping_is_asked_before_an_idle_connection_is_handed_out(
    run: Run, postgres: PostgresServer
) -> None:
    database: AsyncDatabase[Connection] = connectors.dbapi(
        lambda: psycopg.AsyncConnection.connect(postgres.conninfo), ping="select 1"
    )

    async def scenario() -> None:
        async with pool_of(database, check_after=0, max_size=1) as pool:
            for _ in range(3):
                async with pool.connection() as connection:
                    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert pool.stats().created == 1

    run(scenario)


def test_aiosqlite_is_rolled_back_when_it_is_in_a_transaction(run: Run) -> None:
    async def scenario() -> None:
        database = connectors.dbapi(lambda: aiosqlite.connect(":memory:"))
        async with AsyncPool(database, max_size=1, timeout=30) as pool:
            async with pool.connection() as connection:
                await connection.execute("create table notes (line text)")
                await connection.execute("insert into notes values ('not committed')")
                assert connection.in_transaction
            async with pool.connection() as connection:
                assert not connection.in_transaction
                rows = await connection.execute_fetchall("select count(*) from notes")
                assert list(rows) == [(0,)]
            assert pool.stats().created == 1

    run(scenario)
