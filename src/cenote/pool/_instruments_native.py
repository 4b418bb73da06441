"""What a lease is measured with: a clock, a place in the code, and how long leases were held.

Strategy: small objects that the lock-free path calls once or twice a lease. What belongs to an
entry (``Site``, ``Times``) is written by its owner only; whoever reads it meanwhile may see the
state of a moment ago. The compiled twin, ``_instruments.pyx``, does the same in C.
"""

from __future__ import annotations

import operator
import sys
from _thread import get_ident
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

from cenote.pool.passed_over import borrower
from cenote.pool.stats import BOUNDS


class Instruments:
    """A clock and a look at the present thread.

    Args:
        clock: Monotonic seconds.

    Attributes:
        now: Asks the clock.
        thread: Identifies the present thread.
        who: The same, for ``holders()``.
        task: Returns the current task of the loop that is followed, or ``None``.
    """

    __slots__ = ("clock", "now", "task", "thread", "who")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.now = clock
        self.thread: Callable[[], int] = get_ident
        self.who: Callable[[], object] = get_ident
        self.task: Callable[[], object] = _nobody

    def follow(self, tasks: dict[object, object] | Callable[[Any], object], loop: object) -> None:
        """Have ``task`` ask for the current task of a loop, by what asyncio has to ask."""
        self.task = partial(tasks.get if isinstance(tasks, dict) else tasks, loop)


def _nobody() -> None:
    """The task of no loop."""


class Tools:
    """What a stack does with its deque, and with resources.

    Args:
        deque: The deque.
        fifo: Take first what was put first.
    """

    __slots__ = ("identity", "pop", "push", "target")

    def __init__(self, deque: deque[Any], fifo: bool) -> None:
        self.pop: Callable[[], Any] = deque.popleft if fifo else deque.pop
        self.push: Callable[[Any], object] = deque.append
        self.identity: Callable[[object], int] = id
        self.target: Callable[[Callable[[], Any]], Any] = operator.call


class Site:
    """Where a lease was borrowed: a place in the code, noted by its owner each time."""

    __slots__ = ("_place",)

    def __init__(self) -> None:
        self._place: tuple[CodeType, int] | None = None

    def mark(self) -> None:
        """Note where the innermost caller is that is not passed over (``passed_over.py``)."""
        frame = borrower(sys._getframe(1))
        self._place = None if frame is None else (frame.f_code, frame.f_lasti)

    def noted(self) -> tuple[CodeType, int] | None:
        """Return the code object and the offset of an instruction in it, or ``None``."""
        return self._place


class Times:
    """How long the leases of one entry were held; counted by its owner only.

    Counting is left to the owner, ``counts[bucket] += 1`` and ``total += seconds``: between these
    no exception can strike, as one could on returning from a method.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def bucket(self, seconds: float) -> int:
        """Return the index of the bucket that a duration falls into."""
        return bisect_left(BOUNDS, seconds)

    def counted(self) -> tuple[tuple[int, ...], float]:
        """Return the counts of all buckets, and the sum of the seconds."""
        return tuple(self.counts), self.total
