"""Whoever shares one connection among callers, as the connection sees it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from cenote.errors import CenoteError

ANSWERED_ELSEWHERE: Final = "answered on another connection"
"""What a request is cancelled with whose caller has had his answer."""


class Sharer(Protocol):
    """Whoever shares a connection among callers, and is told how it is doing.

    Called from the loop; must not raise.
    """

    def departed(self) -> None:
        """The requests of a turn have left."""

    def drained(self) -> None:
        """Nobody waits for anything any more."""

    def writable(self) -> None:
        """The peer takes bytes again."""

    def overdue(self) -> None:
        """The reply that is next has not come within its caller's deadline."""

    def long_reply(self, key: bytes | None) -> None:
        """The reply about this key is long; None: about no single key."""

    def ended(self, error: CenoteError) -> None:
        """The connection has ended; called once, before any ``rescue``."""

    def rescue(self, lost: Any, error: CenoteError) -> bool:
        """Take over a ``Pending`` that was lost with the connection; False: let it fail."""
        raise NotImplementedError
