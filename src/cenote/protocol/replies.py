"""What a server's replies become: pure values, shared by both implementations of the parser.

Strategy: one Python value for each grammar of reply, as plain as it can be (a tuple, a dict, an
int, an enum member), so that the hot path builds nothing it does not need. An error line becomes an
*instance* of the error it stands for; whoever asked decides whether to raise it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from cenote.errors import CenoteError


class Status(enum.Enum):
    """The one-word outcome of a command that returns no data."""

    STORED = "STORED"
    NOT_STORED = "NOT_STORED"
    EXISTS = "EXISTS"
    NOT_FOUND = "NOT_FOUND"
    DELETED = "DELETED"
    TOUCHED = "TOUCHED"
    OK = "OK"


STORED = Status.STORED
NOT_STORED = Status.NOT_STORED
EXISTS = Status.EXISTS
NOT_FOUND = Status.NOT_FOUND
DELETED = Status.DELETED
TOUCHED = Status.TOUCHED
OK = Status.OK

RawItem: TypeAlias = tuple[bytes, int, int]
"""An item as stored: ``(value, flags, cas)``; cas is 0 when it was not asked for."""


class MetaReply(NamedTuple):
    """The answer to one meta command.

    Attributes:
        status: The two-letter return code: ``HD``, ``VA``, ``EN``, ``NF``, ``NS``, ``EX``, ``ME``
            or ``MN``.
        value: The data block of a ``VA`` reply, else None.
        flags: The returned flags, each letter to its token (``{"c": b"17", "W": b""}``); for ``ME``
            the names and values of the item's metadata.
    """

    status: str
    value: bytes | None
    flags: dict[str, bytes]


class SaslReply(NamedTuple):
    """The answer to one step of an authentication (binary protocol).

    Attributes:
        step: Whether the server is satisfied, asks for more, or has refused.
        data: What the mechanism has to say.
    """

    step: Literal["done", "more", "refused"]
    data: bytes


@dataclass(slots=True)
class BatchReply:
    """The answer to many requests sent as one.

    Attributes:
        failures: What went wrong, by the index of the item in the batch: a status, or the error its
            server line stands for. Items not named succeeded.
        unplaced: Error lines of a quiet run: they tell that an item failed, not which. Sets and
            deletes can be sent again with ``quiet=False`` to learn exactly.
    """

    failures: dict[int, Status | CenoteError] = field(default_factory=dict)
    unplaced: list[CenoteError] = field(default_factory=list)


Reply: TypeAlias = (
    RawItem
    | dict[bytes, RawItem]
    | dict[str, str]
    | Status
    | int
    | str
    | MetaReply
    | SaslReply
    | BatchReply
    | list[str]
    | CenoteError
    | None
)
"""Whatever a request can be answered with; which of them follows from the encoder used."""
