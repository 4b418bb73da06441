"""What a pool announces to whoever listens.

Strategy: methods that do nothing by default, so that a listener overrides only what it needs and
new events break nobody. No observer, no call. Called outside the pool's lock, from whichever thread
or task caused the event; an observer that raises is logged and ignored. (What is no ``Exception``,
like KeyboardInterrupt, is raised into the caller that it struck, if it was one.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from cenote.pool.stats import Holder, Reason

Event: TypeAlias = Callable[[str, float], object]
_log = logging.getLogger("cenote.pool")


class Observer:
    """Base of observers: override what you need. Times are seconds; ``pool`` is the pool's name."""

    def acquired(self, pool: str, waited: float) -> None:
        """A caller received a connection after waiting so long."""

    def released(self, pool: str, held: float) -> None:
        """A connection came back after being held so long."""

    def timed_out(self, pool: str, waited: float) -> None:
        """A caller's deadline passed while it waited."""

    def saturated(self, pool: str) -> None:
        """A caller was turned away because too many wait."""

    def connected(self, pool: str, seconds: float) -> None:
        """A connection was opened."""

    def connect_failed(self, pool: str, error: BaseException, seconds: float) -> None:
        """A connection could not be opened."""

    def closed(self, pool: str, reason: Reason) -> None:
        """A connection is about to be closed."""

    def invalidated(self, pool: str, generation: int) -> None:
        """Every connection older than this generation is being discarded."""

    def down(self, pool: str, error: BaseException) -> None:
        """Connecting keeps failing: the pool is down."""

    def up(self, pool: str) -> None:
        """A probe succeeded: the pool is up again."""

    def leaked(self, pool: str, holder: Holder) -> None:
        """A lease has been held longer than ``leak_after``."""

    def lost(self, pool: str) -> None:
        """A lease was garbage-collected without being returned; its slot was freed."""


def tell(call: Callable[[], None], contained: type[BaseException] = Exception) -> None:
    """Run one announcement; an observer's error is logged, never raised into the pool.

    Args:
        call: The announcement.
        contained: What counts as such an error; in the pool's own threads, where nobody else could
            be told, everything.
    """
    try:
        call()
    except contained:
        complain()


def complain() -> None:
    """Log the error of an observer that is being handled."""
    _log.exception("a pool's observer raised; the event is dropped")


def heeded(event: Event, ignored: Callable[..., None]) -> Event | None:
    """Return an observer's method, or ``None`` if it is the one that does nothing."""
    return None if getattr(event, "__func__", None) is ignored else event
