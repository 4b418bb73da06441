"""An exception may strike a thread anywhere in acquire and release: no slot, no wake-up is lost.

Strategy: ``Striker`` is a trace function that counts the points at which the interpreter may
deliver an asynchronous exception while the pool's code runs, and raises at the k-th. A scenario is
run once to count them, then once for each; after each the pool must be whole. Asynchronous
exceptions (a signal's KeyboardInterrupt, PyThreadState_SetAsyncExc) are delivered when a function
begins, after a call, and at a loop's end, never between taking a lock by ``with`` and being bound
to release it; so those points are struck and no others. In the compiled fast path there are none.
Where another tracer watches the pool's own threads meanwhile, Python 3.12 crashes: so none may.
"""

from __future__ import annotations

import ctypes
import dis
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import cenote.pool
from cenote.pool import Pool
from cenote.pool.observer import Observer
from tests.pool.links import PATIENCE
from tests.pool.test_pool_sync import await_stats

SOURCE = str(Path(cenote.pool.__file__).parent)
# Work that hands itself over to threads that no signal reaches is not interrupted.
EXEMPT = {"__del__", "mourn", "poke"}


class Strike(BaseException):
    """Raised out of nowhere."""


@cache
def vulnerable(code: CodeType) -> frozenset[int]:
    """Offsets of the instructions before which an asynchronous exception may arrive."""
    points, after_call = set(), False
    for instruction in dis.get_instructions(code, show_caches=False):
        if after_call or instruction.opname in ("RESUME", "JUMP_BACKWARD"):
            points.add(instruction.offset)
        after_call = instruction.opname.startswith("CALL")
    return frozenset(points)


class Striker:
    """Raises ``Strike`` at the k-th vulnerable point of a pool's code; 0: only counts them."""

    def __init__(self, strike_at: int = 0) -> None:
        self.strike_at = strike_at
        self.count = 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCE) or frame.f_code.co_name in EXEMPT:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.step

    def step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode" and frame.f_lasti in vulnerable(frame.f_code):
            if frame.f_lineno is None:
                return self.step  # Python 3.12 shows the end of a dropped generator: no such point
            self.count += 1
            if self.count == self.strike_at:
                raise Strike(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        return self.step

    @contextmanager
    def at_work(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


def struck_everywhere(scenario: Callable[[Striker], None]) -> int:
    """Run a scenario once for each point it can be struck at; returns how many there were."""
    points = points_of(scenario)
    gc.collect()
    gc.freeze()  # scenarios collect, some twice: they need not look at what other tests have left
    for point in range(1, points + 1):
        scenario(Striker(point))
    return points


def points_of(scenario: Callable[[Striker], None]) -> int:
    """Count the points of a scenario; Python 3.13 traces code in full only once it has run."""
    counts: list[int] = []
    while (len(counts) < 12 and len(set(counts[-3:])) != 1) or len(counts) < 3:
        counter = Striker()
        scenario(counter)
        counts.append(counter.count)
    return max(counts)


class Wire:
    """A resource that nobody but its holder references."""


class Wires:
    """Opens and closes wires, and keeps none."""

    def connect(self, timeout: float) -> Wire:
        return Wire()

    def close(self, wire: Wire) -> None:
        """Nothing is left of it."""


class CheckedWires(Wires):
    """The same, with a check."""

    def is_alive(self, wire: Wire) -> bool:
        return True


def whole(pool: Pool[Wire]) -> None:
    """Assert that nothing is lost: the pool gives out all it may, and the books balance."""
    gc.collect()
    held = [pool.acquire(timeout=PATIENCE) for _ in range(pool.stats().max_size)]
    for conn in held:
        pool.release(conn)
    stats = pool.stats()
    assert stats.used == 0
    assert stats.waiting == 0
    assert stats.size <= stats.max_size
    assert stats.acquired == stats.released + stats.detached + stats.lost


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Leases lost to an exception are warned of; that is what is expected here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def use_by_block(pool: Pool[Wire]) -> None:
    with pool.connection():
        pass


def use_by_hand(pool: Pool[Wire]) -> None:
    conn = pool.acquire()
    try:
        pass
    finally:
        pool.release(conn)


def use_entry(pool: Pool[Wire]) -> None:
    entry = pool.checkout(pool.clock() + PATIENCE)
    pool.checkin(entry)


def use_badly(pool: Pool[Wire]) -> None:
    with suppress(ValueError), pool.connection():
        raise ValueError


each_use = pytest.mark.parametrize("use", [use_by_block, use_by_hand, use_entry, use_badly])


@pytest.mark.tracer
@each_use
@pytest.mark.parametrize("check_after", [0.0, 10.0], ids=["checked", "fast"])
def test_a_strike_anywhere_in_a_lease_of_an_idle_connection(
    use: Callable[[Pool[Wire]], None], check_after: float
) -> None:
    def scenario(striker: Striker) -> None:
        with Pool(CheckedWires(), max_size=1, check_after=check_after) as pool:
            pool.release(pool.acquire())
            with suppress(Strike), striker.at_work():
                use(pool)
            whole(pool)

    struck_everywhere(scenario)


class Listener(Observer):
    """Hears of every lease."""

    def acquired(self, pool: str, waited: float) -> None:
        """Where it does, an exception may strike too."""

    def released(self, pool: str, held: float) -> None:
        """The same."""


@pytest.mark.tracer
@pytest.mark.parametrize("use", [use_by_block, use_by_hand, use_entry])
def test_a_strike_anywhere_in_a_lease_is_counted_as_released_or_lost(
    use: Callable[[Pool[Wire]], None],
) -> None:
    def scenario(striker: Striker) -> None:
        with Pool(
            Wires(), max_size=1, histograms=True, leak_after=PATIENCE, observer=Listener()
        ) as pool:
            pool.release(pool.acquire())
            with suppress(Strike), striker.at_work():
                use(pool)
            whole(pool)
            stats = pool.stats()
            assert stats.use_times is not None
            assert stats.use_times.count == stats.released

    struck_everywhere(scenario)


@pytest.mark.tracer
@each_use
def test_a_strike_anywhere_in_a_lease_that_has_to_connect(
    use: Callable[[Pool[Wire]], None],
) -> None:
    def scenario(striker: Striker) -> None:
        with Pool(Wires(), max_size=2) as pool:
            with suppress(Strike), striker.at_work():
                use(pool)
            whole(pool)

    assert struck_everywhere(scenario)


@pytest.mark.tracer
@pytest.mark.parametrize("fairness", ["eventual", "strict", "barging"])
def test_a_strike_anywhere_in_a_release_leaves_nobody_waiting(fairness: Any) -> None:
    def scenario(striker: Striker) -> None:
        with Pool(Wires(), max_size=1, fairness=fairness) as pool:
            conn = pool.acquire()
            served = threading.Event()

            def wait() -> None:
                with pool.connection(timeout=PATIENCE):
                    served.set()

            waiter = threading.Thread(target=wait)
            waiter.start()
            await_stats(pool, lambda: pool.stats().waiting == 1)
            with suppress(Strike), striker.at_work():
                pool.release(conn)
            del conn
            gc.collect()
            assert served.wait(PATIENCE), pool.stats()
            waiter.join(PATIENCE)
            whole(pool)

    assert struck_everywhere(scenario)


@pytest.mark.tracer
@pytest.mark.parametrize("fairness", ["eventual", "strict"])
def test_a_strike_anywhere_in_a_wait_passes_on_what_was_granted(fairness: Any) -> None:
    """psycopg_pool loses the connection when a BaseException strikes during the hand-off."""

    def scenario(striker: Striker) -> None:
        with Pool(Wires(), max_size=1, fairness=fairness) as pool:
            conn = pool.acquire()

            def wait() -> None:
                with suppress(Strike), striker.at_work():
                    use_by_block(pool)

            waiter = threading.Thread(target=wait)
            waiter.start()
            await_stats(pool, lambda: pool.stats().waiting == 1 or not waiter.is_alive())
            pool.release(conn)
            waiter.join(PATIENCE)
            whole(pool)

    assert struck_everywhere(scenario)


@pytest.mark.tracer
def test_a_strike_anywhere_in_the_other_verbs() -> None:
    def speak(pool: Pool[Wire]) -> None:
        pool.open(wait=True)
        pool.stats()
        conn = pool.try_acquire()
        if conn is not None:
            pool.release(conn)
        pool.invalidate_all()
        pool.resize(0, 2)

    def scenario(striker: Striker) -> None:
        pool = Pool(Wires(), max_size=2, min_size=1)
        with suppress(Strike), striker.at_work():
            speak(pool)  # what it has in hand is dropped where it is struck
        gc.collect()
        whole(pool)
        pool.close()

    assert struck_everywhere(scenario)


# Aimed at a thread that is just starting the keeper, an exception may strike the newborn instead: a
# raw thread can only complain of that, and the next call starts another.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in thread:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.stress
def test_asynchronous_exceptions_at_any_moment() -> None:
    """PyThreadState_SetAsyncExc strikes workers that lease all the time; the pool stays whole."""
    with Pool(Wires(), max_size=3, timeout=PATIENCE) as pool:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                with suppress(Strike):
                    while not stop.is_set():
                        with pool.connection():
                            pass

        def survive() -> None:
            while not stop.is_set():
                with suppress(Strike):
                    work()

        workers = [threading.Thread(target=survive) for _ in range(6)]
        for worker in workers:
            worker.start()
        strike = ctypes.pythonapi.PyThreadState_SetAsyncExc
        for number in range(150):
            strike(ctypes.c_ulong(workers[number % 6].ident or 0), ctypes.py_object(Strike))
            threading.Event().wait(0.001)
        stop.set()
        for worker in workers:
            worker.join(PATIENCE)
            assert not worker.is_alive()
        whole(pool)


def test_a_signal_ends_a_wait_at_once() -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    def ring_when_it_waits(pool: Pool[Wire]) -> None:
        await_stats(pool, lambda: pool.stats().waiting == 1)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with Pool(Wires(), max_size=1) as pool, pool.connection():
            ringer = threading.Thread(target=ring_when_it_waits, args=(pool,))
            with pytest.raises(Alarm):
                ringer.start()
                pool.acquire(timeout=None)
            ringer.join()
            assert pool.stats().waiting == 0
            assert pool.stats().cancelled == 1
    finally:
        signal.signal(signal.SIGUSR1, before)
