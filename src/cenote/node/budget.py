"""How much may be sent a second time: a bucket of tokens that requests fill and second tries empty.

Strategy: a cluster that is ill answers little, and every request that is sent again makes it worse.
So second tries (after a lost connection, elsewhere while a server fails, hedged) are paid for: each
costs a token, and each request earns a share of one. Requests are not counted here: how many there
have been is asked for when something is to be paid, so a good day costs nothing. A trickle of
tokens by the second lets a client with little traffic retry at all.

The bucket holds what the last seconds have earned, as in Finagle's ``RetryBudget``. Pure: ``now``
is an argument, the driver sees to it that calls do not overlap.
"""

from __future__ import annotations

from math import exp
from typing import Final

WINDOW: Final = 10.0
"""Seconds whose earnings the bucket holds at most."""

A_SECOND: Final = 10.0
"""Tokens that every second earns, whatever the traffic."""


class RetryBudget:
    """Tokens for second tries.

    Args:
        share: Tokens that a request earns, 0 or more; None: second tries cost nothing.
        now: The time.

    Attributes:
        spent: Second tries that were paid for.
        refused: Second tries that were not, for want of a token.
    """

    __slots__ = ("_balance", "_recent", "_requests", "_share", "_then", "refused", "spent")

    def __init__(self, share: float | None, now: float) -> None:
        self._share = share
        self._then = now
        self._requests = 0
        self._recent = 0.0  # requests of the last seconds, older ones fading
        self._balance = A_SECOND * WINDOW
        self.spent = 0
        self.refused = 0

    def spend(self, requests: int, now: float) -> bool:
        """Take a token, if there is one.

        Args:
            requests: How many there have been so far; servers that left may have taken theirs
                along.
            now: The time.
        """
        if self._share is not None:
            self._earn(self._share, max(0, requests - self._requests), max(0.0, now - self._then))
            self._requests, self._then = requests, now
            if self._balance < 1.0:
                self.refused += 1
                return False
            self._balance -= 1.0
        self.spent += 1
        return True

    def _earn(self, share: float, requests: int, seconds: float) -> None:
        self._recent = self._recent * exp(-seconds / WINDOW) + requests
        most = A_SECOND * WINDOW + share * self._recent
        self._balance = min(most, self._balance + share * requests + A_SECOND * seconds)
