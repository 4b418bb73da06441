"""The grammars of replies, as data: which lines may answer which kind of request, and their limits.

Each request carries the number of one grammar (its ``kind``). Whatever is not in that grammar is a
``ProtocolError``: a line that would be fine as the answer to *another* command is exactly what a
shifted conversation looks like.

The compiled parser keeps the same numbers in ``_speedups.pxd``; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from cenote.protocol.replies import Status

# Kinds. The order matters: ranges of them are compared.

GET: Final = 0  # at most one VALUE without cas, END
GETS: Final = 1  # the same with cas
GET_MANY: Final = 2  # VALUEs without cas, END; `count` times
GETS_MANY: Final = 3  # the same with cas

STORE: Final = 4
CAS: Final = 5
DELETE: Final = 6
TOUCH: Final = 7
OK_LINE: Final = 8
NUMBER: Final = 9  # decimal digits, or NOT_FOUND
VERSION: Final = 10

STATS: Final = 11  # STAT, ITEM or PREFIX lines, END; or one RESET or OK
CONFIG: Final = 12  # at most one CONFIG, END
LINE: Final = 13  # any one line
LINES: Final = 14  # any lines up to END

META_GET: Final = 15
META_VALUE: Final = 16  # a hit brings a data block
META_SET: Final = 17
META_DELETE: Final = 18
META_ARITHMETIC: Final = 19
META_NUMBER: Final = 20  # a success brings a data block
META_DEBUG: Final = 21
META_NOOP: Final = 22

SETS: Final = 23  # `count` lines, one an item
DELETES: Final = 24
QUIET_SETS: Final = 25  # lines that name their item by opaque, MN
QUIET: Final = 26  # the same, of commands without data blocks

# The binary protocol: from FRAMES on, replies are frames instead of lines (see frames.py).

FRAMES: Final = 27
FRAME_GET: Final = 27  # an item, or none
FRAME_GETS: Final = 28  # the same with cas
FRAME_GET_MANY: Final = 29  # the items there are, then the fence
FRAME_GETS_MANY: Final = 30  # the same with cas
FRAME_STATUS: Final = 31  # a status alone
FRAME_CAS: Final = 32  # the same, of a set with cas
FRAME_NUMBER: Final = 33
FRAME_TEXT: Final = 34
FRAME_STATS: Final = 35  # a frame for each, then an empty one
FRAME_QUIET: Final = 36  # failures, then the fence
FRAME_SASL: Final = 37  # a step of the authentication

CARRY_DATA: Final = frozenset({STORE, CAS, META_SET, SETS, QUIET_SETS})
"""Kinds that send a data block, which a server that refuses their line may run as commands."""

STATUSES: Final[dict[int, dict[bytes, Status]]] = {
    STORE: {b"STORED": Status.STORED, b"NOT_STORED": Status.NOT_STORED},
    CAS: {
        b"STORED": Status.STORED,
        b"NOT_STORED": Status.NOT_STORED,
        b"EXISTS": Status.EXISTS,
        b"NOT_FOUND": Status.NOT_FOUND,
    },
    DELETE: {b"DELETED": Status.DELETED, b"NOT_FOUND": Status.NOT_FOUND},
    TOUCH: {b"TOUCHED": Status.TOUCHED, b"NOT_FOUND": Status.NOT_FOUND},
    OK_LINE: {b"OK": Status.OK},
}
"""One-word replies: the lines each kind allows."""

META_CODES: Final[dict[int, frozenset[str]]] = {
    META_GET: frozenset({"HD", "EN"}),
    META_VALUE: frozenset({"VA", "EN"}),
    META_SET: frozenset({"HD", "NS", "EX", "NF"}),
    META_DELETE: frozenset({"HD", "NF", "EX"}),
    META_ARITHMETIC: frozenset({"HD", "NF", "NS", "EX"}),
    META_NUMBER: frozenset({"VA", "NF", "NS", "EX"}),
    META_NOOP: frozenset({"MN"}),
}
"""Return codes: those each kind of meta command allows."""

BATCH_STATUSES: Final[dict[str, Status]] = {
    "NS": Status.NOT_STORED,
    "EX": Status.EXISTS,
    "NF": Status.NOT_FOUND,
}
"""What a return code inside a quiet run says of its item."""

ECHO_KEY: Final = 1  # Request.echo: the reply must repeat the key
ECHO_BASE64: Final = 2  # Request.echo: the key was sent as base64

# Limits.

MAX_LINE: Final = 2048  # bytes of a header line with its CRLF: a key, numbers, flags
MAX_TEXT_LINE: Final = 65536  # bytes of a line of text: stats, versions, admin commands
TEXT_KINDS: Final = frozenset({VERSION, STATS, LINE, LINES})

MAX_VALUE: Final = 1 << 30  # bytes of a data block, unless the parser is told otherwise
MAX_U64: Final = (1 << 64) - 1

GET_LINE: Final = 8192  # bytes of a multi-key get line: well within every server's read buffer
GAT_LINE: Final = 1000  # bytes of any other line: old servers close at 1,024 without an end of line
