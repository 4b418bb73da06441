"""Clocks that move only when a test says so.

``ManualClock`` is for code that is handed ``now``. ``VirtualLoop`` is an asyncio loop whose time
jumps to its next timer as soon as nothing else is ready: a test of a 30 second back-off takes
microseconds and is deterministic. A loop with nothing ready and no timer would wait for ever:
that is a lost wake-up, and it raises ``Deadlock`` at once.
"""

from __future__ import annotations

import asyncio
import selectors


class ManualClock:
    """A monotonic clock that stands still until it is advanced."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        assert seconds >= 0, "a monotonic clock never goes back"
        self.now += seconds


class Deadlock(AssertionError):
    """Nothing is ready and no timer is armed: the loop would wait for ever."""


class _Jump(selectors.SelectSelector):
    """Never waits: reports the time it was asked to wait for as passed."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("nothing is ready and no timer is armed")
            self._clock.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time.

    Attributes:
        clock: Its time, also to be given to what runs in it.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        super().__init__(_Jump(self.clock))

    def time(self) -> float:
        return self.clock.now


def virtual_clock() -> ManualClock:
    """Return the clock of the running ``VirtualLoop``."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "this test runs in virtual time"
    return loop.clock
