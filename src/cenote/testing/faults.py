"""What can happen to the bytes of a connection, as values to give to a ``FaultProxy``.

Strategy: a ``Fault`` turns each chunk that arrives into steps (pass these bytes on, wait, end the
connection) and does nothing itself. A test that needs another one subclasses ``Fault``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they arrived, and how many bytes of the connection went the same way before."""

    data: bytes
    offset: int

    def until(self, position: int) -> bytes:
        """The part of it that lies before ``position`` of the connection's bytes."""
        return self.data[: max(0, position - self.offset)]


# What can become of a chunk, one step after another.


@dataclass(frozen=True, slots=True)
class Send:
    """Pass these bytes on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """End the connection, both ways: by a reset, or in good order."""

    reset: bool


Step: TypeAlias = Send | Wait | End


class Fault:
    """What happens to the bytes of one direction. This one: nothing, they are passed on.

    Attributes:
        holds: Whether bytes are held back for as long as the fault is in force.
    """

    __slots__ = ()
    holds = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say what becomes of ``chunk``."""
        yield Send(chunk.data)


class Forward(Fault):
    """Pass everything on."""

    __slots__ = ()


class Stall(Fault):
    """Hold everything back; it flows on when another fault takes over."""

    __slots__ = ()
    holds = True


class Drop(Fault):
    """Read everything and lose it."""

    __slots__ = ()

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that no byte is sent."""
        yield Send(chunk.until(0))


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """Pass each chunk on ``seconds`` after it arrived."""

    seconds: float

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that it is sent after a wait."""
        yield Wait(self.seconds)
        yield Send(chunk.data)


@dataclass(frozen=True, slots=True)
class Split(Fault):
    """Pass everything on in pieces of ``size`` bytes, ``seconds`` apart: a drip feed."""

    size: int = 1
    seconds: float = 0.0

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that it is sent piece by piece."""
        for start in range(0, len(chunk.data), self.size):
            yield Send(chunk.data[start : start + self.size])
            yield Wait(self.seconds)


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """Pass on the first ``after`` bytes of each connection, and lose the rest in silence."""

    after: int

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that what lies before the limit is sent."""
        yield Send(chunk.until(self.after))


@dataclass(frozen=True, slots=True)
class CloseAfter(Fault):
    """Pass on the first ``after`` bytes of each connection, then close it (``reset``: by RST)."""

    after: int
    reset: bool = False

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that what lies before the limit is sent, and that reaching it is the end."""
        yield Send(chunk.until(self.after))
        if chunk.offset + len(chunk.data) >= self.after:
            yield End(self.reset)


@dataclass(frozen=True, slots=True)
class Corrupt(Fault):
    """Replace the bytes of each connection from position ``at`` by ``by``."""

    at: int
    by: bytes

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that it is sent with the bytes in question replaced."""
        changed = bytearray(chunk.data)
        for position, byte in enumerate(self.by, self.at - chunk.offset):
            if 0 <= position < len(changed):
                changed[position] = byte
        yield Send(bytes(changed))
