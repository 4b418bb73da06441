"""What happens in pools, in words: for logs, and for whoever looks a minute later.

Strategy: an ``Announcer`` puts each event of an observer into one ``Event`` and leaves to
subclasses what becomes of it. Single leases are no events. ``EventLog`` keeps the latest in a
ring, which threads append to without a lock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, TypeAlias

from cenote.pool import Holder, Observer, registry
from cenote.pool.sizing import duration_text
from cenote.pool.stats import Reason
from cenote.telemetry.sources import Sources

Kind = Literal[
    "timed_out", "saturated", "connected", "connect_failed", "closed", "invalidated", "down", "up",
    "resized", "leaked", "lost",
]  # fmt: skip
Fields: TypeAlias = Mapping[str, str | float]

LEVELS: Mapping[Kind, int] = {
    "timed_out": logging.WARNING,
    "saturated": logging.WARNING,
    "connected": logging.DEBUG,
    "connect_failed": logging.WARNING,
    "closed": logging.DEBUG,
    "invalidated": logging.INFO,
    "down": logging.ERROR,
    "up": logging.INFO,
    "resized": logging.INFO,
    "leaked": logging.WARNING,
    "lost": logging.WARNING,
}
"""How grave each kind of event is, in the levels of ``logging``."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a pool.

    Attributes:
        pool: The pool's name.
        kind: What happened; the names are those of ``Observer``'s methods.
        text: The same in words.
        at: When, on the monotonic clock.
        fields: What is known of it, by name.
    """

    pool: str
    kind: Kind
    text: str
    at: float
    fields: Fields = field(default_factory=dict)

    @property
    def level(self) -> int:
        """How grave it is, in the levels of ``logging``."""
        return LEVELS[self.kind]


class Announcer(Observer):
    """Puts events into words; subclasses say what becomes of them.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock

    def announce(self, event: Event) -> None:
        """Do something with an event; must not block."""
        raise NotImplementedError

    def timed_out(self, pool: str, waited: float) -> None:
        """See ``Observer``."""
        text = f"no connection within {duration_text(waited)}"
        self._say(pool, "timed_out", text, {"waited": waited})

    def saturated(self, pool: str) -> None:
        """See ``Observer``."""
        self._say(pool, "saturated", "turned away: too many wait", {})

    def connected(self, pool: str, seconds: float) -> None:
        """See ``Observer``."""
        text = f"opened a connection in {duration_text(seconds)}"
        self._say(pool, "connected", text, {"seconds": seconds})

    def connect_failed(self, pool: str, error: BaseException, seconds: float) -> None:
        """See ``Observer``."""
        fields: Fields = {"error": type(error).__name__, "seconds": seconds}
        self._say(pool, "connect_failed", f"connecting failed: {_words(error)}", fields)

    def closed(self, pool: str, reason: Reason) -> None:
        """See ``Observer``."""
        self._say(pool, "closed", f"closed a connection: {reason}", {"reason": reason})

    def invalidated(self, pool: str, generation: int) -> None:
        """See ``Observer``."""
        text = "discarding every connection of before"
        self._say(pool, "invalidated", text, {"generation": generation})

    def down(self, pool: str, error: BaseException) -> None:
        """See ``Observer``."""
        fields = {"error": type(error).__name__}
        self._say(pool, "down", f"down: connecting keeps failing: {_words(error)}", fields)

    def up(self, pool: str) -> None:
        """See ``Observer``."""
        self._say(pool, "up", "up again", {})

    def resized(self, pool: str, max_size: int, reason: str) -> None:
        """See ``Observer``."""
        fields: Fields = {"max_size": max_size, "reason": reason}
        self._say(pool, "resized", f"max_size is {max_size} now: {reason}", fields)

    def leaked(self, pool: str, holder: Holder) -> None:
        """See ``Observer``."""
        fields: Fields = {"holder": holder.who, "held": holder.seconds, "where": holder.where}
        self._say(pool, "leaked", f"a connection has been held {holder}", fields)

    def lost(self, pool: str) -> None:
        """See ``Observer``."""
        self._say(pool, "lost", "a lease was dropped without being returned", {})

    def _say(self, pool: str, kind: Kind, text: str, fields: Fields) -> None:
        self.announce(Event(pool, kind, text, self._clock(), fields))


class EventLog:
    """Keeps the latest events of pools; may be used from any thread.

    Args:
        size: How many.
        clock: Monotonic seconds.
    """

    def __init__(self, size: int = 200, clock: Callable[[], float] = monotonic) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self._clock = clock
        self._ears: dict[str, Ear] = {}

    def follow(self, sources: Sources) -> None:
        """Listen to the pools there are now, and no longer to those that have gone."""
        pools = sources.pools()
        for label in [label for label in list(self._ears) if label not in pools]:
            self._ears.pop(label, None)
        for label, pool in pools.items():
            ear = self._ears.get(label)
            if ear is None or not registry.is_heard(pool, ear):
                self._ears[label] = ear = Ear(label, self._events, self._clock)
                registry.listen(pool, ear)

    def leave(self, sources: Sources) -> None:
        """Listen no more; what was heard stays."""
        for label, pool in sources.pools().items():
            ear = self._ears.pop(label, None)
            if ear is not None:
                registry.unlisten(pool, ear)

    def latest(self) -> list[Event]:
        """Return the events, newest first."""
        return list(reversed(self._events.copy()))


class Ear(Announcer):
    """Listens to one pool for a log, and calls it by its label."""

    def __init__(self, label: str, events: deque[Event], clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._label = label
        self._events = events

    def announce(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(Event(self._label, event.kind, event.text, event.at, event.fields))


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
