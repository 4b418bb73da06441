"""Error lines: which error each stands for, and whether the conversation can go on after it.

Strategy: an error line says that the server did not do as asked; it does not say how many more
lines follow. A server that refuses a command *line* may go on to run its data block as commands,
and some answer an over-long key with two lines. So trust is the exception: ``SERVER_ERROR`` means
that the request was understood and its data taken; of the other errors only those known to be
exactly one line are harmless, and only where no data block was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.errors import (
    CenoteError,
    ClientError,
    OutOfMemory,
    ServerError,
    UnknownCommand,
)
from cenote.protocol.too_large import too_large

if TYPE_CHECKING:
    from cenote.protocol._request import Request

_ONE_LINE: Final = (
    b"CLIENT_ERROR cannot increment or decrement",
    b"CLIENT_ERROR invalid ",
    b"CLIENT_ERROR duplicate flag",
    b"CLIENT_ERROR opaque token too long",
    b"CLIENT_ERROR options flags",
)

# "ERROR Too many open connections", and what refuses admin commands.
_ADMIN_WORDS: Final = frozenset(
    {b"ERROR", b"ERROR:", b"BUSY", b"MEMLIMIT_TOO_SMALL", b"MEMLIMIT_ADJUST_FAILED"}
)


def error_reply(line: bytes, request: Request) -> CenoteError | None:
    """Return the error that an error line stands for.

    Args:
        line: A reply line without its end of line.
        request: What it answers, for the message.

    Returns:
        The error, not raised; None if the line is no error line.
    """
    word, _, text = line.partition(b" ")
    verb = request.verb
    if word == b"SERVER_ERROR":
        return _server_error(request, text)
    if word == b"CLIENT_ERROR":
        return ClientError(f"{verb}: the server refused the request: {_printable(text)}")
    if line == b"ERROR":
        return UnknownCommand(f"{verb}: the server does not know this command or its arguments")
    if word in _ADMIN_WORDS:
        return ServerError(f"{verb}: the server answered: {_printable(line)}")
    return None


def is_harmless(line: bytes, *, data_sent: bool) -> bool:
    """Tell whether an error line leaves the conversation in step.

    Args:
        line: The error line without its end of line.
        data_sent: Whether the request carried a data block.
    """
    if line.startswith(b"SERVER_ERROR"):
        return True
    return not data_sent and (line == b"ERROR" or line.startswith(_ONE_LINE))


def _server_error(request: Request, text: bytes) -> ServerError:
    message = f"{request.verb}: the server answered: {_printable(text)}"
    if text.startswith(b"object too large"):
        payload = request.payload
        return too_large(message, request.key, len(payload) - payload.find(b"\r\n") - 4)
    if text.startswith(b"out of memory"):
        return OutOfMemory(f"{message}; raise its memory limit (memcached -m)")
    return ServerError(message)


def _printable(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
