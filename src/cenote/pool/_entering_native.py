"""How the block of a lease is entered and left: as any other, in pure Python.

Strategy: the compiled twin, ``_entering.pyx``, spares the objects that ``with`` and ``async with``
make and drop. The interpreter makes them faster than anything written in Python would spare them.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, cast

_NOTHING = cast("Generator[Any, Any, None]", iter(()))


class Done(Coroutine[Any, Any, None]):
    """What has been done already, for an ``await`` that wants something to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return _NOTHING

    def send(self, _value: object) -> None:
        """It is over."""
        raise StopIteration

    def throw(self, error: Any, *_more: Any) -> None:
        """Raise the error."""
        raise error

    def close(self) -> None:
        """Nothing is left to be done."""


def hasten(_kind: type) -> None:
    """Have the methods by which ``with`` enters and leaves a lease of this class bound quickly."""


def hasten_async(_kind: type) -> None:
    """The same for ``async with``."""
