"""A request ready to be sent, and what its parts must look like (pure twin)."""

from __future__ import annotations

import re
from typing import Final

from cenote.errors import InvalidArgument
from cenote.protocol.grammar import ECHO_BASE64, ECHO_KEY, GET, STORE


class Request:
    """The bytes of a request and what its reply must look like. Never changed once made.

    Attributes:
        payload: The bytes to send.
        kind: The grammar of the reply (see ``cenote.protocol.grammar``).
        key: The one key it is about, else None.
        keys: The keys of a multi-key retrieval, else None.
        count: How many replies, or items, make up the answer.
        idempotent: Whether sending it twice does no more than sending it once.
        verb: The command's name, for error messages.
        opaque: The token that the reply must repeat, else None.
        echo: Bits: whether the reply must repeat the key, whether the key is base64.
    """

    __slots__ = ("count", "echo", "idempotent", "key", "keys", "kind", "opaque", "payload", "verb")

    def __init__(  # noqa: PLR0917 -- one for each slot: keywords cost the hot path
        self,
        payload: bytes,
        kind: int,
        key: bytes | None = None,
        keys: tuple[bytes, ...] | None = None,
        count: int = 1,
        idempotent: bool = True,
        verb: str = "",
        opaque: bytes | None = None,
        echo: int = 0,
    ) -> None:
        self.payload = payload
        self.kind = kind
        self.key = key
        self.keys = keys
        self.count = count
        self.idempotent = idempotent
        self.verb = verb
        self.opaque = opaque
        self.echo = echo

    def __repr__(self) -> str:
        return f"<Request {self.verb} {len(self.payload)} bytes>"


# What services live on: the class says what is alike in all of them, to be stored in none.


class GetRequest(Request):
    """``get`` of one key."""

    __slots__ = ()

    kind = GET
    keys = None
    count = 1
    idempotent = True
    verb = "get"
    opaque = None
    echo = 0

    def __init__(self, key: bytes) -> None:
        self.payload = b"get %b\r\n" % key
        self.key = key


class StoreRequest(Request):
    """A storage command."""

    __slots__ = ()

    kind = STORE
    keys = None
    count = 1
    opaque = None
    echo = 0

    def __init__(self, payload: bytes, key: bytes, verb: str) -> None:
        self.payload = payload
        self.key = key
        self.idempotent = verb == "set"
        self.verb = verb


# Numbers. A shift of anything but an int is a TypeError, and leaves 0 exactly when it is in range.


def check_flags(flags: int) -> None:
    """Refuse flags that are not an unsigned 32-bit number."""
    if flags >> 32:
        raise InvalidArgument(f"flags must be between 0 and 2**32 - 1, not {flags}")


def check_exptime(exptime: int) -> None:
    """Refuse an expiry that is not a signed 32-bit number."""
    if exptime >> 31 not in (0, -1):
        raise InvalidArgument(f"exptime must fit in 32 bits, not {exptime}")


def check_u64(name: str, number: int) -> None:
    """Refuse a delta or token that is not an unsigned 64-bit number."""
    if number >> 64:
        raise InvalidArgument(f"{name} must be between 0 and 2**64 - 1, not {number}")


# Flags of meta requests.

_FLAGS: Final = re.compile(rb"[!-~][^\x00-\x20\x7f]*(?: [!-~][^\x00-\x20\x7f]*)*")


def read_flags(flags: bytes) -> dict[bytes, bytes]:
    """Check and read the flags of a meta request, such as ``b"v f c t N30"``.

    Returns:
        Each flag's letter with its token.

    Raises:
        InvalidArgument: They are not set apart by single spaces, or ask for quiet mode, whose
            silence only ``quiet`` knows how to close.
    """
    if not flags:
        return {}
    if not _FLAGS.fullmatch(flags):
        raise InvalidArgument(f"meta flags must be set apart by single spaces, not {flags!r}")
    asked = {token[:1]: token[1:] for token in flags.split(b" ")}
    if b"q" in asked:
        raise InvalidArgument("a quiet request is never answered: use quiet() on it instead of q")
    return asked


def echo_asked(asked: dict[bytes, bytes]) -> int:
    """Return the ``ECHO_`` bits of a meta request with these flags."""
    return (ECHO_KEY if b"k" in asked else 0) | (ECHO_BASE64 if b"b" in asked else 0)
