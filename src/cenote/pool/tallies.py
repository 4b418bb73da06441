"""What has happened in a pool: counters that only grow.

Strategy: written under the pool's lock only. What the lock-free path does is not counted here but
summed over entries (``roster.py``): so ``use_times`` are those of leases that ended in the core.
"""

from __future__ import annotations

from cenote.pool.stats import Histogram


class Tallies:
    """Counters of waits, connects and leaks, and histograms when asked for.

    Attributes:
        waited: Callers that had to queue.
        wait_seconds: What they spent there together, however it ended.
        timeouts, cancelled, failed: How queued callers left without a connection.
        saturated: Callers turned away because too many waited.
        create_seconds, create_errors: Of opening connections.
        leaks: Leases reported as held too long.
        handoffs: Releases that went straight to a waiter.
    """

    __slots__ = (
        "cancelled",
        "create_errors",
        "create_seconds",
        "create_times",
        "failed",
        "handoffs",
        "leaks",
        "saturated",
        "timeouts",
        "use_times",
        "wait_seconds",
        "wait_times",
        "waited",
    )

    def __init__(self, histograms: bool) -> None:
        self.waited = 0
        self.wait_seconds = 0.0
        self.timeouts = 0
        self.cancelled = 0
        self.failed = 0
        self.saturated = 0
        self.create_seconds = 0.0
        self.create_errors = 0
        self.leaks = 0
        self.handoffs = 0
        self.wait_times = Histogram() if histograms else None
        self.use_times = Histogram() if histograms else None
        self.create_times = Histogram() if histograms else None

    def waited_for(self, seconds: float) -> None:
        """A caller left the queue."""
        self.wait_seconds += seconds
        if self.wait_times is not None:
            self.wait_times.record(seconds)

    def held_for(self, seconds: float) -> None:
        """A lease ended under the lock."""
        if self.use_times is not None:
            self.use_times.record(seconds)

    def connected(self, seconds: float) -> None:
        """A connection was opened."""
        self.create_seconds += seconds
        if self.create_times is not None:
            self.create_times.record(seconds)
