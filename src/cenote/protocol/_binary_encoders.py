"""Encoders of the binary protocol: arguments to a ``Request`` (pure twin).

Strategy: the same names and arguments as the encoders of the text protocols, so that whoever asks
need not know which of them a server speaks. What has no counterpart there (meta commands) is not
here. A single retrieval is a GETK, whose reply repeats the key; a batch is a run of quiet commands
closed by a noop.
"""

from __future__ import annotations

from itertools import count
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from cenote.errors import InvalidArgument
from cenote.protocol import frames as f
from cenote.protocol import grammar as g
from cenote.protocol._request import Request, check_exptime, check_flags, check_u64

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STRIDE: Final = 0x9E3779B1
"""Odd, and far from any simple fraction of 2**32: multiples of it lie far apart, so that there is
room behind each opaque for the frames of a batch."""

_MASK: Final = 0xFFFFFFFF
_LONGEST: Final = 0xFFFF  # bytes of a key: its length has two
_PAST: Final = 30 * 24 * 60 * 60 + 1  # a moment in 1970
_NO_CREATION: Final = 0xFFFFFFFF
_NEVER_ISSUED: Final = (1 << 64) - 1

_numbers = count(SystemRandom().getrandbits(31) * 2 + 1, 2)  # the compiled twin has the even ones


def _opaque() -> int:
    """Return the opaque of the next request: no two requests that may be under way share one."""
    return next(_numbers) * _STRIDE & _MASK


def _frame(
    opcode: int,
    opaque: int,
    key: bytes = b"",
    extras: bytes = b"",
    value: bytes = b"",
    cas: int = 0,
) -> bytes:
    if len(key) > _LONGEST:
        raise InvalidArgument("a key must be shorter than 64 KB")
    size = len(extras) + len(key) + len(value)
    header = f.HEADER.pack(f.ASKS, opcode, len(key), len(extras), 0, 0, size, opaque & _MASK, cas)
    return b"%b%b%b%b" % (header, extras, key, value)


def _expiry(exptime: int) -> bytes:
    """Return an expiry as the binary protocol has it: unsigned, so what has passed is a moment."""
    check_exptime(exptime)
    return (exptime if exptime >= 0 else _PAST).to_bytes(4)


# Retrieval.


def get(key: bytes) -> Request:
    """Ask for one item: ``RawItem | None``."""
    return Request(_frame(f.GETK, _opaque(), key), g.FRAME_GET, key, None, 1, True, "get")


def gets(key: bytes) -> Request:
    """Ask for one item with its cas: ``RawItem | None``."""
    return Request(_frame(f.GETK, _opaque(), key), g.FRAME_GETS, key, None, 1, True, "gets")


def gat(key: bytes, exptime: int) -> Request:
    """Ask for one item and give it a new expiry: ``RawItem | None``."""
    payload = _frame(f.GATK, _opaque(), key, _expiry(exptime))
    return Request(payload, g.FRAME_GET, key, None, 1, True, "gat")


def gats(key: bytes, exptime: int) -> Request:
    """Ask for one item with its cas and give it a new expiry: ``RawItem | None``."""
    payload = _frame(f.GATK, _opaque(), key, _expiry(exptime))
    return Request(payload, g.FRAME_GETS, key, None, 1, True, "gats")


def get_many(keys: Iterable[bytes]) -> Request:
    """Ask for several items: ``dict[bytes, RawItem]`` of those that exist."""
    return _retrieve_many("get", f.GETKQ, keys, b"", g.FRAME_GET_MANY)


def gets_many(keys: Iterable[bytes]) -> Request:
    """Ask for several items with their cas: ``dict[bytes, RawItem]`` of those that exist."""
    return _retrieve_many("gets", f.GETKQ, keys, b"", g.FRAME_GETS_MANY)


def gat_many(keys: Iterable[bytes], exptime: int) -> Request:
    """Ask for several items and give them a new expiry: ``dict[bytes, RawItem]``."""
    return _retrieve_many("gat", f.GATKQ, keys, _expiry(exptime), g.FRAME_GET_MANY)


def gats_many(keys: Iterable[bytes], exptime: int) -> Request:
    """Ask for several items with their cas and give them a new expiry: ``dict[bytes, RawItem]``."""
    return _retrieve_many("gats", f.GATKQ, keys, _expiry(exptime), g.FRAME_GETS_MANY)


def _retrieve_many(
    verb: str, opcode: int, keys: Iterable[bytes], extras: bytes, kind: int
) -> Request:
    keys = tuple(keys)
    if not keys:
        raise InvalidArgument(f"{verb}: no keys to ask for")
    opaque = _opaque()
    run = [_frame(opcode, opaque + index, key, extras) for index, key in enumerate(keys)]
    return Request(_fenced(run, opaque), kind, None, keys, len(keys), True, verb)


def _fenced(run: list[bytes], opaque: int) -> bytes:
    """Close a run of quiet frames, whose opaques follow each other, by a noop."""
    run.append(_frame(f.NOOP, opaque + len(run)))
    return b"".join(run)


# Storage.


def store(verb: str, key: bytes, value: bytes, flags: int, exptime: int) -> Request:
    """Store an item by ``set``, ``add``, ``replace``, ``append`` or ``prepend``: ``Status``."""
    opcode = f.STORE_OPCODES.get(verb)
    if opcode is None:
        raise InvalidArgument(
            f"no storage command {verb!r}; there are {', '.join(f.STORE_OPCODES)}"
        )
    extras = _item_extras(flags, exptime)
    if opcode in (f.APPEND, f.PREPEND):  # they keep the item's own
        extras = b""
    payload = _frame(opcode, _opaque(), key, extras, value)
    return Request(payload, g.FRAME_STATUS, key, None, 1, verb == "set", verb)


def cas(key: bytes, value: bytes, flags: int, exptime: int, token: int) -> Request:
    """Store an item if its cas is still ``token``: ``Status``.

    The token 0, which would mean "whatever it is", is sent as one that no item has.
    """
    check_u64("token", token)
    extras = _item_extras(flags, exptime)
    payload = _frame(f.SET, _opaque(), key, extras, value, token or _NEVER_ISSUED)
    return Request(payload, g.FRAME_CAS, key, None, 1, False, "cas")


def _item_extras(flags: int, exptime: int) -> bytes:
    check_flags(flags)
    return flags.to_bytes(4) + _expiry(exptime)


# Other commands about one key.


def delete(key: bytes) -> Request:
    """Delete an item: ``DELETED`` or ``NOT_FOUND``."""
    return Request(_frame(f.DELETE, _opaque(), key), g.FRAME_STATUS, key, None, 1, True, "delete")


def touch(key: bytes, exptime: int) -> Request:
    """Give an item a new expiry: ``TOUCHED`` or ``NOT_FOUND``."""
    payload = _frame(f.TOUCH, _opaque(), key, _expiry(exptime))
    return Request(payload, g.FRAME_STATUS, key, None, 1, True, "touch")


def incr(key: bytes, delta: int, initial: int | None = None, exptime: int = 0) -> Request:
    """Add to a number: its new value, or None if there is no such item.

    Args:
        key: The key.
        delta: How much.
        initial: What to store if there is no such item, with the flags 0; None to leave it so.
        exptime: The expiry of what is stored then.
    """
    return _count("incr", f.INCR, key, delta, initial, exptime)


def decr(key: bytes, delta: int, initial: int | None = None, exptime: int = 0) -> Request:
    """Subtract from a number, down to 0; otherwise as ``incr``."""
    return _count("decr", f.DECR, key, delta, initial, exptime)


def _count(
    verb: str, opcode: int, key: bytes, delta: int, initial: int | None, exptime: int
) -> Request:
    check_u64("delta", delta)
    check_u64("initial", initial or 0)
    expiry = _NO_CREATION.to_bytes(4) if initial is None else _expiry(exptime)
    extras = delta.to_bytes(8) + (initial or 0).to_bytes(8) + expiry
    payload = _frame(opcode, _opaque(), key, extras)
    return Request(payload, g.FRAME_NUMBER, key, None, 1, False, verb)


# Commands about the server.


def flush_all(delay: int = 0) -> Request:
    """Forget every item, now or ``delay`` seconds from now: ``OK``."""
    if delay < 0:
        raise InvalidArgument(f"delay must be 0 or more seconds, not {delay}")
    extras = _expiry(delay) if delay else b""
    return Request(_frame(f.FLUSH, _opaque(), b"", extras), g.FRAME_STATUS, verb="flush_all")


def version() -> Request:
    """Ask for the server's version: ``str``."""
    return Request(_frame(f.VERSION, _opaque()), g.FRAME_TEXT, verb="version")


def noop() -> Request:
    """Make a round trip: ``OK``."""
    return Request(_frame(f.NOOP, _opaque()), g.FRAME_STATUS, verb="noop")


def stats(*args: str) -> Request:
    """Ask for statistics: ``dict[str, str]``, empty for ``reset`` and the like."""
    line = " ".join(args)
    if args and (not line.isprintable() or not line.isascii() or not line.strip()):
        raise InvalidArgument(f"statistics are asked for in printable ASCII, not {line!r}")
    return Request(_frame(f.STAT, _opaque(), line.encode("ascii")), g.FRAME_STATS, verb="stats")


# Authentication.


def sasl_mechanisms() -> Request:
    """Ask which SASL mechanisms there are: ``str``, their names between spaces."""
    return Request(_frame(f.SASL_LIST, _opaque()), g.FRAME_TEXT, verb="sasl_mechanisms")


def sasl_auth(mechanism: str, data: bytes) -> Request:
    """Begin to authenticate: ``SaslReply``."""
    payload = _frame(f.SASL_AUTH, _opaque(), mechanism.encode("ascii"), b"", data)
    return Request(payload, g.FRAME_SASL, idempotent=False, verb="sasl_auth")


def sasl_step(mechanism: str, data: bytes) -> Request:
    """Go on with it: ``SaslReply``."""
    payload = _frame(f.SASL_STEP, _opaque(), mechanism.encode("ascii"), b"", data)
    return Request(payload, g.FRAME_SASL, idempotent=False, verb="sasl_step")


# Batches.


def set_many(
    items: Sequence[tuple[bytes, bytes, int]],
    exptime: int,
    *,
    meta: bool = False,  # noqa: ARG001 -- the signature that the text protocols have
    quiet: bool = True,  # noqa: ARG001 -- the same
) -> Request:
    """Store several items ``(key, value, flags)``: ``BatchReply``.

    Args:
        items: What to store.
        exptime: Their expiry.
        meta: As in the text protocols. A quiet failure always tells its item here, so that neither
            this nor the next makes a difference.
        quiet: See ``meta``.
    """
    expiry = _expiry(exptime)
    if not items:
        raise InvalidArgument("set: no items to store")
    opaque = _opaque()
    run = []
    for index, (key, value, flags) in enumerate(items):
        check_flags(flags)
        run.append(_frame(f.SETQ, opaque + index, key, flags.to_bytes(4) + expiry, value))
    return Request(_fenced(run, opaque), g.FRAME_QUIET, None, None, len(items), True, "set")


def delete_many(
    keys: Sequence[bytes],
    *,
    meta: bool = False,  # noqa: ARG001 -- as for set_many
    quiet: bool = True,  # noqa: ARG001 -- the same
) -> Request:
    """Delete several items: ``BatchReply``, in which ``NOT_FOUND`` is a failure.

    Args:
        keys: What to delete.
        meta: As for ``set_many``.
        quiet: As for ``set_many``.
    """
    if not keys:
        raise InvalidArgument("delete: no keys to delete")
    opaque = _opaque()
    run = [_frame(f.DELETEQ, opaque + index, key) for index, key in enumerate(keys)]
    return Request(_fenced(run, opaque), g.FRAME_QUIET, None, None, len(keys), True, "delete")


def quiet(request: Request) -> Request:
    """Make a request that writes quiet, and close it by a fence: ``BatchReply``.

    Args:
        request: What ``store``, ``delete``, ``incr`` or ``decr`` made.

    Raises:
        InvalidArgument: Another kind of request.
    """
    payload = request.payload
    opcode = f.QUIET_OPCODES.get(payload[1])
    if opcode is None or request.kind not in _CAN_BE_QUIET:
        raise InvalidArgument(f"{request.verb}: there is no quiet form of it")
    frame = b"%b%c%b" % (payload[:1], opcode, payload[2:])
    fenced = _fenced([frame], int.from_bytes(payload[12:16]))
    return Request(fenced, g.FRAME_QUIET, request.key, None, 1, request.idempotent, request.verb)


_CAN_BE_QUIET: Final = frozenset({g.FRAME_STATUS, g.FRAME_NUMBER})
