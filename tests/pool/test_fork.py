"""What a forked child does with the parent's pool: begins anew, and leaves the parent alone."""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cenote.errors import LeaseError
from cenote.pool import Pool, ThreadMappedPool
from tests.pool.links import PATIENCE, Links

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(check: Callable[[], None]) -> None:
    """Fork, run the check in the child, and fail as it failed."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


class Line:
    """A connected socket, and a goodbye that must not be said by a child."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.there.settimeout(PATIENCE)

    def close(self) -> None:
        self.here.sendall(b"goodbye")
        self.here.close()
        self.there.close()


class Lines:
    """Opens lines, closes them with a goodbye, and aborts them without."""

    def __init__(self) -> None:
        self.made: list[Line] = []

    def connect(self, timeout: float) -> Line:
        self.made.append(Line())
        return self.made[-1]

    def close(self, line: Line) -> None:
        line.close()

    def abort(self, line: Line) -> None:
        line.here.close()


@contextmanager
def parent_pool() -> Iterator[tuple[Pool[Line], Lines]]:
    lines = Lines()
    with Pool(lines, max_size=2, name="parent") as pool:
        yield pool, lines


def test_a_child_opens_connections_of_its_own() -> None:
    with parent_pool() as (pool, _):
        with pool.connection() as line:
            pass

        def check() -> None:
            assert pool.stats().size == 0
            with pool.connection() as own:
                assert own is not line
            assert pool.close().closed == 1

        in_child(check)
        with pool.connection() as again:
            assert again is line


def test_a_child_writes_no_byte_on_what_it_inherited() -> None:
    with parent_pool() as (pool, lines):
        pool.release(pool.acquire())
        held = pool.acquire()

        def check() -> None:
            assert [line.here.fileno() for line in lines.made] == [-1] * len(lines.made)
            pool.close()

        in_child(check)
        held.there.setblocking(False)
        with pytest.raises(BlockingIOError):
            held.there.recv(1)
        held.there.settimeout(PATIENCE)
        held.here.sendall(b"still ours")
        assert held.there.recv(100) == b"still ours"
        pool.release(held)


def test_a_lease_of_the_parent_is_not_valid_in_the_child() -> None:
    with parent_pool() as (pool, _):
        conn = pool.acquire()

        def check() -> None:
            with pytest.raises(LeaseError):
                pool.release(conn)
            assert pool.stats().size == 0

        in_child(check)
        pool.release(conn)


def test_leaving_the_parents_with_block_in_the_child_is_a_lease_error() -> None:
    with parent_pool() as (pool, _):
        lease = pool.connection()
        lease.__enter__()

        def check() -> None:
            with pytest.raises(LeaseError, match="parent process"):
                lease.__exit__(None, None, None)

        in_child(check)
        lease.__exit__(None, None, None)


def test_an_error_that_leaves_the_parents_block_in_the_child_is_not_hidden() -> None:
    with parent_pool() as (pool, _):
        lease = pool.connection()
        lease.__enter__()

        def check() -> None:
            error = KeyError("mine")
            lease.__exit__(KeyError, error, None)

        in_child(check)
        lease.__exit__(None, None, None)


def test_a_fork_while_another_thread_holds_the_pools_lock_does_not_block_the_child() -> None:
    with parent_pool() as (pool, _):
        pool.release(pool.acquire())
        locked, done = threading.Event(), threading.Event()

        def hold() -> None:
            with pool._lock:
                locked.set()
                done.wait(PATIENCE)

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(PATIENCE)

        def check() -> None:
            pool.release(pool.acquire(timeout=PATIENCE))

        try:
            in_child(check)
        finally:
            done.set()
            holder.join(PATIENCE)


def test_a_pool_closed_before_the_fork_is_closed_in_the_child() -> None:
    pool = Pool(Links())
    pool.release(pool.acquire())
    pool.close()

    def check() -> None:
        assert pool.stats().state == "closed"

    in_child(check)


def test_a_pool_resized_before_the_fork_keeps_its_sizes_in_the_child() -> None:
    with Pool(Links(), max_size=4) as pool:
        pool.resize(0, 1)

        def check() -> None:
            assert pool.stats().max_size == 1
            pool.acquire()
            assert pool.try_acquire() is None

        in_child(check)


def test_a_thread_mapped_pool_begins_anew_in_the_child() -> None:
    lines = Lines()
    with ThreadMappedPool(lines) as pool:
        with pool.connection() as line:
            pass

        def check() -> None:
            with pool.connection() as own:
                assert own is not line
                assert line.here.fileno() == -1

        in_child(check)
        with pool.connection() as again:
            assert again is line


def test_a_child_forked_inside_a_block_of_a_thread_mapped_pool_opens_its_own() -> None:
    """The parent's connection is closed there; its blocks end in the parent only."""
    with ThreadMappedPool(Lines()) as pool, pool.connection():
        lease = pool.connection()
        line = lease.__enter__()

        def check() -> None:
            with pool.connection() as own:
                assert own is not line
                assert own.here.fileno() != -1
            lease.__exit__(KeyError, KeyError("mine"), None)
            with pytest.raises(LeaseError, match="parent process"):
                lease.__exit__(None, None, None)
            with pytest.raises(LeaseError, match="ended already"):
                lease.__exit__(None, None, None)
            with pool.connection() as again:
                assert again is own

        in_child(check)
        lease.__exit__(None, None, None)
