"""What a pool announces to whoever listens.

Strategy: methods that do nothing by default, so that a listener overrides only what it needs and
new events break nobody. No observer, no call. Called outside the pool's lock, from whichever thread
or task caused the event; an observer that raises is logged and ignored. (What is no ``Exception``,
like KeyboardInterrupt, is raised into the caller that it struck, if it was one.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from cenote.errors import ConfigurationError
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

    def resized(self, pool: str, max_size: int, reason: str) -> None:
        """``autosize`` has moved the limit of connections, and says why."""

    def leaked(self, pool: str, holder: Holder) -> None:
        """A lease has been held longer than ``leak_after``."""

    def lost(self, pool: str) -> None:
        """A lease was garbage-collected without being returned; its slot was freed."""


class Audience(Observer):
    """Several observers in the place of one: what one raises does not keep an event from the next.

    Args:
        first: Who is told of single leases too; None: nobody.
        others: Who is told of everything else.
    """

    def __init__(self, first: Observer | None, others: tuple[Observer, ...] = ()) -> None:
        self.first = first
        self.others = others
        self._all = others if first is None else (first, *others)
        leases = first or Observer()  # its own methods, so that ``heeded`` sees who listens
        self.acquired = leases.acquired  # type: ignore[method-assign]
        self.released = leases.released  # type: ignore[method-assign]

    @classmethod
    def of(cls, observer: Observer | None) -> Audience:
        """Return an observer as an audience, unless it is one."""
        return observer if isinstance(observer, Audience) else cls(observer)

    def joined_by(self, observer: Observer) -> Audience:
        """Return the audience with one more."""
        return Audience(self.first, (*self.others, observer))

    def left_by(self, observer: Observer) -> Observer | None:
        """Return the audience without one of the others; once these are gone: the first, or None.

        Where nobody is left nobody is called.
        """
        others = tuple(other for other in self.others if other is not observer)
        return Audience(self.first, others) if others else self.first

    def timed_out(self, pool: str, waited: float) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.timed_out(pool, waited))

    def saturated(self, pool: str) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.saturated(pool))

    def connected(self, pool: str, seconds: float) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.connected(pool, seconds))

    def connect_failed(self, pool: str, error: BaseException, seconds: float) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.connect_failed(pool, error, seconds))

    def closed(self, pool: str, reason: Reason) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.closed(pool, reason))

    def invalidated(self, pool: str, generation: int) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.invalidated(pool, generation))

    def down(self, pool: str, error: BaseException) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.down(pool, error))

    def up(self, pool: str) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.up(pool))

    def resized(self, pool: str, max_size: int, reason: str) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.resized(pool, max_size, reason))

    def leaked(self, pool: str, holder: Holder) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.leaked(pool, holder))

    def lost(self, pool: str) -> None:
        """See ``Observer``."""
        self._tell(lambda observer: observer.lost(pool))

    def _tell(self, event: Callable[[Observer], None]) -> None:
        for observer in self._all:
            tell(partial(event, observer))


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


def check_observer(observer: object) -> None:
    """Refuse what can not listen to a pool.

    Raises:
        ConfigurationError: It is neither an ``Observer`` nor ``None``.
    """
    if observer is not None and not isinstance(observer, Observer):
        raise ConfigurationError(f"observer={observer!r} is no Observer: derive one from it")


def heeded(event: Event, ignored: Callable[..., None]) -> Event | None:
    """Return an observer's method, or ``None`` if it is the one that does nothing."""
    return None if getattr(event, "__func__", None) is ignored else event
