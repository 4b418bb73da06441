"""What a thread waits at.

Strategy: each waiter has a lock of its own, held from the start, that whoever wakes it releases.
That wakes one thread and no other, costs one allocation, takes a timeout, and signals interrupt it.
"""

from __future__ import annotations

import threading
from typing import TypeVar

from cenote.pool.waiters import Ticket

T = TypeVar("T")


class Gate:
    """What one thread waits at; opening it lets one wait through, now or later."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let the thread through; opening an open gate does nothing. Never blocks."""
        try:
            self._lock.release()
        except RuntimeError:
            return

    def wait(self, seconds: float) -> None:
        """Wait until the gate is open, and close it behind oneself; in the past: do not wait."""
        self._lock.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))


class ThreadTicket(Ticket[T]):
    """A thread that waits for a connection."""

    __slots__ = ("gate",)

    def __init__(self, now: float, holder: object) -> None:
        super().__init__(now, holder)
        self.gate = Gate()

    def wake(self) -> None:
        """Let the thread through its gate."""
        self.gate.open()
