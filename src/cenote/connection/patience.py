"""How long a blocking socket is told to wait, and when it must be told again. Pure.

Strategy: a socket with a Python timeout polls before every call, which doubles the system calls of
a round trip. The kernel's own receive timeout (``SO_RCVTIMEO``) costs nothing, but it is relative,
is set by a call of its own, and is counted in timer ticks of up to 10 ms. So:

1. It is set once, a little shorter than what is left (``arm_for``), and left alone as long as it
   ends before the deadline (``too_patient``): callers with the same timeout never set it again.
2. When it strikes before the deadline it is set to what is left and the wait goes on.
3. The last ``PRECISE`` seconds are waited for with ``poll``, which is exact.
"""

from __future__ import annotations

import math

PRECISE = 0.025
"""Seconds before a deadline from which ``poll`` is used in place of the socket's own timeout."""

TICKS = 0.010
"""Seconds by which the kernel may be late with a socket timeout (one tick at 100 Hz)."""

LONGEST = 3600.0
"""Seconds of the longest single wait; longer ones are made of several."""

MOST_POSTED = 64
"""Quiet requests that may be under way before somebody reads their fences: keeps their replies from
filling up a receive buffer that nobody empties."""

GRACE = 0.25
"""Seconds that a shared connection's reply is overdue at least before it is given up: a caller with
hardly any time left says nothing about the server."""

GOODBYE = 0.1
"""Seconds that ``close`` waits at most for the fences of quiet requests, so that closing does not
cut off what was posted."""

GLANCE = 0.001
"""Seconds for a reply to a request that was started, when the deadline has passed meanwhile."""


def arm_for(rest: float) -> float:
    """The socket timeout to set, in seconds, when ``rest`` seconds are left (more than PRECISE)."""
    return min(rest * 0.95, LONGEST) - TICKS


def too_patient(armed: float, rest: float) -> bool:
    """Whether a socket timeout of ``armed`` seconds would outlast the ``rest`` that is left."""
    return armed + TICKS > rest


def poll_milliseconds(rest: float) -> int:
    """What to give ``poll`` so that it neither ends early nor much too late."""
    return math.ceil(max(0.0, min(rest, LONGEST)) * 1000)
