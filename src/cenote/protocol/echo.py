"""Whether the key that a meta reply repeats is the key that was asked for.

An item stored under a base64 key is the same item without base64, and the server repeats the key in
the way it was *stored*: ``mg foo k`` may be answered ``kZm9v b``, and ``mg Zm9v b k`` by ``kfoo``.
"""

from __future__ import annotations

from binascii import Error, a2b_base64


def same_key(asked: bytes, asked_base64: bool, echoed: bytes, echoed_base64: bool) -> bool:
    """Compare two spellings of a key."""
    if asked_base64 == echoed_base64:
        return asked == echoed
    try:
        return _raw(asked, asked_base64) == _raw(echoed, echoed_base64)
    except Error:
        return False


def _raw(key: bytes, base64: bool) -> bytes:
    return a2b_base64(key, strict_mode=True) if base64 else key
