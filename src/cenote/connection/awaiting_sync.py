"""Waiting for several blocking connections at once: until one of them can go on.

Strategy: one ``poll`` over all of them, which says nothing about which: whoever is asked to
``advance`` finds out, and takes no harm from being asked too early.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection.patience import poll_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cenote.connection._exchange_native import Channel


def await_any(channels: Iterable[Channel], deadline: float) -> bool:
    """Wait until one of those that have been started can ``advance``, or has come to its end.

    Args:
        channels: Those that are waited for.
        deadline: Absolute, on the monotonic clock.

    Returns:
        False: none could by the deadline.
    """
    poller = select.poll()
    for channel in channels:
        descriptor = channel.fileno()
        if descriptor < 0:  # it was closed: there is nothing to wait for
            return True
        unsent = select.POLLOUT if channel.unsent else 0
        poller.register(descriptor, select.POLLIN | unsent)
    while rest := max(0.0, deadline - monotonic()):
        if poller.poll(poll_milliseconds(rest)):
            return True
    return bool(poller.poll(0))
