"""How many connections nobody needed.

Strategy: the low watermark. Over each period the stack keeps the fewest entries that were ever idle
at once: so many could have been missing without anybody noticing. Those are closed at its end, the
oldest first. Unlike a limit on idle time this does not need lifo order to work, and never closes
what a burst needs again each minute.
"""

from __future__ import annotations

from cenote.pool.fast import NEVER


class Pruner:
    """Keeps the period; ``next_at`` is inf while the pool has nothing to prune, or it is off."""

    __slots__ = ("_period", "next_at")

    def __init__(self, period: float | None) -> None:
        self._period = NEVER if period is None else period
        self.next_at = NEVER

    def start(self, now: float) -> bool:
        """Begin the first period, unless one is under way; True: it has begun now."""
        if self.next_at != NEVER or self._period == NEVER:
            return False
        self.next_at = now + self._period
        return True

    def surplus(self, now: float, low: int, active: int, floor: int) -> int:
        """Begin the next period; returns how many to close at the end of this one."""
        self.next_at = now + self._period if active else NEVER
        return max(0, min(low, active - floor))
