"""The binary protocol as data: the layout of its frames, and what their numbers stand for.

A frame is a header of 24 bytes and a body: extras, a key and a value, each of a length that the
header tells. A reply repeats the opcode and the opaque of its request: this is what proves whose
it is, and what a request says of itself is read from its own first header. Frames of a batch have
opaques that follow each other, so that the opaque also tells the item; the fence (a noop) has the
last one.

A quiet command is answered only if it brings data or fails.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, Literal

from cenote.errors import (
    AuthenticationFailed,
    CenoteError,
    ClientError,
    OutOfMemory,
    ServerError,
    UnknownCommand,
)
from cenote.protocol.replies import Status
from cenote.protocol.too_large import too_large

if TYPE_CHECKING:
    from cenote.protocol._request import Request

HEADER: Final = Struct(">BBHBBHIIQ")
"""Magic, opcode, length of the key, of the extras, data type (0), status (of a request: 0), length
of the whole body, opaque, cas."""

HEADER_SIZE: Final = HEADER.size
ASKS: Final = 0x80  # the magic of a request
ANSWERS: Final = 0x81  # the magic of a reply

# Opcodes.

SET: Final = 0x01
ADD: Final = 0x02
REPLACE: Final = 0x03
DELETE: Final = 0x04
INCR: Final = 0x05
DECR: Final = 0x06
FLUSH: Final = 0x08
NOOP: Final = 0x0A
VERSION: Final = 0x0B
GETK: Final = 0x0C
GETKQ: Final = 0x0D
APPEND: Final = 0x0E
PREPEND: Final = 0x0F
STAT: Final = 0x10
SETQ: Final = 0x11
DELETEQ: Final = 0x14
TOUCH: Final = 0x1C
SASL_LIST: Final = 0x20
SASL_AUTH: Final = 0x21
SASL_STEP: Final = 0x22
GATK: Final = 0x23
GATKQ: Final = 0x24

STORE_OPCODES: Final = {
    "set": SET,
    "add": ADD,
    "replace": REPLACE,
    "append": APPEND,
    "prepend": PREPEND,
}

QUIET_OPCODES: Final = {
    SET: SETQ,
    ADD: 0x12,
    REPLACE: 0x13,
    DELETE: DELETEQ,
    INCR: 0x15,
    DECR: 0x16,
    APPEND: 0x19,
    PREPEND: 0x1A,
}
"""The quiet forms of the commands that write."""

# Statuses.

SUCCESS: Final = 0x0000
KEY_ENOENT: Final = 0x0001
KEY_EEXISTS: Final = 0x0002
E2BIG: Final = 0x0003
EINVAL: Final = 0x0004
NOT_STORED: Final = 0x0005
DELTA_BADVAL: Final = 0x0006
AUTH_ERROR: Final = 0x0020
AUTH_CONTINUE: Final = 0x0021
UNKNOWN_COMMAND: Final = 0x0081
ENOMEM: Final = 0x0082
NOT_SUPPORTED: Final = 0x0083

SASL_STEPS: Final[dict[int, Literal["done", "more", "refused"]]] = {
    SUCCESS: "done",
    AUTH_CONTINUE: "more",
    AUTH_ERROR: "refused",
}
"""What a status says of a step of the authentication."""

WANTS_CREDENTIALS: Final = (
    "the server wants a user name and a password: give username= and password=, or write "
    "memcached://user:password@host"
)

_NAMES: Final = {
    0x0007: "the vbucket belongs to another server",
    0x0008: "no bucket is chosen",
    0x0084: "internal error",
    0x0085: "busy",
    0x0086: "temporary failure",
}

_WRITTEN: Final = {
    SUCCESS: Status.STORED,
    KEY_ENOENT: Status.NOT_STORED,
    KEY_EEXISTS: Status.NOT_STORED,
    NOT_STORED: Status.NOT_STORED,
}
_COUNTED: Final = {KEY_ENOENT: Status.NOT_FOUND}

OUTCOMES: Final[dict[int, dict[int, Status]]] = {
    **dict.fromkeys(STORE_OPCODES.values(), _WRITTEN),
    DELETE: {SUCCESS: Status.DELETED, KEY_ENOENT: Status.NOT_FOUND},
    INCR: _COUNTED,
    DECR: _COUNTED,
    TOUCH: {SUCCESS: Status.TOUCHED, KEY_ENOENT: Status.NOT_FOUND},
    FLUSH: {SUCCESS: Status.OK},
    NOOP: {SUCCESS: Status.OK},
}
"""What a status says of an item, by opcode, in the words of the text protocols; the rest are
errors."""
OUTCOMES.update({quiet: OUTCOMES[loud] for loud, quiet in QUIET_OPCODES.items()})

CAS_OUTCOMES: Final = {
    SUCCESS: Status.STORED,
    KEY_ENOENT: Status.NOT_FOUND,
    KEY_EEXISTS: Status.EXISTS,
    NOT_STORED: Status.NOT_STORED,
}
"""The same of a set with cas."""


# Errors.


def frame_error(status: int, text: bytes, request: Request) -> CenoteError:
    """Return the error that a status stands for.

    Args:
        status: What a reply says in its header.
        text: What it says in its body.
        request: What it answers, for the message.
    """
    verb = request.verb
    words = text.decode("utf-8", "backslashreplace").rstrip(".")
    said = words[:1].lower() + words[1:] or _NAMES.get(status, "no reason")
    message = f"{verb}: the server answered: {said} (status 0x{status:04x})"
    if status == E2BIG:
        _, _, key_size, extras, _, _, body, *_ = HEADER.unpack_from(request.payload)
        return too_large(message, request.key, body - key_size - extras)
    if status == ENOMEM:
        return OutOfMemory(f"{message}; raise its memory limit (memcached -m)")
    if status == AUTH_ERROR:  # of what is no step of a login
        return AuthenticationFailed(f"{verb}: {WANTS_CREDENTIALS}")
    if status in (UNKNOWN_COMMAND, NOT_SUPPORTED):
        return UnknownCommand(f"{verb}: the server does not know this command: {said}")
    if status in (KEY_ENOENT, KEY_EEXISTS, EINVAL, NOT_STORED, DELTA_BADVAL):
        return ClientError(f"{verb}: the server refused the request: {said}")
    return ServerError(message)


def is_in_step(status: int) -> bool:
    """Tell whether the conversation can go on after an error.

    memcached closes the connection after invalid arguments and after what it asks credentials for,
    and loses count of the bytes of a command that it does not know.
    """
    return status not in (EINVAL, AUTH_ERROR, UNKNOWN_COMMAND, NOT_SUPPORTED)
