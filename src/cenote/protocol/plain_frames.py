"""Frames understood at a glance: the binary protocol's part of ``plain.py``, by the same rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.protocol import frames as f
from cenote.protocol import grammar as g
from cenote.protocol._reader import MORE, Progress

if TYPE_CHECKING:
    from cenote.protocol._request import Request


def plain_frame(request: Request, data: bytes) -> Progress:
    """Return the reply to a request, if these bytes are exactly that, and a good one; else MORE.

    Args:
        request: The only request whose reply is due, of the binary protocol.
        data: All that has come since it was sent.
    """
    if len(data) < f.HEADER_SIZE:
        return MORE
    frame = f.HEADER.unpack_from(data)
    magic, opcode, key_size, extras_size, data_type, status, size, _, cas = frame
    asked = request.payload
    if (
        magic != f.ANSWERS
        or opcode != asked[1]
        or data[12:16] != asked[12:16]
        or size != len(data) - f.HEADER_SIZE
        or data_type
    ):
        return MORE
    kind = request.kind
    if kind in (g.FRAME_GET, g.FRAME_GETS):
        return _item(request, data, key_size, extras_size, status, cas)
    if status == f.SUCCESS and key_size == 0:
        if kind == g.FRAME_NUMBER and (size, extras_size) == (8, 0):
            return int.from_bytes(data[f.HEADER_SIZE :])
        if kind == g.FRAME_STATUS and size == extras_size:
            return f.OUTCOMES.get(opcode, {}).get(status, MORE)
        if kind == g.FRAME_CAS and size == extras_size:
            return f.CAS_OUTCOMES[status]
    return MORE


def _item(
    request: Request, data: bytes, key_size: int, extras_size: int, status: int, cas: int
) -> Progress:
    start = f.HEADER_SIZE + extras_size
    stop = start + key_size
    if data[start:stop] != request.key:
        return MORE
    if status == f.SUCCESS and extras_size == 4:
        flags = int.from_bytes(data[f.HEADER_SIZE : start])
        return data[stop:], flags, cas if request.kind == g.FRAME_GETS else 0
    return None if status == f.KEY_ENOENT and stop == len(data) and not extras_size else MORE
