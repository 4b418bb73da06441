"""How a process ends that has not closed its pools: at once, in silence, whatever is under way."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROLOGUE = """
import threading
from cenote.pool import Pool, ThreadMappedPool

class Resource:
    def close(self):
        pass
"""


def run(program: str, *flags: str) -> str:
    """Run a program to its end; returns what it said."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", PROLOGUE + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "pool = Pool(Resource, min_size=2)\nwith pool.connection(): pass",
        "pool = Pool(Resource)\nconn = pool.acquire()",
        "pool = ThreadMappedPool(Resource)\nwith pool.connection(): pass",
        """
        hanging, never = threading.Event(), threading.Event()
        def connect():
            hanging.set()
            never.wait()
        pool = Pool(connect)
        threading.Thread(target=pool.acquire, args=(60,), daemon=True).start()
        assert hanging.wait(10)
        """,
        """
        pool = Pool(Resource, max_size=1)
        conn = pool.acquire()
        queued = threading.Event()
        wait = pool._wait
        pool._wait = lambda *args: (queued.set(), wait(*args))[1]
        threading.Thread(target=pool.acquire, args=(60,), daemon=True).start()
        assert queued.wait(10)
        """,
        """
        def use():
            with Pool(Resource).connection(): pass
        use()
        """,
    ],
    ids=["idle", "leased", "thread-mapped", "hanging connect", "waiting", "dropped"],
)
def test_a_process_with_open_pools_ends_at_once_and_in_silence(program: str) -> None:
    """psycopg on 3.13: finalizers that join threads hang or complain at exit."""
    assert run(program) == ""


def test_a_pool_dropped_unclosed_is_a_resource_warning() -> None:
    said = run(
        """
        import warnings
        said = threading.Event()
        warnings.showwarning = lambda message, *_: (print(message), said.set())
        pool = Pool(Resource, name="forgotten")
        pool.release(pool.acquire())
        del pool
        assert said.wait(10)
        """,
        "-X", "dev",
    )  # fmt: skip
    assert "pool 'forgotten' was dropped with 1 connections open: close it" in said
