"""A request with a shorter time to live: what goes to servers that only step in for a while.

Strategy: requests are made by the commands, which know nothing of where they will go. So the text
of one that goes to such a server is read again, command by command, and the expiry of each is
bounded. That happens only while a server is down. Pure; also the wall clock is an argument.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from cenote.protocol import Request
from cenote.protocol import frames as f

_MONTH: Final = 30 * 86400  # seconds up to which an expiry is relative

_EXPIRY_AT: Final = {
    b"set": 3, b"add": 3, b"replace": 3, b"cas": 3, b"gat": 1, b"gats": 1, b"touch": 2,
}  # fmt: skip
_SIZE_AT: Final = {
    b"set": 4, b"add": 4, b"replace": 4, b"cas": 4, b"append": 4, b"prepend": 4, b"ms": 2,
}  # fmt: skip
# Of binary requests: the byte they begin with, and where their expiry stands, by their command.
_REQUEST_FRAME: Final = bytes([f.ASKS])
_SIGNED: Final = Struct(">i")  # below 0: expired; or, of a counter: not to be created
_EXPIRY_IN_FRAME: Final[dict[int, int]] = {
    **dict.fromkeys((f.SET, f.ADD, f.REPLACE, f.SETQ), f.HEADER_SIZE + 4),
    **dict.fromkeys((f.TOUCH, f.GATK, f.GATKQ), f.HEADER_SIZE),
    **dict.fromkeys((f.INCR, f.DECR), f.HEADER_SIZE + 16),
}

_META: Final = {b"ms": b"T", b"mg": b"TN", b"ma": b"TN", b"md": b"T"}


def capped(request: Request, seconds: int, now: float) -> Request:
    """Return ``request`` with no expiry that is more than so many seconds away.

    Args:
        request: What an encoder made.
        seconds: At most 30 days.
        now: The time as memcached's clock has it: seconds since 1970.
    """
    is_binary = request.payload[:1] == _REQUEST_FRAME
    bounded = _frames if is_binary else _lines
    return Request(
        bounded(request.payload, seconds, now), request.kind, request.key, request.keys,
        request.count, request.idempotent, request.verb, request.opaque, request.echo,
    )  # fmt: skip


def _lines(payload: bytes, seconds: int, now: float) -> bytes:
    parts, at = [], 0
    while at < len(payload):
        end = payload.index(b"\r\n", at)
        words = payload[at:end].split(b" ")
        size = _SIZE_AT.get(words[0])
        after = end + 2 if size is None else end + 4 + int(words[size])
        parts += [b" ".join(_shortened(words, seconds, now)), payload[end:after]]
        at = after
    return b"".join(parts)


def _frames(payload: bytes, seconds: int, now: float) -> bytes:
    bounded, at = bytearray(payload), 0
    while at < len(payload):
        place = _EXPIRY_IN_FRAME.get(payload[at + 1])
        if place is not None:
            (expiry,) = _SIGNED.unpack_from(payload, at + place)
            _SIGNED.pack_into(bounded, at + place, _sooner(expiry, seconds, now))
        at += f.HEADER_SIZE + f.HEADER.unpack_from(payload, at)[6]
    return bytes(bounded)


def _shortened(words: list[bytes], seconds: int, now: float) -> list[bytes]:
    command = words[0]
    if command in _EXPIRY_AT:
        at = _EXPIRY_AT[command]
        return [*words[:at], _bound(words[at], seconds, now), *words[at + 1 :]]
    if command not in _META:
        return words
    flags = _META[command]
    start = 3 if command == b"ms" else 2
    bounded = [
        word[:1] + _bound(word[1:], seconds, now) if word[:1] in _each(flags) else word
        for word in words[start:]
    ]
    if command == b"ms" and not any(word[:1] == b"T" for word in bounded):
        bounded.append(b"T%d" % seconds)
    return [*words[:start], *bounded]


def _each(flags: bytes) -> tuple[bytes, ...]:
    return tuple(flags[index : index + 1] for index in range(len(flags)))


def _bound(expiry: bytes, seconds: int, now: float) -> bytes:
    return b"%d" % _sooner(int(expiry), seconds, now)


def _sooner(expiry: int, seconds: int, now: float) -> int:
    if expiry == 0:
        return seconds
    if expiry <= _MONTH:  # also what has expired already: below 0
        return min(expiry, seconds)
    return min(expiry, int(now) + seconds)
