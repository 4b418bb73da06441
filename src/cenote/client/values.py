"""Values: what a caller stores, turned into bytes and flags, and back.

Strategy: the flags stored beside a value say what its bytes mean, and each client writes its own:
``dialects.py`` has them by name, users bring others. Flags that a serialisation does not know are
never guessed at: ``loads`` raises `UnreadableValue` and the client reads a miss. Here is what all
of them have in common, and the one that marks nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast, runtime_checkable

from cenote.errors import NotSerializable, UnreadableValue

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES: Final = 0
LEASE: Final = 1 << 18
"""Not a value: on a classic server, somebody's claim to compute the value of this key."""


@runtime_checkable
class Serde(Protocol):
    """How values become bytes and flags, and back: give one to ``Client(serde=...)``.

    Called from every thread and task of the client at once. The flags ``1 << 18`` are the client's
    own. What these raise beside the errors named here reaches the caller of the command as it is.
    """

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags (0 to 2**32 - 1).

        Raises:
            NotSerializable: The value can not be stored.
        """
        ...

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value that ``dumps`` was given.

        Raises:
            UnreadableValue: The flags are not known, or the bytes are not what the flags say: the
                client counts it, warns, and reads a miss.
        """
        ...


class Serialisation:
    """A `Serde` as a client uses it: with what shortens the way of ``bytes``, and without a lease.

    Attributes:
        verbatim: The flags with which a value is its bytes, so that ``loads`` need not be called;
            -1 if there are none.
        takes_bytes: Whether ``bytes`` are stored as they are with the flags 0, so that ``dumps``
            need not be called.
    """

    verbatim: int = -1
    takes_bytes: bool = False

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        raise NotImplementedError

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value stored as ``data`` with ``flags``."""
        raise NotImplementedError

    def plain(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes and flags of what is put before or after others: not compressed."""
        return self.dumps(value)


class RawSerde(Serialisation):
    """Bytes as they are: nothing else is taken, flags are written as 0 and never read."""

    verbatim = BYTES
    takes_bytes = True

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value), BYTES
        raise NotSerializable(f"{a(value)} can not be stored with serde='raw': pass bytes")

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return ``data``, whatever the flags."""
        if flags == LEASE:
            raise UnreadableValue(_NO_VALUE_YET)
        return data


_NO_VALUE_YET = "a lease, not a value"


class CheckedSerde(Serialisation):
    """A user's serialisation: it is never shown a lease, and writes nothing that looks like one."""

    def __init__(self, serde: Serde) -> None:
        self._dumps = serde.dumps
        self._loads = serde.loads

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return the bytes to store and their flags."""
        dumped: object = self._dumps(value)
        if not isinstance(dumped, tuple) or len(dumped) != 2:
            raise NotSerializable(f"serde.dumps returns (bytes, flags), not {a(dumped)}")
        data, flags = dumped
        if not isinstance(data, bytes):
            raise NotSerializable(f"serde.dumps returns (bytes, flags), not {a(data)} as bytes")
        if type(flags) is not int or not 0 <= flags < 2**32 or flags == LEASE:
            raise NotSerializable(
                f"serde.dumps returns (bytes, flags), not the flags {flags!r}: use an int from 0 "
                "to 2**32 - 1, except for 1 << 18, which is the client's own"
            )
        return data, flags

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value stored as ``data`` with ``flags``."""
        if flags == LEASE:
            raise UnreadableValue(_NO_VALUE_YET)
        return self._loads(data, flags)


def dumps_all(
    serde: Serialisation, values: Sequence[object], names: Sequence[object]
) -> tuple[Sequence[bytes], Sequence[int]]:
    """Return the bytes and the flags of many values: two sequences, in the values' order.

    Raises:
        NotSerializable: One of the values can not be stored; the message says by its name which.
    """
    if serde.takes_bytes and set(map(type, values)) == {bytes}:
        return cast("Sequence[bytes]", values), [BYTES] * len(values)
    dumped: list[tuple[bytes, int]] = []
    try:
        for value in values:
            dumped.append(serde.dumps(value))  # noqa: PERF401 - its length says who failed
    except NotSerializable as error:
        raise NotSerializable(f"{names[len(dumped)]!r}: {error}") from error
    return [data for data, _ in dumped], [flags for _, flags in dumped]


def counter(serde: Serialisation, number: int) -> tuple[bytes, int]:
    """Return what to store so that the server can count on it and ``serde`` reads it, if it can."""
    digits = b"%d" % number
    try:
        data, flags = serde.dumps(number)
    except NotSerializable:
        return digits, BYTES
    return digits, flags if data == digits else BYTES


def a(value: object) -> str:
    """Return what an error calls a value: it shows its type, never what it holds."""
    return f"a value of type {type(value).__name__}"
