"""What to say of a value that is over a server's limit: whose it is, its size, what to change."""

from __future__ import annotations

from cenote.errors import ValueTooLarge


def too_large(message: str, key: bytes | None, size: int) -> ValueTooLarge:
    """Return the error of a value that is too large.

    Args:
        message: What the server said.
        key: Whose value it is, as on the wire; None: one of many.
        size: Bytes that were sent of it.
    """
    if key is not None and size > 0:
        message += f" ({size} bytes were sent for {key.decode('utf-8', 'backslashreplace')!r})"
    return ValueTooLarge(
        f"{message}; raise its item size limit (memcached -I), compress values (compress=), or "
        "store less"
    )
