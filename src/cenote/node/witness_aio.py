"""Who is told by a node and its connector how a server does. Twin: ``witness_sync.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cenote.connection.aio import AsyncConnection


class AsyncWitness:
    """Is told how a server does; this one does not care.

    Called without any lock, from the loop.
    """

    @property
    def greets(self) -> bool:
        """Whether new connections are to be shown to it before their pool has them."""
        return False

    def connected(self) -> None:
        """A connection was opened, shaken hands with, and greeted if need be."""

    def connect_failed(self, error: Exception) -> None:
        """A connection could not be opened."""

    def failed(self, count: int = 1, *, lost: bool = False) -> None:
        """So many requests were not answered; ``lost``: their connection ended."""

    async def greet(self, connection: AsyncConnection, deadline: float) -> None:
        """Use a new connection first; what is raised makes it one that could not be opened."""


UNWATCHED: Final = AsyncWitness()
