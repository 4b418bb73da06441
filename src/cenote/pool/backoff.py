"""When to try to connect again after a failure.

Strategy: exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
2015): the delay is uniform in [0, min(cap, base * 2^failures)]. ``now`` is an argument, the state
is two numbers and the last error, and there is no recursion anywhere: a million failures cost
nothing. A peer that rejects what connects to it will not be better soon, and asking it often does
harm (accounts are locked, logs fill up): that is ``down`` at once, and waited out at the cap. So
is a connector that is none.
"""

from __future__ import annotations

from random import Random

from cenote.errors import BadConnector, ConnectRejected

_STEEPEST = 64  # doublings beyond this would only overflow


class Backoff:
    """Consecutive connect failures and what follows from them.

    Attributes:
        failures: Failures in a row.
        error: The last failure; ``None`` after a success.
        retry_at: The earliest time of the next attempt.
    """

    __slots__ = ("_base", "_cap", "_down_after", "_rng", "error", "failures", "retry_at")

    def __init__(self, base: float, cap: float, down_after: int, rng: Random) -> None:
        self._base = base
        self._cap = cap
        self._down_after = down_after
        self._rng = rng
        self.failures = 0
        self.error: BaseException | None = None
        self.retry_at = float("-inf")

    @property
    def down(self) -> bool:
        """True after too many failures in a row."""
        return self.failures >= self._down_after

    @property
    def rejected(self) -> bool:
        """True when no connection will be had as things are: the last attempt found out why."""
        return isinstance(self.error, (ConnectRejected, BadConnector))

    def failed(self, error: BaseException, now: float) -> None:
        """Note a failure and draw the delay."""
        self.error = error
        if self.rejected:
            self.failures = max(self.failures + 1, self._down_after)
            self.retry_at = now + self._rng.uniform(self._cap / 2, self._cap)
            return
        limit = min(self._cap, self._base * 2.0 ** min(self.failures, _STEEPEST))
        self.failures += 1
        self.retry_at = now + self._rng.uniform(0.0, limit)

    def succeeded(self) -> None:
        """Note a success: nothing is owed any more."""
        self.failures = 0
        self.error = None
        self.retry_at = float("-inf")
