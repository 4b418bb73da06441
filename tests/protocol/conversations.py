"""Strategies for whole conversations: requests, the bytes that answer them, ways to spoil those."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from cenote.errors import CenoteError, ProtocolError
from cenote.protocol.replies import BatchReply

Encode = Callable[[Any], Any]  # takes an implementation, returns its Request

keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).map(
    str.encode
)
looks_like_a_reply = st.sampled_from(
    [b"END\r\n", b"\r\nEND\r\n", b"MN\r\n", b"VALUE k 0 1\r\n", b"\r"]
)
values = st.one_of(st.binary(max_size=60), looks_like_a_reply)
flags = st.sampled_from([0, 1, 16, 2**32 - 1])
u64 = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
words = st.text("abcxyz0189_.", min_size=1, max_size=8)
HARMLESS = [
    b"SERVER_ERROR object too large for cache",
    b"SERVER_ERROR out of memory storing object",
]
harmless = st.sampled_from(HARMLESS).map(lambda line: line + b"\r\n")


def item(key: bytes, value: bytes, bits: int, cas: int | None = None) -> bytes:
    unique = b"" if cas is None else b" %d" % cas
    return b"VALUE %b %d %d%b\r\n%b\r\n" % (key, bits, len(value), unique, value)


@st.composite
def single(draw: st.DrawFn) -> tuple[Encode, bytes]:
    key, with_cas = draw(keys), draw(st.booleans())
    found = draw(st.booleans())
    cas = draw(u64) if with_cas else None
    data = item(key, draw(values), draw(flags), cas) if found else b""
    encode = (lambda p: p.gets(key)) if with_cas else (lambda p: p.get(key))
    return encode, data + b"END\r\n"


@st.composite
def many(draw: st.DrawFn) -> tuple[Encode, bytes]:
    asked = draw(st.lists(keys, min_size=1, max_size=8))
    with_cas = draw(st.booleans())
    found = draw(st.lists(st.sampled_from(asked), max_size=8))
    data = b"".join(
        item(key, draw(values), draw(flags), draw(u64) if with_cas else None) for key in found
    )
    encode = (lambda p: p.gets_many(asked)) if with_cas else (lambda p: p.get_many(asked))
    return encode, data + b"END\r\n"


@st.composite
def in_parts(draw: st.DrawFn) -> tuple[Encode, bytes]:
    """A retrieval of several lines, each answered by items, or by an error."""
    asked = [b"%d" % index + b"k" * 240 for index in range(8)]
    parts = []
    for _ in range(2):
        found = draw(st.lists(st.sampled_from(asked), max_size=2))
        whole = b"".join(item(key, draw(values), 0) for key in found) + b"END\r\n"
        parts.append(draw(st.one_of(st.just(whole), harmless)))
    return (lambda p: p.gat_many(asked, 60)), b"".join(parts)


@st.composite
def one_line(draw: st.DrawFn) -> tuple[Encode, bytes]:
    key = draw(keys)
    choices: list[tuple[Encode, list[bytes]]] = [
        (lambda p: p.store("set", key, b"v", 0, 0), [b"STORED", b"NOT_STORED", *HARMLESS]),
        (
            lambda p: p.cas(key, b"v", 0, 0, 5),
            [b"STORED", b"NOT_STORED", b"EXISTS", b"NOT_FOUND", *HARMLESS],
        ),
        (lambda p: p.delete(key), [b"DELETED", b"NOT_FOUND"]),
        (lambda p: p.touch(key, 5), [b"TOUCHED", b"NOT_FOUND"]),
        (lambda p: p.incr(key, 5), [b"NOT_FOUND", b"0", b"%d" % draw(u64)]),
        (lambda p: p.flush_all(), [b"OK"]),
        (lambda p: p.version(), [b"VERSION 1.6.18", b"ERROR"]),
        (lambda p: p.command("lru mode flat"), [b"OK", b"BADCLASS x", b"ERROR"]),
        (lambda p: p.meta_noop(), [b"MN", b"ERROR"]),
    ]
    encode, lines = draw(st.sampled_from(choices))
    return encode, draw(st.sampled_from(lines)) + b"\r\n"


@st.composite
def text(draw: st.DrawFn) -> tuple[Encode, bytes]:
    lines = draw(st.lists(st.tuples(words, words), max_size=4))
    if draw(st.booleans()):
        dump = "".join(f"key={name} exp={value}\n" for name, value in lines)
        return (lambda p: p.command("dump", multiline=True)), dump.encode() + b"END\r\n"
    stats = "".join(f"STAT {name} {value}\r\n" for name, value in lines)
    return (lambda p: p.stats()), stats.encode() + b"END\r\n"


@st.composite
def configuration(draw: st.DrawFn) -> tuple[Encode, bytes]:
    block = draw(values)
    config = b"CONFIG cluster 0 %d\r\n%b\r\n" % (len(block), block)
    return (lambda p: p.config_get("cluster")), draw(st.sampled_from([config, b""])) + b"END\r\n"


@st.composite
def meta(draw: st.DrawFn) -> tuple[Encode, bytes]:
    key, opaque = draw(keys), draw(st.integers(0, 99))
    echoes = b" O%d k%b" % (opaque, key)
    asked = b"O%d k" % opaque
    value = draw(values)
    hit = b"VA %d f1 t-1%b W\r\n%b\r\n" % (len(value), echoes, value)
    choices: list[tuple[Encode, list[bytes]]] = [
        (lambda p: p.meta_get(key, b"v f t " + asked), [hit, b"EN\r\n", b"EN%b\r\n" % echoes]),
        (lambda p: p.meta_get(key, b"t " + asked), [b"HD t5%b\r\n" % echoes, b"EN\r\n"]),
        (lambda p: p.meta_set(key, value, asked), [b"HD%b\r\n" % echoes, b"NS%b\r\n" % echoes]),
        (lambda p: p.meta_delete(key, asked), [b"HD%b\r\n" % echoes, b"NF%b\r\n" % echoes]),
        (lambda p: p.meta_arithmetic(key, asked + b" v"), [b"VA 1%b\r\n7\r\n" % echoes]),
        (lambda p: p.meta_debug(key), [b"ME %b exp=-1 la=5\r\n" % key, b"EN\r\n"]),
    ]
    encode, replies = draw(st.sampled_from(choices))
    return encode, draw(st.sampled_from(replies))


@st.composite
def batch(draw: st.DrawFn) -> tuple[Encode, bytes]:
    names = draw(st.lists(keys, min_size=1, max_size=5))
    items = [(name, b"v", 0) for name in names]
    if draw(st.booleans()):
        failed = st.integers(0, len(names) - 1).map(lambda index: b"NS O%d\r\n" % index)
        lines = draw(st.lists(st.one_of(failed, harmless), max_size=4))
        return (lambda p: p.set_many(items, 9, meta=True)), b"".join(lines) + b"MN\r\n"
    deleted = st.sampled_from([b"DELETED\r\n", b"NOT_FOUND\r\n"])
    lines = [draw(deleted) for _ in names]
    return (lambda p: p.delete_many(names, meta=False)), b"".join(lines)


exchanges = st.one_of(
    single(), many(), in_parts(), one_line(), text(), configuration(), meta(), batch()
)
conversations = st.lists(exchanges, min_size=1, max_size=6)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[list[Encode], bytes]:
    """A conversation whose replies are changed a little: bytes lost, doubled, altered or moved."""
    conversation = draw(conversations)
    data = bytearray(b"".join(answer for _, answer in conversation))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        other = draw(
            st.one_of(st.just(b""), st.binary(max_size=4), fragments, st.just(data[start:stop] * 2))
        )
        data[start:stop] = other
    return [encode for encode, _ in conversation], bytes(data)


HEADERS = [
    b"VALUE ",
    b"VALUE k 0 1\r\nx\r\n",
    b"CONFIG c 0 2\r\nab\r\n",
    b"VA 1",
    b"HD",
    b"ME k a=",
]
NUMBERS = [b"0", b"1", b"-1", b"99999999999", b"18446744073709551616"]
LINES = [b"END\r\n", b"STORED\r\n", b"MN\r\n", b"EN\r\n", b"NF O0\r\n", b"STAT a b\r\n", b"STAT"]
ERRORS = [b"ERROR\r\n", b"CLIENT_ERROR x\r\n", b"SERVER_ERROR x\r\n"]
CRUMBS = [b"END", b"k", b" ", b"  ", b"\r\n", b"\n", b"\r", b"NS O1", b"x" * 2050, b"\0"]
fragments = st.sampled_from([*HEADERS, *NUMBERS, *LINES, *ERRORS, *CRUMBS])
garbage = st.lists(st.one_of(fragments, st.binary(max_size=6)), max_size=12).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut ``data`` at ``places``, taken modulo its length."""
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(marks)]


def plain(reply: Any) -> Any:
    """A reply as something that compares: errors do not."""
    if isinstance(reply, CenoteError):
        return type(reply), str(reply)
    if isinstance(reply, BatchReply):
        failures = {index: plain(failure) for index, failure in reply.failures.items()}
        return "batch", failures, [plain(error) for error in reply.unplaced]
    return type(reply), reply


def read(codec: Any, encoders: list[Encode], segments: list[bytes]) -> list[Any]:
    """Tell everything a driver could see of a conversation, segment by segment."""
    parser = codec.ReplyParser()
    for encode in encoders:
        parser.expect(encode(codec))
    seen: list[Any] = []
    for segment in segments:
        try:
            seen.append([plain(reply) for reply in parser.feed(segment)])
        except ProtocolError:
            seen.append("broken")
        seen.append((parser.usable, parser.clean, parser.started, parser.pending))
    return seen


def replies_of(seen: list[Any]) -> list[Any]:
    """The replies alone, whatever segments they came in."""
    return [reply for part in seen if isinstance(part, list) for reply in part]
