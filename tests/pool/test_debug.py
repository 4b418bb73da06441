"""Finding a leak: full borrow stacks on request, and leases whose holder has ended."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from cenote import AsyncKeyedPool, AsyncPool, Holder, KeyedPool, Observer, Pool, PoolTimeout
from cenote.pool import debug
from tests.patience import until
from tests.pool.conftest import Run
from tests.pool.doubles import GatedConnector
from tests.pool.virtual_time import virtual_clock

PATIENCE = 30.0


class Conn:
    """Something that is dear to open, and can not be weakly referenced."""

    __slots__ = ()

    def close(self) -> None:
        """Do nothing."""


class Ears(Observer):
    """Remembers which leaks it was told of."""

    def __init__(self) -> None:
        self.leaked_by: list[Holder] = []

    def leaked(self, pool: str, holder: Holder) -> None:
        self.leaked_by.append(holder)


@pytest.fixture(autouse=True)
def switched_off() -> Iterator[None]:
    """Leave the switch as it is by default."""
    yield
    debug.off()


def borrow(pool: Pool[Conn]) -> Conn:
    """Stand in a stack."""
    return pool.acquire()


def test_without_it_no_stack_is_kept() -> None:
    with Pool(Conn) as pool:
        conn = borrow(pool)
        assert pool.holders()[0].trail == ""
        pool.release(conn)


def test_switched_on_every_pool_keeps_whole_stacks_innermost_last() -> None:
    with Pool(Conn) as before:
        debug.on()
        with Pool(Conn) as made_later:
            for pool in (before, made_later):
                conns = [borrow(pool), borrow(pool)]  # opened, then maybe idle
                for holder in pool.holders():
                    lines = holder.trail.splitlines()
                    assert "return pool.acquire()" in lines[-1]
                    assert "in borrow" in lines[-2]
                    assert any("test_switched_on_every" in line for line in lines)
                    assert not any("/cenote/pool/" in line for line in lines)
                for conn in conns:
                    pool.release(conn)
        debug.off()
        conn = borrow(before)
        assert before.holders()[0].trail == "", "of an earlier lease"
        before.release(conn)


def test_a_block_concerns_the_pools_it_names() -> None:
    with Pool(Conn) as named, Pool(Conn) as other:
        with debug.borrow_stacks(named):
            conns = borrow(named), borrow(other)
        assert "in borrow" in named.holders()[0].trail  # what was kept stays
        assert other.holders()[0].trail == ""
        named.release(conns[0])
        other.release(conns[1])
        assert not named.stack.watched


def test_a_block_without_names_concerns_all_and_restores_what_was() -> None:
    with Pool(Conn) as pool:
        with debug.borrow_stacks():
            assert debug.is_on()
            assert pool.stack.watched
        assert not debug.is_on()
        assert not pool.stack.watched


def test_a_report_is_readable() -> None:
    with Pool(Conn, name="orders") as pool, debug.borrow_stacks(pool):
        assert debug.report(pool) == "pool 'orders': 0 connections are out"
        conn = borrow(pool)
        text = debug.report(pool)
        assert text.startswith("pool 'orders': 1 connections are out\nheld 0.0 s by 'MainThread' (")
        assert "\n  now at test_debug.py:" in text
        assert "  borrowed by:\n" in text
        assert text.endswith("return pool.acquire()")
        pool.release(conn)


@pytest.mark.filterwarnings("ignore:.*came back:ResourceWarning")
def test_a_leak_is_reported_with_the_stack() -> None:
    with Pool(Conn, leak_after=0.05) as pool, debug.borrow_stacks(pool):
        with pool.connection():  # opened now, so that the next lease is the caller's at once
            pass
        with pytest.warns(ResourceWarning, match=r"(?s)borrowed by:.*in borrow"):
            _leak(pool)


def _leak(pool: Pool[Conn]) -> None:
    conn = borrow(pool)
    until(lambda: pool.stats().leaks)
    pool.release(conn)


def test_it_holds_for_tasks_too(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncPool(GatedConnector(clean=True)) as pool, pool.connection():
            pass
        async with AsyncPool(GatedConnector(clean=True)) as pool:
            with debug.borrow_stacks(pool):
                for _ in range(2):  # first opened, then idle
                    conn = await pool.acquire()
                    assert "await pool.acquire()" in pool.holders()[0].trail
                    pool.release(conn)

    run(scenario)


def anywhere(key: str) -> Callable[[], Conn]:
    """Connect to any key."""
    return Conn


def controlled(key: str) -> GatedConnector:
    """Connect to any key, in asyncio."""
    return GatedConnector(clean=True)


def borrow_of(pool: KeyedPool[str, Conn], key: str) -> Conn:
    """Stand in a stack."""
    return pool.acquire(key)


def test_a_block_concerns_every_key_of_a_keyed_pool_those_to_come_included() -> None:
    with KeyedPool(anywhere, name="hosts") as pool:
        pool.release(pool.acquire("known"))
        with debug.borrow_stacks(pool):
            conns = [borrow_of(pool, "known"), borrow_of(pool, "new")]
            for holder in pool.holders():
                assert "in borrow_of" in holder.trail.splitlines()[-2]
            text = debug.report(pool)
            assert text.startswith("pool 'hosts': 2 connections are out\nheld ")
            assert text.count("  borrowed by:\n") == 2
            held = re.findall(r"^held \S+ s by .* for key '(\w+)'$", text, re.MULTILINE)
            assert set(held) == {"known", "new"}
        conns += [borrow_of(pool, "known"), borrow_of(pool, "later")]
        assert [bool(holder.trail) for holder in pool.holders()] == [True, True, False, False]
        for conn in conns:
            pool.release(conn)


def test_a_block_within_another_restores_what_was_of_a_keyed_pool() -> None:
    with KeyedPool(anywhere) as pool, debug.borrow_stacks():
        with debug.borrow_stacks(pool):
            pool.release(pool.acquire("a"))
        assert pool.front("a").stack.watched
        assert pool.front("b").stack.watched
    with KeyedPool(anywhere) as pool, debug.borrow_stacks(pool):
        with debug.borrow_stacks(pool):
            pass
        assert pool.front("a").stack.watched


def test_it_holds_for_a_keyed_pool_of_asyncio_too(run: Run) -> None:
    async def scenario() -> None:
        async with AsyncKeyedPool(controlled) as pool:
            pool.release(await pool.acquire("known"))
            with debug.borrow_stacks(pool):
                for key in ("known", "new"):
                    conn = await pool.acquire(key)
                    assert "await pool.acquire(key)" in pool.holders()[0].trail
                    pool.release(conn)
            assert not pool.front("known").stack.watched

    run(scenario)


def test_the_environment_switches_it_on_from_the_start() -> None:
    code = "from cenote.pool import debug; print(debug.is_on())"
    for value, expected in (("1", "True"), ("0", "False"), ("", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "CENOTE_POOL_DEBUG": value},
        )  # fmt: skip
        assert done.stdout.strip() == expected


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_lease_of_a_thread_that_has_ended_is_found_and_reported() -> None:
    ears = Ears()
    kept: list[Conn] = []
    with Pool(Conn, max_size=1, leak_after=0.001, observer=ears) as pool:
        thread = threading.Thread(target=lambda: kept.append(pool.acquire()))
        thread.start()
        thread.join(PATIENCE)
        until(lambda: ears.leaked_by)
        until(lambda: any(holder.gone for holder in pool.holders()))
        assert str(pool.holders()[0]).endswith("which has ended")
        with pytest.raises(PoolTimeout, match="which has ended"):
            pool.acquire(timeout=0)
        pool.release(kept[0])


def test_the_lease_of_a_task_that_has_ended_is_found_when_others_want_it(virtually: Run) -> None:
    async def scenario() -> None:
        ears = Ears()
        pool = AsyncPool(
            GatedConnector(clean=True), max_size=1, leak_after=5.0, observer=ears,
            clock=virtual_clock(),
        )  # fmt: skip
        async with pool:
            conn = await asyncio.create_task(pool.acquire(), name="forgetful")
            with pytest.raises(PoolTimeout, match=r"'forgetful'.*which has ended"):
                await pool.acquire(timeout=1.0)
            with pytest.warns(ResourceWarning, match="which has ended"):
                await asyncio.sleep(6.0)
            assert [(one.who, one.gone) for one in ears.leaked_by] == [("forgetful", True)]
            with pytest.warns(ResourceWarning, match="came back"):
                pool.release(conn)

    virtually(scenario)
