"""What has arrived and was not read yet: bytes in, pieces of the size that was asked for out.

Strategy: each ``take`` returns its piece or None, which means: feed me more. What was searched for
a separator once is not searched again. Pure.
"""

from __future__ import annotations

from cenote.errors import ProtocolError


class Inbox:
    """The unread bytes of one connection."""

    __slots__ = ("_bytes", "_searched", "_separator")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0  # bytes in which _separator does not begin
        self._separator = b""

    def __len__(self) -> int:
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self._bytes += data

    def take(self, most: int) -> bytes | None:
        """Take what is there, ``most`` bytes of it at most; None: nothing is."""
        return self._remove(min(most, len(self._bytes))) if self._bytes else None

    def take_exactly(self, size: int) -> bytes | None:
        """Take ``size`` bytes; None: not so many are there."""
        return self._remove(size) if len(self._bytes) >= size else None

    def take_until(self, separator: bytes, limit: int) -> bytes | None:
        """Take everything up to the end of the first ``separator``; None: it has not arrived.

        Raises:
            ProtocolError: It is not among the first ``limit`` bytes.
        """
        if separator != self._separator:
            self._separator, self._searched = separator, 0
        start = self._bytes.find(separator, self._searched)
        end = start + len(separator) if start >= 0 else len(self._bytes)
        if end > limit:
            raise ProtocolError(
                f"no {separator!r} within {limit} bytes: raise limit, or look at the peer"
            )
        if start < 0:
            self._searched = max(0, end - len(separator) + 1)
            return None
        return self._remove(end)

    def _remove(self, size: int) -> bytes:
        piece = bytes(memoryview(self._bytes)[:size])
        del self._bytes[:size]
        self._searched = 0
        return piece
