"""What the core wants done, by a driver, outside its lock.

Strategy: plain values. ``Connect``, ``Close``, ``Ping`` and ``Reset`` are answered by a call into
the core; ``Warn`` and ``Tell`` are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from cenote.pool.fast_path import Entry
from cenote.pool.stats import Reason

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Connect:
    """Open a connection, then call ``connected`` or ``connect_failed``. A slot is counted already.

    Attributes:
        since: When it was asked for.
        deadline: ``connect_timeout`` later: it then counts as failed, but holds its slot until the
            call returns (``overdue``).
        generation: What the connection will belong to.
        replaces: Serial of the entry that makes room when this one is there; 0: none.
    """

    since: float
    deadline: float
    generation: int
    replaces: int = 0
    overdue: bool = False


@dataclass(slots=True, eq=False)
class Close(Generic[T]):
    """Close ``entry.resource``, then call ``closed``; the slot is held until then."""

    entry: Entry[T]
    reason: Reason


@dataclass(slots=True, eq=False)
class Ping(Generic[T]):
    """Ping a reserved entry, then call ``pinged``."""

    entry: Entry[T]


@dataclass(slots=True, eq=False)
class Reset(Generic[T]):
    """Reset a returned entry, then call ``was_reset``."""

    entry: Entry[T]


@dataclass(slots=True, eq=False)
class Warn:
    """Issue a ResourceWarning; ``logged``: also a WARNING in the log."""

    message: str
    logged: bool = False


@dataclass(slots=True, eq=False)
class Tell:
    """Announce something to the observer: call it through ``observer.tell``."""

    call: Callable[[], None]


Action: TypeAlias = Connect | Close[T] | Ping[T] | Reset[T] | Warn | Tell
