"""Times to live, turned into the exptime of the wire.

Strategy: memcached reads 0 as "never", a negative number as "expired already", up to 30 days as
seconds from now and anything larger as a moment in Unix time. A caller means seconds from now
whatever the number, so only here is the wall clock asked, and only for more than 30 days: it is
the server's own measure. Fractions round up: half a second must not become "never".
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from cenote.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

Ttl: TypeAlias = int | float | timedelta | None

NEVER = 0
EXPIRED = -1
LONGEST_RELATIVE = 30 * 24 * 60 * 60
_LATEST = 2**31 - 1  # the server reads the exptime as a signed number of 32 bits


def exptime(ttl: Ttl, wall_clock: Callable[[], float]) -> int:
    """Return the wire's exptime for a time to live.

    Args:
        ttl: Seconds from now (fractions round up), a ``timedelta``, or None for never. Zero or
            less means expired already. memcached counts whole seconds: a value may go up to one
            second before its time.
        wall_clock: Unix time in seconds; asked only when the TTL is over 30 days.

    Raises:
        InvalidArgument: It is not a time, not finite, or ends after January 2038.
    """
    if ttl is None:
        return NEVER
    seconds = ttl if type(ttl) is int else whole_seconds(ttl, "ttl")
    if seconds <= 0:
        return EXPIRED
    if seconds <= LONGEST_RELATIVE:
        return seconds
    moment = math.ceil(wall_clock()) + seconds
    if moment > _LATEST:
        raise InvalidArgument(
            "the ttl ends after January 2038, beyond memcached's clock: it is seconds from now, "
            "not a Unix time; pass None for never"
        )
    return moment


def whole_seconds(duration: float | timedelta, name: str) -> int:
    """Return a duration in whole seconds, rounded up; ``name`` is what an error calls it.

    Raises:
        InvalidArgument: It is not a finite number of seconds or a ``timedelta``.
    """
    if isinstance(duration, timedelta):
        return math.ceil(duration.total_seconds())
    if isinstance(duration, int) and not isinstance(duration, bool):
        return int(duration)
    if not isinstance(duration, float):
        raise InvalidArgument(
            f"{name} is seconds (int or float) or a timedelta, not {type(duration).__name__}"
        )
    if not math.isfinite(duration):
        raise InvalidArgument(f"{name} is {duration!r}: pass a finite number of seconds")
    return math.ceil(duration)


def positive_seconds(duration: float | timedelta, name: str) -> float:
    """Return a duration in seconds; ``name`` is what an error calls it.

    Raises:
        InvalidArgument: It is not a finite number of seconds above 0, or such a ``timedelta``.
    """
    if whole_seconds(duration, name) <= 0:
        raise InvalidArgument(f"{name} is {duration!r}: use seconds above 0")
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
