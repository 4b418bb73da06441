"""Numbers that go on the wire as they are: deltas, counters and cas tokens."""

from __future__ import annotations

from cenote.errors import InvalidArgument

_LIMIT = 2**64


def checked_u64(number: object, name: str, instead: str = "") -> int:
    """Return ``number`` if it is an integer that the server can count with.

    Args:
        number: The number.
        name: What an error calls it.
        instead: What a caller with a negative one may be looking for.

    Raises:
        InvalidArgument: It is not an int, negative, or over 64 bits.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidArgument(f"{name} is an int, not {type(number).__name__}")
    if number < 0:
        raise InvalidArgument(f"{name} is negative: use 0 to 2**64 - 1{instead}")
    if number >= _LIMIT:
        raise InvalidArgument(f"{name} is over 64 bits: use 0 to 2**64 - 1")
    return number
