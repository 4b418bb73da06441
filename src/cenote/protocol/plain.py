"""Replies understood at a glance: those of the commands that services live on, when all went well.

Strategy: a reply that came alone, as a whole, in one segment is compared with what it would look
like if it were good: every byte of it but the value. So what is taken here is what the parser would
take, and proved to be the reply to this request; for whatever is not, the parser is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.protocol import grammar as g
from cenote.protocol._reader import MORE, More, Progress
from cenote.protocol.plain_frames import plain_frame

if TYPE_CHECKING:
    from cenote.protocol._request import Request

__all__ = ["MORE", "More", "plain_reply"]

_LINES: Final[dict[int, dict[bytes, Progress]]] = {
    kind: {line + b"\r\n": status for line, status in statuses.items()}
    for kind, statuses in g.STATUSES.items()
}
_NO_LINES: Final[dict[bytes, Progress]] = {}


def plain_reply(request: Request, data: bytes) -> Progress:
    """Return the reply to a request, if these bytes are exactly that, and a good one; else MORE.

    Args:
        request: The only request whose reply is due.
        data: All that has come since it was sent.
    """
    if request.kind:  # anything but GET
        if request.kind >= g.FRAMES:
            return plain_frame(request, data)
        return _LINES.get(request.kind, _NO_LINES).get(data, MORE)
    stop = data.find(b"\r\n")
    size = len(data) - stop - 9
    if size < 0 or data[-7:] != b"\r\nEND\r\n":
        return None if data == b"END\r\n" else MORE
    if data[:stop] == b"VALUE %b 0 %d" % (request.key or b"", size):
        return data[stop + 2 : -7], 0, 0
    return _flagged_item(request, data, stop, size)


def _flagged_item(request: Request, data: bytes, stop: int, size: int) -> Progress:
    words = data[:stop].split(b" ")
    if len(words) != 4 or not (words[2].isdigit() and len(words[2]) <= 10):
        return MORE
    if words[0] != b"VALUE" or words[1] != request.key or words[3] != b"%d" % size:
        return MORE
    return data[stop + 2 : -7], int(words[2]), 0
