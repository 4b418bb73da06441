"""When a read is sent a second time because its reply is late: the delay. Pure.

Strategy: the delay is a number of seconds, or what 95 of a hundred requests did not take longer
than: then one in twenty is sent twice. That is estimated from the requests themselves, by a step up
or down with each (stochastic approximation, Robbins and Monro 1951), so that it follows the
servers as they change and costs two floating-point operations.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from cenote.errors import ConfigurationError

HedgeAfter: TypeAlias = float | Literal["p95"]

_SHARE: Final = 0.95
_STEP: Final = 0.05  # of the estimate, for each request
_FIRST: Final = 0.01  # seconds: the estimate to begin with
_LEAST: Final = 0.0001


def check_hedge(after: object) -> None:
    """Refuse what is no delay.

    Raises:
        ConfigurationError: It is neither seconds above 0 nor ``"p95"``, nor None.
    """
    if after is None or after == "p95":
        return
    if type(after) not in (int, float) or not 0 < after < 3600:  # type: ignore[operator]
        raise ConfigurationError(
            f'hedge_after={after!r} is out of range: use seconds above 0, "p95", or None'
        )


class Delay:
    """How long to wait for a reply before the request is sent a second time.

    Args:
        after: Seconds, or ``"p95"``.

    Attributes:
        seconds: The delay now.
    """

    __slots__ = ("_learns", "seconds")

    def __init__(self, after: HedgeAfter) -> None:
        self._learns = after == "p95"
        self.seconds = _FIRST if after == "p95" else float(after)

    def took(self, seconds: float) -> None:
        """Learn from a request that was answered after so long, the first try alone."""
        if not self._learns:
            return
        if seconds > self.seconds:
            self.seconds *= 1 + _STEP * _SHARE
        else:
            self.seconds = max(_LEAST, self.seconds * (1 - _STEP * (1 - _SHARE)))
