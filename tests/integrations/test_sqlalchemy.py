"""SQLAlchemy's engine on cenote's pools: behaves as on its own, on PostgreSQL and SQLite.

These tests say in our words what SQLAlchemy's own tests of QueuePool demand; those pass too, but
for the ones that look into its queue (``tools/sqlalchemy_pool_tests.py`` runs them).
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from cenote import ConfigurationError, Holder, Observer
from cenote.integrations.sqlalchemy import AsyncCenotePool, CenotePool
from cenote.pool.keeper_sync import KEEPER
from tests.connectors.postgres import PostgresServer
from tests.patience import until
from tests.pool.conftest import Run

ONE = text("select 1")


@pytest.fixture(autouse=True)
def _no_pool_lives_on() -> Iterator[None]:
    """Engines and pools refer to each other: until they are collected, upkeep goes on."""
    kept = len(KEEPER._due)
    yield
    # Not at once, if the keeper has one in hand.
    until(lambda: gc.collect() >= 0 and len(KEEPER._due) <= kept)


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


@contextmanager
def pool_of(**options: Any) -> Iterator[CenotePool]:
    pool = CenotePool(memory, **options)
    yield pool
    pool.dispose()


@contextmanager
def engine_of(url: str, **options: Any) -> Iterator[Engine]:
    engine = create_engine(url, poolclass=CenotePool, **options)
    yield engine
    engine.dispose()


def url_of(server: PostgresServer) -> str:
    return f"postgresql+psycopg://cenote@/postgres?host={server.folder}"


def cenote_pool(engine: Engine) -> CenotePool:
    assert isinstance(engine.pool, CenotePool)
    return engine.pool


# Sizes.


def test_a_connection_is_used_again() -> None:
    with pool_of() as pool:
        first = pool.connect()
        underneath = first.dbapi_connection
        first.close()
        second = pool.connect()
        assert second.dbapi_connection is underneath
        second.close()


def test_what_exceeds_the_size_is_closed_as_it_comes_back() -> None:
    closed: list[Any] = []
    with pool_of(pool_size=2, max_overflow=1) as pool:
        event.listen(pool, "close", lambda connection, _: closed.append(connection))
        connections = [pool.connect() for _ in range(3)]
        assert (pool.size(), pool.checkedin(), pool.overflow(), pool.checkedout()) == (2, 0, 1, 3)
        for connection in connections:
            connection.close()
        assert (pool.size(), pool.checkedin(), pool.overflow(), pool.checkedout()) == (2, 2, 0, 0)
        assert len(closed) == 1
        assert "Connections in pool: 2" in pool.status()


@pytest.mark.parametrize("options", [{"pool_size": 0}, {"max_overflow": -1}], ids=str)
def test_there_may_be_no_limit(options: dict[str, int]) -> None:
    with pool_of(**options) as pool:
        connections = [pool.connect() for _ in range(30)]
        assert pool.checkedout() == 30
        for connection in connections:
            connection.close()


def test_who_waits_too_long_is_told_what_sqlalchemy_would_tell() -> None:
    with pool_of(pool_size=1, max_overflow=0, timeout=0.5) as pool:
        connection = pool.connect()
        with pytest.raises(exc.TimeoutError, match=r"1/1 in use.*raise pool_size or max_overflow"):
            pool.connect()
        connection.close()
        pool.connect().close()


def test_a_timeout_of_zero_is_for_connections_in_use_only() -> None:
    with pool_of(pool_size=2, max_overflow=0, timeout=0) as pool:
        connections = [pool.connect(), pool.connect()]
        with pytest.raises(exc.TimeoutError):
            pool.connect()
        for connection in connections:
            connection.close()


def test_who_waits_gets_what_comes_back_even_beyond_the_size() -> None:
    with pool_of(pool_size=1, max_overflow=1, timeout=30) as pool:
        held = [pool.connect(), pool.connect()]
        got: list[Any] = []
        waiter = threading.Thread(target=lambda: got.append(pool.connect()))
        waiter.start()
        while not pool.stats().waiting:
            pass
        held[0].close()
        waiter.join(30)
        assert got
        for connection in (*got, held[1]):
            connection.close()


@pytest.mark.parametrize(("lifo", "expected"), [(False, 0), (True, 2)])
def test_the_order_is_sqlalchemys(lifo: bool, expected: int) -> None:
    with pool_of(pool_size=3, use_lifo=lifo) as pool:
        connections = [pool.connect() for _ in range(3)]
        underneath = [connection.dbapi_connection for connection in connections]
        for connection in connections:
            connection.close()
        connection = pool.connect()
        assert connection.dbapi_connection is underneath[expected]
        connection.close()


def test_a_connection_that_was_dropped_comes_back_by_itself() -> None:
    with pool_of(pool_size=1, max_overflow=0) as pool:
        connection = pool.connect()
        del connection
        pool.connect().close()
        assert pool.checkedin() == 1


@pytest.mark.parametrize("invalidated", [False, True])
def test_a_connect_that_fails_costs_no_place(invalidated: bool) -> None:
    up = True

    def connect() -> sqlite3.Connection:
        if not up:
            raise sqlite3.OperationalError("down")
        return memory()

    pool = CenotePool(connect, pool_size=1, max_overflow=2, timeout=1.0)
    first = pool.connect()
    if invalidated:
        first.invalidate()
    first.close()
    held = [] if invalidated else [pool.connect()]
    up = False
    for _ in range(5):
        with pytest.raises(sqlite3.OperationalError, match="down"):
            pool.connect()
    up = True
    held += [pool.connect() for _ in range(3 - len(held))]
    with pytest.raises(exc.TimeoutError):
        pool.connect()
    for connection in held:
        connection.close()
    assert pool.overflow() == 0
    pool.dispose()


# Events.


def test_every_event_of_a_connections_life_is_told() -> None:
    told: Counter[str] = Counter()
    names = ["first_connect", "connect", "checkout", "reset", "checkin", "invalidate", "close"]
    with pool_of(pool_size=1, max_overflow=0) as pool:
        for name in [*names, "soft_invalidate", "detach", "close_detached"]:
            event.listen(pool, name, lambda *_, name=name: told.update([name]))
        pool.connect().close()
        assert told == Counter(names[:5])
        connection = pool.connect()
        connection.invalidate(soft=True)
        connection.close()
        assert told["soft_invalidate"] == 1
        connection = pool.connect()
        assert told["connect"] == 2, "a soft-invalidated connection is replaced"
        connection.invalidate()
        connection.close()
        assert told["invalidate"] == 1
        connection = pool.connect()
        connection.detach()
        connection.close()
        assert told["detach"] == told["close_detached"] == 1
        assert told["first_connect"] == 1


def test_a_recreated_pool_has_the_same_options_and_tells_the_same_events() -> None:
    told: list[str] = []
    with pool_of(pool_size=3, max_overflow=4, timeout=7, use_lifo=True, leak_after=9) as pool:
        event.listen(pool, "connect", lambda *_: told.append("connect"))
        again = pool.recreate()
        again.connect().close()
        assert told == ["connect"]
        assert (again.size(), again.timeout(), again._options) == (3, 7, pool._options)
        again.dispose()


def test_dispose_closes_what_is_idle_and_what_is_out_as_it_comes_back() -> None:
    closed = threading.Semaphore(0)
    with pool_of(pool_size=2) as pool:
        event.listen(pool, "close", lambda *_: closed.release())
        first, second = pool.connect(), pool.connect()
        first.close()
        pool.dispose()
        assert closed.acquire(blocking=False)
        assert not closed.acquire(blocking=False)
        second.close()
        assert closed.acquire(timeout=30)
        pool.connect().close()


# On databases.


def test_an_engine_works_as_ever(tmp_path: Path) -> None:
    with engine_of(f"sqlite:///{tmp_path}/notes.db", pool_size=2) as engine:
        with engine.begin() as connection:
            connection.execute(text("create table notes (line text)"))
            connection.execute(text("insert into notes values ('kept')"))
        with engine.connect() as connection:
            connection.execute(text("insert into notes values ('not committed')"))
        with engine.connect() as connection:
            assert connection.execute(text("select line from notes")).all() == [("kept",)]
        assert cenote_pool(engine).stats().created == 1


def test_a_failed_connect_reaches_its_caller_as_it_is(tmp_path: Path) -> None:
    with engine_of(f"sqlite:///{tmp_path}/no/such/folder.db") as engine:
        for _ in range(3):
            with pytest.raises(exc.OperationalError, match="unable to open database file"):
                engine.connect()
        assert cenote_pool(engine).checkedout() == 0


def test_pre_ping_replaces_what_the_server_has_ended(postgres: PostgresServer) -> None:
    with engine_of(url_of(postgres), pool_pre_ping=True, pool_size=3) as engine:
        connections = [engine.connect() for _ in range(3)]
        for connection in connections:
            connection.execute(ONE)
            connection.close()
        postgres.terminate_sessions()
        for _ in range(6):
            with engine.connect() as connection:
                assert connection.execute(ONE).scalar() == 1


def test_one_disconnect_invalidates_all_of_them(postgres: PostgresServer) -> None:
    with engine_of(url_of(postgres), pool_size=3) as engine:
        connections = [engine.connect() for _ in range(3)]
        for connection in connections:
            connection.execute(ONE)
            connection.close()
        postgres.restart()
        with pytest.raises(exc.OperationalError) as caught, engine.connect() as connection:
            connection.execute(ONE)
        assert caught.value.connection_invalidated
        for _ in range(6):
            with engine.connect() as connection:
                assert connection.execute(ONE).scalar() == 1


def test_recycled_connections_are_replaced_by_upkeep_while_they_are_idle() -> None:
    closed = threading.Event()
    with pool_of(pool_size=1, recycle=1) as pool:
        event.listen(pool, "close", lambda *_: closed.set())
        pool.connect().close()
        assert closed.wait(30)


def test_many_threads_share_an_engine(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def work(engine: Engine) -> None:
        try:
            for _ in range(50):
                with engine.connect() as connection:
                    assert connection.execute(ONE).scalar() == 1
        except BaseException as error:
            faults.append(error)

    options = {"pool_size": 2, "max_overflow": 1, "pool_timeout": 60}
    with engine_of(f"sqlite:///{tmp_path}/x.db", **options) as engine:
        threads = [threading.Thread(target=work, args=(engine,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults
        assert cenote_pool(engine).checkedout() == 0
        assert cenote_pool(engine).checkedin() <= 2


def test_a_forked_child_leaves_its_parents_sessions_alone(postgres: PostgresServer) -> None:
    with engine_of(url_of(postgres), pool_size=1) as engine:
        with engine.connect() as connection:
            connection.execute(ONE)
        if (child := os.fork()) == 0:
            with engine.connect() as connection:
                ok = connection.execute(ONE).scalar() == 1
            engine.dispose()
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        with engine.connect() as connection:
            assert connection.execute(ONE).scalar() == 1


# What cenote adds.


def test_the_pools_own_options_are_the_engines_too(tmp_path: Path) -> None:
    class Listening(Observer):
        def __init__(self) -> None:
            self.acquisitions = 0

        def acquired(self, pool: str, waited: float) -> None:
            self.acquisitions += 1

    listening = Listening()
    options = {"observer": listening, "leak_after": 30.0, "max_waiting": 5, "max_idle": 60.0}
    with engine_of(f"sqlite:///{tmp_path}/x.db", **options) as engine:
        with engine.connect():
            (holder,) = cenote_pool(engine).holders()
            assert "test_sqlalchemy.py" in holder.stack or holder.where
        assert listening.acquisitions == 1
        assert cenote_pool(engine).stats().released == 1


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        CenotePool(memory, timeout=-1)


# Who borrowed what.


def line_of(function: Any, code: str) -> str:
    """Return ``file:line`` of some code in a function, as a holder's place is written."""
    lines, first = inspect.getsourcelines(function)
    (at,) = [first + index for index, line in enumerate(lines) if code in line]
    return f"{Path(__file__).name}:{at}"


def by_connection(engine: Engine) -> Any:
    return engine.connect()


def by_orm(engine: Engine) -> Any:
    session = Session(engine)
    session.execute(ONE)
    return session


def by_pool(engine: Engine) -> Any:
    return engine.raw_connection()


@pytest.mark.parametrize(
    ("borrow", "code"),
    [
        (by_connection, "engine.connect()"),
        (by_orm, "session.execute(ONE)"),
        (by_pool, "engine.raw_connection()"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*came back:ResourceWarning")
def test_a_connection_is_borrowed_in_its_users_line(borrow: Any, code: str) -> None:
    leaks = Leaks()
    with engine_of(
        "sqlite://", pool_size=1, max_overflow=0, leak_after=0.02, observer=leaks, pool_timeout=0.05
    ) as engine:
        place = line_of(borrow, code)
        with pytest.warns(ResourceWarning, match=f"[(]{place}[)]"):
            lent = leaks.of(borrow, engine)
        (holder,) = cenote_pool(engine).holders()
        assert holder.where == place
        with pytest.raises(exc.TimeoutError, match=f"longest held .*[(]{place}[)]"):
            engine.connect()
        lent.close()


class Leaks(Observer):
    """Waits to be told of a leak."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def of(self, borrow: Any, engine: Engine) -> Any:
        """Borrow, and wait until that is called a leak."""
        lent = borrow(engine)
        assert self.told.wait(30.0)
        return lent

    def leaked(self, pool: str, holder: Holder) -> None:
        self.told.set()


# asyncio.


def test_an_asyncio_engine_needs_the_asyncio_pool() -> None:
    with pytest.raises(exc.ArgumentError, match="asyncio"):
        create_async_engine("sqlite+aiosqlite://", poolclass=CenotePool)
    with pytest.raises(exc.ArgumentError, match="asyncio"):
        create_engine("sqlite://", poolclass=AsyncCenotePool)


def async_engine(url: str, **options: Any) -> AsyncEngine:
    return create_async_engine(url, poolclass=AsyncCenotePool, **options)


def async_pool(engine: AsyncEngine) -> AsyncCenotePool:
    assert isinstance(engine.pool, AsyncCenotePool)
    return engine.pool


def test_many_tasks_share_an_asyncio_engine(run: Run, postgres: PostgresServer) -> None:
    async def ask(engine: AsyncEngine) -> object:
        async with engine.connect() as connection:
            return (await connection.execute(ONE)).scalar()

    async def scenario() -> None:
        options = {"pool_size": 2, "max_overflow": 1, "pool_timeout": 60}
        engine = async_engine(url_of(postgres), **options)
        assert await asyncio.gather(*(ask(engine) for _ in range(30))) == [1] * 30
        assert async_pool(engine).checkedin() == 2
        assert async_pool(engine).checkedout() == 0
        await engine.dispose()
        assert async_pool(engine).checkedin() == 0

    run(scenario)


def test_a_task_that_waits_too_long_is_told(run: Run) -> None:
    async def scenario() -> None:
        options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.5}
        engine = async_engine("sqlite+aiosqlite://", **options)
        async with engine.connect() as connection:
            await connection.execute(ONE)
            with pytest.raises(exc.TimeoutError, match="1/1 in use"):
                await engine.connect()
        await engine.dispose()

    run(scenario)


def test_a_task_cancelled_while_it_waits_or_queries_costs_no_place(
    run: Run, postgres: PostgresServer
) -> None:
    async def sleep(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(60)"))

    async def scenario() -> None:
        engine = async_engine(url_of(postgres), pool_size=1, max_overflow=0)
        tasks = [asyncio.create_task(sleep(engine)) for _ in range(3)]
        while not postgres.sleeps():  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(e, asyncio.CancelledError)
            for e in await asyncio.gather(*tasks, return_exceptions=True)
        )
        async with engine.connect() as connection:
            assert (await connection.execute(ONE)).scalar() == 1
        assert async_pool(engine).checkedout() == 0
        await engine.dispose()

    run(scenario)


def test_pre_ping_works_in_asyncio_too(run: Run, postgres: PostgresServer) -> None:
    async def scenario() -> None:
        engine = async_engine(url_of(postgres), pool_pre_ping=True)
        async with engine.connect() as connection:
            await connection.execute(ONE)
        await asyncio.to_thread(postgres.terminate_sessions)
        async with engine.connect() as connection:
            assert (await connection.execute(ONE)).scalar() == 1
        await engine.dispose()

    run(scenario)


def test_in_asyncio_too_a_connection_is_borrowed_in_its_users_line(
    run: Run, postgres: PostgresServer
) -> None:
    async def by_connection(engine: AsyncEngine) -> Any:
        return await engine.connect()

    async def by_orm(engine: AsyncEngine) -> Any:
        session = AsyncSession(engine)
        await session.execute(ONE)
        return session

    async def scenario() -> None:
        engine = async_engine(url_of(postgres), leak_after=60.0)
        for borrow, code in ((by_connection, "engine.connect()"), (by_orm, "session.execute(ONE)")):
            lent = await borrow(engine)
            (holder,) = async_pool(engine).holders()
            assert holder.where == line_of(borrow, code)
            await lent.close()
        await engine.dispose()

    run(scenario)
