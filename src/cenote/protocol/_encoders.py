"""Encoders: arguments to a ``Request`` (pure twin).

Strategy: each request's bytes are built by one formatting or one join. Keys are final wire keys
that the caller has checked; numbers and meta flags are checked here, so that no argument can end a
line early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.errors import InvalidArgument
from cenote.protocol import grammar as g
from cenote.protocol._request import (
    GetRequest,
    Request,
    StoreRequest,
    check_exptime,
    check_flags,
    check_u64,
    echo_asked,
    read_flags,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STORE_VERBS: Final = {
    "set": b"set",
    "add": b"add",
    "replace": b"replace",
    "append": b"append",
    "prepend": b"prepend",
}

# Retrieval.


def get(key: bytes) -> Request:
    """Ask for one item: ``RawItem | None``."""
    return GetRequest(key)


def gets(key: bytes) -> Request:
    """Ask for one item with its cas: ``RawItem | None``."""
    return Request(b"gets %b\r\n" % key, g.GETS, key, None, 1, True, "gets")


def gat(key: bytes, exptime: int) -> Request:
    """Ask for one item and give it a new expiry: ``RawItem | None``."""
    check_exptime(exptime)
    return Request(b"gat %d %b\r\n" % (exptime, key), g.GET, key, None, 1, True, "gat")


def gats(key: bytes, exptime: int) -> Request:
    """Ask for one item with its cas and give it a new expiry: ``RawItem | None``."""
    check_exptime(exptime)
    return Request(b"gats %d %b\r\n" % (exptime, key), g.GETS, key, None, 1, True, "gats")


def get_many(keys: Iterable[bytes]) -> Request:
    """Ask for several items: ``dict[bytes, RawItem]`` of those that exist."""
    return _retrieve_many("get", b"get", keys, g.GET_MANY, g.GET_LINE)


def gets_many(keys: Iterable[bytes]) -> Request:
    """Ask for several items with their cas: ``dict[bytes, RawItem]`` of those that exist."""
    return _retrieve_many("gets", b"gets", keys, g.GETS_MANY, g.GET_LINE)


def gat_many(keys: Iterable[bytes], exptime: int) -> Request:
    """Ask for several items and give them a new expiry: ``dict[bytes, RawItem]``."""
    check_exptime(exptime)
    return _retrieve_many("gat", b"gat %d" % exptime, keys, g.GET_MANY, g.GAT_LINE)


def gats_many(keys: Iterable[bytes], exptime: int) -> Request:
    """Ask for several items with their cas and give them a new expiry: ``dict[bytes, RawItem]``."""
    check_exptime(exptime)
    return _retrieve_many("gats", b"gats %d" % exptime, keys, g.GETS_MANY, g.GAT_LINE)


def _retrieve_many(
    verb: str, command: bytes, keys: Iterable[bytes], kind: int, limit: int
) -> Request:
    keys = tuple(keys)
    if not keys:
        raise InvalidArgument(f"{verb}: no keys to ask for")
    line = b"%b %b\r\n" % (command, b" ".join(keys))
    if len(line) <= limit:
        return Request(line, kind, None, keys, 1, True, verb)
    lines = _lines_of_keys(command, keys, limit)
    return Request(b"".join(lines), kind, None, keys, len(lines), True, verb)


def _lines_of_keys(command: bytes, keys: tuple[bytes, ...], limit: int) -> list[bytes]:
    lines: list[bytes] = []
    start, size = 0, len(command) + 2
    for index, key in enumerate(keys):
        if size + 1 + len(key) > limit and index > start:
            lines.append(b"%b %b\r\n" % (command, b" ".join(keys[start:index])))
            start, size = index, len(command) + 2
        size += 1 + len(key)
    lines.append(b"%b %b\r\n" % (command, b" ".join(keys[start:])))
    return lines


# Storage.


def store(verb: str, key: bytes, value: bytes, flags: int, exptime: int) -> Request:
    """Store an item by ``set``, ``add``, ``replace``, ``append`` or ``prepend``: ``Status``."""
    command = STORE_VERBS.get(verb)
    if command is None:
        raise InvalidArgument(f"no storage command {verb!r}; there are {', '.join(STORE_VERBS)}")
    if flags >> 32 or exptime >> 31:  # out of range, or the expiry is negative
        check_flags(flags)
        check_exptime(exptime)
    line = b"%b %b %d %d %d\r\n%b\r\n" % (command, key, flags, exptime, len(value), value)
    return StoreRequest(line, key, verb)


def cas(key: bytes, value: bytes, flags: int, exptime: int, token: int) -> Request:
    """Store an item if its cas is still ``token``: ``Status``."""
    check_flags(flags)
    check_exptime(exptime)
    check_u64("token", token)
    return Request(
        b"cas %b %d %d %d %d\r\n%b\r\n" % (key, flags, exptime, len(value), token, value),
        g.CAS,
        key,
        None,
        1,
        False,
        "cas",
    )


# Other commands about one key.


def delete(key: bytes) -> Request:
    """Delete an item: ``DELETED`` or ``NOT_FOUND``."""
    return Request(b"delete %b\r\n" % key, g.DELETE, key, None, 1, True, "delete")


def touch(key: bytes, exptime: int) -> Request:
    """Give an item a new expiry: ``TOUCHED`` or ``NOT_FOUND``."""
    check_exptime(exptime)
    return Request(b"touch %b %d\r\n" % (key, exptime), g.TOUCH, key, None, 1, True, "touch")


def incr(key: bytes, delta: int) -> Request:
    """Add to a number: its new value, or None if there is no such item."""
    check_u64("delta", delta)
    return Request(b"incr %b %d\r\n" % (key, delta), g.NUMBER, key, None, 1, False, "incr")


def decr(key: bytes, delta: int) -> Request:
    """Subtract from a number, down to 0: its new value, or None if there is no such item."""
    check_u64("delta", delta)
    return Request(b"decr %b %d\r\n" % (key, delta), g.NUMBER, key, None, 1, False, "decr")


# Commands about the server.


def flush_all(delay: int = 0) -> Request:
    """Forget every item, now or ``delay`` seconds from now: ``OK``."""
    if delay < 0:
        raise InvalidArgument(f"delay must be 0 or more seconds, not {delay}")
    check_exptime(delay)
    line = b"flush_all %d\r\n" % delay if delay else b"flush_all\r\n"
    return Request(line, g.OK_LINE, verb="flush_all")


def version() -> Request:
    """Ask for the server's version: ``str``."""
    return Request(b"version\r\n", g.VERSION, verb="version")


def stats(*args: str) -> Request:
    """Ask for statistics: ``dict[str, str]``, empty for ``reset`` and the like."""
    line = " ".join(("stats", *args))
    return Request(_text_line(line), g.STATS, verb="stats")


def verbosity(level: int) -> Request:
    """Set how much the server logs: ``OK``."""
    check_flags(level)
    return Request(b"verbosity %d\r\n" % level, g.OK_LINE, verb="verbosity")


def cache_memlimit(megabytes: int) -> Request:
    """Set how much memory the server may use: ``OK``."""
    check_flags(megabytes)
    return Request(b"cache_memlimit %d\r\n" % megabytes, g.OK_LINE, verb="cache_memlimit")


def config_get(name: str) -> Request:
    """Ask for a configuration kept by the service (``cluster``): ``str | None``."""
    return Request(_text_line(f"config get {name}"), g.CONFIG, verb="config get")


def command(line: str, *, multiline: bool = False) -> Request:
    """Send any other command, such as ``lru_crawler crawl all``: ``list[str]``, its lines.

    Args:
        line: The command line, without its end.
        multiline: Whether the reply ends with ``END``; otherwise it is one line.
    """
    kind = g.LINES if multiline else g.LINE
    return Request(_text_line(line), kind, idempotent=False, verb=line.partition(" ")[0])


def _text_line(line: str) -> bytes:
    if not line.isprintable() or not line.isascii() or not line.strip():
        raise InvalidArgument(f"a command must be one line of printable ASCII, not {line!r}")
    return line.encode("ascii") + b"\r\n"


# Meta commands.


def meta_get(key: bytes, flags: bytes = b"") -> Request:
    """Send ``mg``: ``MetaReply`` with ``VA``, ``HD`` or ``EN``."""
    asked = read_flags(flags)
    kind = g.META_VALUE if b"v" in asked else g.META_GET
    idempotent = b"N" not in asked and b"R" not in asked
    return _meta_line(b"mg", key, flags, asked, kind, idempotent)


def meta_set(key: bytes, value: bytes, flags: bytes = b"") -> Request:
    """Send ``ms``: ``MetaReply`` with ``HD``, ``NS``, ``EX`` or ``NF``."""
    asked = read_flags(flags)
    idempotent = asked.get(b"M", b"") in _PLAIN_SET and not _is_conditional(asked)
    space = b" " if flags else b""
    payload = b"ms %b %d%b%b\r\n%b\r\n" % (key, len(value), space, flags, value)
    opaque, echo = asked.get(b"O"), echo_asked(asked)
    return Request(payload, g.META_SET, key, None, 1, idempotent, "ms", opaque, echo)


def meta_delete(key: bytes, flags: bytes = b"") -> Request:
    """Send ``md``: ``MetaReply`` with ``HD``, ``NF`` or ``EX``."""
    asked = read_flags(flags)
    return _meta_line(b"md", key, flags, asked, g.META_DELETE, not _is_conditional(asked))


def meta_arithmetic(key: bytes, flags: bytes = b"") -> Request:
    """Send ``ma``: ``MetaReply`` with ``VA``, ``HD``, ``NF``, ``NS`` or ``EX``."""
    asked = read_flags(flags)
    kind = g.META_NUMBER if b"v" in asked else g.META_ARITHMETIC
    return _meta_line(b"ma", key, flags, asked, kind, False)


def meta_debug(key: bytes) -> Request:
    """Send ``me``: ``MetaReply`` with ``ME`` or ``EN``."""
    return Request(b"me %b\r\n" % key, g.META_DEBUG, key, verb="me")


def meta_noop() -> Request:
    """Send ``mn``: ``MetaReply`` with ``MN``."""
    return Request(b"mn\r\n", g.META_NOOP, verb="mn")


def _meta_line(
    command: bytes,
    key: bytes,
    flags: bytes,
    asked: dict[bytes, bytes],
    kind: int,
    idempotent: bool,
) -> Request:
    line = b"%b %b %b\r\n" % (command, key, flags) if flags else b"%b %b\r\n" % (command, key)
    opaque, echo = asked.get(b"O"), echo_asked(asked)
    return Request(line, kind, key, None, 1, idempotent, command.decode(), opaque, echo)


_PLAIN_SET: Final = frozenset({b"", b"S", b"s", b"set"})


def _is_conditional(asked: dict[bytes, bytes]) -> bool:
    """Tell whether the outcome depends on the item's cas, or changes it for those who wait."""
    return b"C" in asked or b"I" in asked


# Batches.


def set_many(
    items: Sequence[tuple[bytes, bytes, int]], exptime: int, *, meta: bool, quiet: bool = True
) -> Request:
    """Store several items ``(key, value, flags)``: ``BatchReply``.

    Args:
        items: What to store.
        exptime: Their expiry.
        meta: Whether the server knows meta commands.
        quiet: Let only failures be answered (meta only): much cheaper, but error lines then do not
            tell their item. Plain sets are answered one by one.
    """
    check_exptime(exptime)
    if not items:
        raise InvalidArgument("set: no items to store")
    if meta and quiet:
        return Request(
            _quiet_sets(items, exptime), g.QUIET_SETS, None, None, len(items), True, "ms"
        )
    return Request(_plain_sets(items, exptime), g.SETS, None, None, len(items), True, "set")


def _quiet_sets(items: Sequence[tuple[bytes, bytes, int]], exptime: int) -> bytes:
    expiry = b" T%d" % exptime if exptime else b""
    pieces: list[bytes] = []
    tails: dict[int, bytes] = {}
    for index, (key, value, flags) in enumerate(items):
        tail = tails.get(flags)
        if tail is None:
            check_flags(flags)
            tails[flags] = tail = (b" F%d" % flags if flags else b"") + expiry + b" q O"
        pieces.append(b"ms %b %d%b%d\r\n" % (key, len(value), tail, index))
        pieces.append(value)
        pieces.append(b"\r\n")
    pieces.append(b"mn\r\n")
    return b"".join(pieces)


def _plain_sets(items: Sequence[tuple[bytes, bytes, int]], exptime: int) -> bytes:
    pieces: list[bytes] = []
    for key, value, flags in items:
        check_flags(flags)
        pieces.append(b"set %b %d %d %d\r\n" % (key, flags, exptime, len(value)))
        pieces.append(value)
        pieces.append(b"\r\n")
    return b"".join(pieces)


def delete_many(keys: Sequence[bytes], *, meta: bool, quiet: bool = True) -> Request:
    """Delete several items: ``BatchReply``, in which ``NOT_FOUND`` is a failure.

    Args:
        keys: What to delete.
        meta: Whether the server knows meta commands.
        quiet: Let only failures be answered (meta only).
    """
    if not keys:
        raise InvalidArgument("delete: no keys to delete")
    if meta and quiet:
        lines = [b"md %b q O%d\r\n" % (key, index) for index, key in enumerate(keys)]
        lines.append(b"mn\r\n")
        return Request(b"".join(lines), g.QUIET, None, None, len(keys), True, "md")
    payload = b"".join([b"delete %b\r\n" % key for key in keys])
    return Request(payload, g.DELETES, None, None, len(keys), True, "delete")


def quiet(request: Request) -> Request:
    """Make a meta set, delete or arithmetic request quiet, and close it by a fence: ``BatchReply``.

    Args:
        request: What ``meta_set``, ``meta_delete`` or ``meta_arithmetic`` made, without ``O``.

    Raises:
        InvalidArgument: Another kind of request, or one with an opaque of its own.
    """
    kind = _QUIET_KINDS.get(request.kind)
    if kind is None or request.opaque is not None:
        raise InvalidArgument(f"{request.verb}: only ms, md and ma without O can be made quiet")
    line, _, block = request.payload.partition(b"\r\n")
    payload = b"%b q O0\r\n%bmn\r\n" % (line, block)
    return Request(payload, kind, request.key, None, 1, request.idempotent, request.verb)


_QUIET_KINDS: Final = {
    g.META_SET: g.QUIET_SETS,
    g.META_DELETE: g.QUIET,
    g.META_ARITHMETIC: g.QUIET,
}
