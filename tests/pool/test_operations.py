"""What an operator may order or opt in to, and what a user may do wrong: both pools alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cenote import (
    AsyncKeyedPool,
    AsyncPool,
    BadConnector,
    ConfigurationError,
    KeyedPool,
    LeaseError,
    NestedAcquire,
    Observer,
    Pool,
    PoolClosed,
    PoolTimeout,
)
from tests.patience import until
from tests.pool.conftest import Run
from tests.pool.doubles import GatedConnector, Resource
from tests.pool.virtual_time import virtual_clock

PATIENCE = 30.0


class Conn:
    """Something that is dear to open."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class Lying:
    """A connector whose pings always succeed, and whose connections are dead all the same."""

    def connect(self, timeout: float) -> Conn:
        return Conn()

    def close(self, conn: Conn) -> None:
        conn.close()

    def ping(self, conn: Conn) -> None:
        """Say that all is well."""

    def is_alive(self, conn: Conn) -> bool:
        return True


@pytest.fixture
def workers() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Threads that are joined at the end."""
    started: list[threading.Thread] = []

    def start(work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=work)
        started.append(thread)
        thread.start()
        return thread

    yield start
    for thread in started:
        thread.join(PATIENCE)


Start = Callable[[Callable[[], object]], threading.Thread]

# A burst.


def test_a_burst_serves_who_waits_too_long_and_is_over_when_nobody_does() -> None:
    with Pool(Conn, max_size=1, burst=1, burst_after=0.01) as pool:
        first = pool.acquire()
        second = pool.acquire(timeout=PATIENCE)
        assert pool.stats().size == 2
        with pytest.raises(PoolTimeout, match=r"2/1\+1 in use"):
            pool.acquire(timeout=0)
        pool.release(second)
        until(lambda: pool.stats().size == 1)
        assert pool.stats().closed["idle"] == 1
        pool.release(first)
        assert first.is_open


def test_nobody_gets_a_burst_before_its_time(virtually: Run) -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        pool = AsyncPool(GatedConnector(), max_size=1, burst=2, burst_after=3.0, clock=clock)
        async with pool:
            held = await pool.acquire()
            began = clock.now
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=2.9)
            more = [await pool.acquire(timeout=10.0) for _ in range(2)]
            assert clock.now == pytest.approx(began + 2.9 + 3.0 + 3.0)
            for conn in [held, *more]:
                pool.release(conn)
            await asyncio.sleep(0.1)
            assert pool.stats().size == 1

    virtually(scenario)


def test_a_burst_connection_serves_on_while_somebody_waits(virtually: Run) -> None:
    async def scenario() -> None:
        connector = GatedConnector(clean=True)
        pool = AsyncPool(
            connector, max_size=1, burst=1, burst_after=0.0, timeout=60.0, clock=virtual_clock()
        )

        async def use() -> None:
            async with pool.connection():
                await asyncio.sleep(1.0)

        async with pool:
            await asyncio.gather(*(use() for _ in range(10)))
            assert len(connector.resources) == 2
            await asyncio.sleep(0)
            assert len(connector.live) == 1

    virtually(scenario)


# A pause.


def test_a_paused_pool_hands_nothing_out_until_it_goes_on(workers: Start) -> None:
    with Pool(Conn) as pool:
        held = pool.acquire()
        pool.release(held)
        pool.pause()
        assert pool.stats().state == "paused"
        assert pool.try_acquire() is None
        with pytest.raises(PoolTimeout, match=r"the pool is paused: call resume\(\)"):
            pool.acquire(timeout=0)
        got: list[Conn] = []
        workers(lambda: got.append(pool.acquire(timeout=PATIENCE)))
        until(lambda: pool.stats().waiting == 1)
        assert pool.stats().idle == 1
        pool.resume()
        until(lambda: got)
        assert got == [held]
        pool.release(held)


def test_what_comes_back_during_a_pause_stays_and_can_be_invalidated(run: Run) -> None:
    async def scenario() -> None:
        connector = GatedConnector(clean=True)
        async with AsyncPool(connector) as pool:
            old = await pool.acquire()
            pool.pause()
            waiting = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            pool.release(old)
            await asyncio.sleep(0)
            assert not waiting.done()
            pool.invalidate_all()
            pool.resume()
            new = await waiting
            assert new is not old
            pool.release(new)
            pool.resume()  # a second one does nothing

    run(scenario)


def test_a_closed_pool_can_not_be_paused_and_a_paused_one_can_be_closed() -> None:
    pool = Pool(Conn)
    pool.pause()
    assert pool.close().complete
    with pytest.raises(PoolClosed):
        pool.pause()


# Nested acquires.


@pytest.mark.parametrize("nested", ["warn", "error"])
def test_a_thread_that_would_wait_for_itself_is_told(nested: str) -> None:
    with Pool(Conn, max_size=1, nested=nested) as pool, pool.connection():  # type: ignore[arg-type]
        if nested == "error":
            with pytest.raises(NestedAcquire, match="may wait for itself") as caught:
                pool.acquire(timeout=PATIENCE)
            assert caught.value.pool == pool.name
            assert pool.try_acquire() is None
        else:
            with (
                pytest.warns(ResourceWarning, match="'MainThread' holds a connection"),
                pytest.raises(PoolTimeout),
            ):
                pool.acquire(timeout=0)


def test_a_nested_acquire_that_others_need_not_end_for_is_no_error(workers: Start) -> None:
    with Pool(Conn, max_size=2, nested="error") as pool:
        with pool.connection(), pool.connection(PATIENCE):
            pass
        with pool.connection():  # and another thread that holds none may wait
            held = pool.acquire()
            got: list[Conn] = []
            workers(lambda: got.append(pool.acquire(timeout=PATIENCE)))
            until(lambda: pool.stats().waiting == 1)
            pool.release(held)
            until(lambda: got)
            pool.release(got[0])


def test_a_task_that_would_wait_for_itself_is_told(run: Run) -> None:
    async def scenario() -> None:
        async with (
            AsyncPool(GatedConnector(clean=True), max_size=1, nested="error") as pool,
            pool.connection(),
        ):
            with pytest.raises(NestedAcquire):
                await pool.acquire()
            other = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            assert not other.done()
            other.cancel()
            await asyncio.wait([other])

    run(scenario)


def test_an_unknown_way_with_nested_acquires_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nested='maybe' is not known: use one of"):
        Pool(Conn, nested="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"'warning' is not known \(did you mean 'warn'"):
        Pool(Conn, nested="warning")  # type: ignore[arg-type]


def test_whoever_is_refused_what_a_pool_shares_out_itself_is_told_to_its_observer(run: Run) -> None:
    """A client whose requests share connections turns its callers away in the pool's name."""
    told: list[str] = []

    class Ears(Observer):
        def timed_out(self, pool: str, waited: float) -> None:
            told.append(f"{pool} timed out")

        def saturated(self, pool: str) -> None:
            told.append(f"{pool} saturated")

    async def scenario() -> None:
        async with AsyncPool(GatedConnector(clean=True), name="it", observer=Ears()) as pool:
            pool.refusal("timeout", pool.clock())
            pool.refusal("saturated", pool.clock())

    run(scenario)
    assert told == ["it timed out", "it saturated"]


# Bad connectors.


@pytest.mark.parametrize("kind", [Pool, AsyncPool])
def test_what_can_not_be_pinged_is_not_said_to_be_kept_alive(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="keepalive=30 needs a connector with ping"):
        kind(Conn, keepalive=30)


@pytest.mark.parametrize("kind", [KeyedPool, AsyncKeyedPool])
def test_nor_is_it_at_the_keys_of_a_keyed_pool(kind: Any) -> None:
    pool = kind(lambda _key: Conn, keepalive=30)
    with pytest.raises(ConfigurationError, match="keepalive=30 needs a connector with ping"):
        pool.connection("a")
    assert not pool.keys()


def test_a_connector_that_returns_none_is_named() -> None:
    def nothing() -> Conn:
        return None  # type: ignore[return-value]

    with Pool(nothing, min_size=1, timeout=PATIENCE) as pool:
        with pytest.raises(BadConnector, match="returned None: each call must open a new one"):
            pool.acquire()
        with pytest.raises(BadConnector, match="returned None"):
            pool.open(wait=True)
        assert pool.stats().created == 0


@pytest.mark.parametrize(
    ("connector", "advice"),
    [
        (lambda: 5, r"returned 5, which has no close\(\): pass an object with connect"),
        (lambda: opened(), "returned a coroutine: use AsyncPool"),  # noqa: PLW0108 - hides what it is
    ],
)
def test_a_function_that_returns_what_no_pool_can_keep_fails_its_callers_at_once(
    connector: Callable[[], Any], advice: str
) -> None:
    with Pool(connector, timeout=PATIENCE) as pool, pytest.raises(BadConnector, match=advice):
        pool.acquire()


async def opened() -> Conn:
    return Conn()


@pytest.mark.parametrize(
    ("connector", "advice"),
    [
        (Lying, r"Lying is a class with connect and close: pass Lying\(\)"),
        (opened, "connects by a coroutine: use AsyncPool"),
        (GatedConnector(), "connects by a coroutine: use AsyncPool"),
        (5, "5 is no connector"),
    ],
)
def test_what_is_no_connector_for_threads_is_refused_when_the_pool_is_made(
    connector: Any, advice: str
) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Pool(connector)


@pytest.mark.parametrize("pool", [KeyedPool, AsyncKeyedPool])
def test_a_keyed_pool_is_given_what_makes_connectors(pool: Callable[[Any], object]) -> None:
    with pytest.raises(ConfigurationError, match="a function that returns the connector for a key"):
        pool(Lying())


@pytest.mark.parametrize("option", ["check", "reset", "classify", "observer", "name"])
def test_an_option_that_can_not_be_called_or_told_is_refused_when_the_pool_is_made(
    option: str,
) -> None:
    wrong: dict[str, Any] = {option: 5}
    with pytest.raises(ConfigurationError, match=f"{option}=5 is "):
        Pool(Conn, **wrong)


def test_a_connector_that_returns_the_same_object_twice_lends_it_to_one_caller_only() -> None:
    only = Conn()
    with Pool(lambda: only, max_size=2) as pool:
        assert pool.acquire() is only
        with pytest.raises(BadConnector, match="which is in the pool already"):
            pool.acquire()
        assert only.is_open
        pool.release(only)
        with pool.connection() as again:
            assert again is only
    assert not only.is_open


def test_an_object_that_left_the_pool_may_come_back() -> None:
    only = Conn()
    with Pool(lambda: only) as pool:
        pool.detach(pool.acquire())
        assert pool.acquire() is only
        pool.release(only)


def test_asyncio_connectors_are_held_to_the_same(run: Run) -> None:
    class Twice(GatedConnector):
        async def connect(self, timeout: float | None) -> Resource:
            if self.resources:
                return self.resources[0]
            return await super().connect(timeout)

    async def scenario() -> None:
        connector = Twice(clean=True)
        async with AsyncPool(connector, max_size=2) as pool:
            first = await pool.acquire()
            with pytest.raises(BadConnector, match="which is in the pool already"):
                await pool.acquire()
            pool.release(first)
        assert first.closes == 1
        for_threads: Any
        for for_threads in (Conn, Lying()):
            async with AsyncPool(for_threads) as wrong:
                with pytest.raises(BadConnector, match="can not be awaited: connect by a corouti"):
                    await wrong.acquire()

    run(scenario)


def test_a_connection_whose_ping_lied_is_gone_after_its_first_error() -> None:
    with Pool(Lying(), check_after=0.0, keepalive=0.001) as pool:
        with pytest.raises(OSError, match="dead"), pool.connection() as conn:
            raise OSError("dead after all")
        until(lambda: not conn.is_open)
        with pool.connection() as other:
            assert other is not conn
        assert pool.stats().closed["error"] == 1


# Giving back.


def test_a_connection_may_be_given_back_by_another_thread(workers: Start) -> None:
    with Pool(Conn, max_size=1) as pool:
        conn = pool.acquire()
        workers(lambda: pool.release(conn)).join(PATIENCE)
        with pool.connection(0) as again:
            assert again is conn


def test_a_connection_may_be_given_back_by_another_task(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncPool(GatedConnector(clean=True), max_size=1) as pool:
            conn = await pool.acquire()

            async def give_back() -> None:
                pool.release(conn)

            await asyncio.create_task(give_back())
            async with pool.connection(0) as again:
                assert again is conn

    run(scenario)


def test_what_is_given_back_after_close_is_closed_and_a_second_time_refused() -> None:
    pool = Pool(Conn)
    conn = pool.acquire()
    assert pool.close(timeout=0).abandoned == 1
    pool.release(conn)
    until(lambda: not conn.is_open)
    with pytest.raises(LeaseError):
        pool.release(conn)


def test_what_is_given_back_to_another_pool_stays_with_its_own() -> None:
    with Pool(Conn) as pool, Pool(Conn) as other:
        conn = pool.acquire()
        with pytest.raises(LeaseError, match="foreign"):
            other.release(conn)
        assert pool.stats().used == 1
        pool.release(conn)
