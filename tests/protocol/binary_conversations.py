"""Strategies for conversations in the binary protocol, as ``conversations`` has for the others.

Requests have the opaques that the encoders give them; a reply must repeat them, so that here they
are *pinned*: replaced by known ones.
"""

from __future__ import annotations

from struct import Struct
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from cenote.protocol import _binary_encoders, _native, binary, frames
from tests.protocol.conversations import Encode, flags, keys, u64, values, words

HEADER = Struct(">BBHBBHIIQ")
PREFIX = "binary_"


def encoders_of(codec: Any) -> Any:
    """The encoders of the binary protocol of one implementation."""
    if codec is _native:
        return _binary_encoders
    return SimpleNamespace(**{name: getattr(codec, PREFIX + name) for name in binary.__all__})


def frame(
    opcode: int,
    opaque: int = 0,
    status: int = 0,
    key: bytes = b"",
    extras: bytes = b"",
    value: bytes = b"",
    cas: int = 0,
    magic: int = 0x81,
) -> bytes:
    """A reply of one frame."""
    size = len(extras) + len(key) + len(value)
    opaque &= 0xFFFFFFFF
    header = HEADER.pack(magic, opcode, len(key), len(extras), 0, status, size, opaque, cas)
    return header + extras + key + value


def split(payload: bytes) -> list[tuple[int, int, bytes, bytes, bytes, int]]:
    """Read requests: opcode, opaque, extras, key, value and cas of each frame."""
    found = []
    while payload:
        magic, opcode, key, extras, kind, vbucket, size, opaque, cas = HEADER.unpack(payload[:24])
        assert (magic, kind, vbucket) == (0x80, 0, 0)
        body, payload = payload[24 : 24 + size], payload[24 + size :]
        assert len(body) == size
        found.append(
            (opcode, opaque, body[:extras], body[extras : extras + key], body[extras + key :], cas)
        )
    return found


def pinned(codec: Any, request: Any, base: int) -> Any:
    """The same request with the opaques ``base``, ``base + 1``..."""
    payload = b"".join(
        frame(opcode, base + index, 0, key, extras, value, cas, 0x80)
        for index, (opcode, _, extras, key, value, cas) in enumerate(split(request.payload))
    )
    return codec.Request(
        payload,
        request.kind,
        request.key,
        request.keys,
        request.count,
        request.idempotent,
        request.verb,
    )


bases = st.sampled_from([0, 7, 2**31, 2**32 - 2])
errors = st.sampled_from([0x03, 0x82, 0x84, 0x85, 0x86, 0x07, 0x7777])  # after which it goes on


def of(make: Any, base: int) -> Encode:
    return lambda codec: pinned(codec, make(encoders_of(codec)), base)


@st.composite
def single(draw: st.DrawFn) -> tuple[Encode, bytes]:
    key, base, with_cas, touches = draw(keys), draw(bases), draw(st.booleans()), draw(st.booleans())
    opcode = frames.GATK if touches else frames.GETK
    hit = frame(opcode, base, 0, key, draw(flags).to_bytes(4), draw(values), draw(u64))
    miss = frame(opcode, base, 1, draw(st.sampled_from([key, b""])))
    error = frame(opcode, base, draw(errors), value=b"busy")
    if touches:
        encode = (lambda p: p.gats(key, 5)) if with_cas else (lambda p: p.gat(key, 5))
    else:
        encode = (lambda p: p.gets(key)) if with_cas else (lambda p: p.get(key))
    return of(encode, base), draw(st.sampled_from([hit, hit, miss, error]))


@st.composite
def many(draw: st.DrawFn) -> tuple[Encode, bytes]:
    asked = draw(st.lists(keys, min_size=1, max_size=8))
    base, with_cas = draw(bases), draw(st.booleans())
    answers = []
    for index, key in enumerate(asked):
        if draw(st.booleans()):
            bits, value = draw(flags).to_bytes(4), draw(values)
            answers.append(frame(frames.GETKQ, base + index, 0, key, bits, value, draw(u64)))
        elif draw(st.integers(0, 9)) == 0:
            answers.append(frame(frames.GETKQ, base + index, draw(errors), value=b"busy"))
    answers.append(frame(frames.NOOP, base + len(asked)))
    encode = (lambda p: p.gets_many(asked)) if with_cas else (lambda p: p.get_many(asked))
    return of(encode, base), b"".join(answers)


@st.composite
def one_frame(draw: st.DrawFn) -> tuple[Encode, bytes]:
    key, base, value = draw(keys), draw(bases), draw(values)
    verb = draw(st.sampled_from(["set", "add", "replace", "append", "prepend"]))
    stored = frames.STORE_OPCODES[verb]
    choices: list[tuple[Any, int, list[tuple[int, bytes, bytes]]]] = [
        (
            lambda p: p.store(verb, key, value, 0, 0),
            stored,
            [(0, b"", b""), (1, b"", b"no"), (2, b"", b"yes"), (5, b"", b"")],
        ),
        (lambda p: p.cas(key, value, 0, 0, 5), frames.SET, [(0, b"", b""), (1, b"", b"no")]),
        (lambda p: p.cas(key, value, 0, 0, 5), frames.SET, [(2, b"", b"yes"), (5, b"", b"no")]),
        (lambda p: p.delete(key), frames.DELETE, [(0, b"", b""), (1, b"", b"no")]),
        (lambda p: p.touch(key, 5), frames.TOUCH, [(0, b"\0\0\0\1", b""), (1, b"", b"no")]),
        (lambda p: p.incr(key, 5), frames.INCR, [(0, b"", draw(u64).to_bytes(8)), (6, b"", b"no")]),
        (lambda p: p.decr(key, 5), frames.DECR, [(1, b"", b"no")]),
        (lambda p: p.flush_all(), frames.FLUSH, [(0, b"", b"")]),
        (lambda p: p.version(), frames.VERSION, [(0, b"", b"1.6.18")]),
        (lambda p: p.noop(), frames.NOOP, [(0, b"", b"")]),
        (
            lambda p: p.sasl_auth("PLAIN", value),
            frames.SASL_AUTH,
            [(0, b"", b"Authenticated"), (0x21, b"", value)],
        ),
    ]
    encode, opcode, replies = draw(st.sampled_from(choices))
    replies.append((draw(errors), b"", b"oh"))
    status, extras, said = draw(st.sampled_from(replies))
    return of(encode, base), frame(opcode, base, status, b"", extras, said, draw(u64))


@st.composite
def statistics(draw: st.DrawFn) -> tuple[Encode, bytes]:
    base = draw(bases)
    pairs = draw(st.lists(st.tuples(words, words), max_size=4))
    answers = [
        frame(frames.STAT, base, 0, name.encode(), b"", text.encode()) for name, text in pairs
    ]
    end = draw(st.sampled_from([frame(frames.STAT, base), frame(frames.STAT, base, 1)]))
    return of(lambda p: p.stats("items"), base), b"".join(answers) + end


@st.composite
def batch(draw: st.DrawFn) -> tuple[Encode, bytes]:
    names, base = draw(st.lists(keys, min_size=1, max_size=6)), draw(bases)
    deletes = draw(st.booleans())
    opcode = frames.DELETEQ if deletes else frames.SETQ
    answers = [
        frame(opcode, base + index, draw(st.one_of(errors, st.just(1))), value=b"no")
        for index in range(len(names))
        if draw(st.booleans())
    ]
    answers.append(frame(frames.NOOP, base + len(names)))
    items = [(name, b"v", 3) for name in names]
    encode = (lambda p: p.delete_many(names)) if deletes else (lambda p: p.set_many(items, 9))
    return of(encode, base), b"".join(answers)


exchanges = st.one_of(single(), many(), one_frame(), statistics(), batch())
conversations = st.lists(exchanges, min_size=1, max_size=6)

fragments = st.sampled_from(
    [
        frame(frames.GETK, 0, 0, b"k", b"\0\0\0\0", b"v"),
        frame(frames.NOOP, 0),
        frame(frames.NOOP, 2),
        frame(frames.STAT, 0),
        frame(frames.SETQ, 1, 2, value=b"no"),
        frame(frames.GETK, 7, 4, value=b"Invalid arguments"),
        frame(frames.GETK, 7, 0x20),
        b"\x81",
        b"\x81\x0c\0\1\4",
        b"\xff\xff\xff\xff",
        bytes(24),
        b"ERROR\r\n",
    ]
)
garbage = st.lists(st.one_of(fragments, st.binary(max_size=6)), max_size=12).map(b"".join)


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[list[Encode], bytes]:
    """A conversation whose replies are changed a little: bytes lost, doubled, altered or moved."""
    conversation = draw(conversations)
    data = bytearray(b"".join(answer for _, answer in conversation))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        other = st.one_of(
            st.binary(max_size=2),
            st.just(bytes(data[start:stop]) * 2),
            st.binary(min_size=stop - start, max_size=stop - start),
            fragments,
        )
        data[start:stop] = draw(other)
    return [encode for encode, _ in conversation], bytes(data)
