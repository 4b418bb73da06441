"""Whatever is encoded, a strict server reads back exactly what was meant."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.conversations import keys, u64, values
from tests.thorough import some

pytestmark = pytest.mark.proof

exptimes = st.integers(-(2**31), 2**31 - 1)
flags = st.integers(0, 2**32 - 1)
verbs = st.sampled_from(["set", "add", "replace", "append", "prepend"])
metas = st.lists(
    st.sampled_from([b"v", b"f", b"k", b"c", b"O12", b"T60", b"N30", b"MS"]),
    unique=True,
    max_size=4,
).map(b" ".join)

KEY = rb"[^\x00-\x20\x7f]{1,250}"
NUMBER = rb"(?:0|[1-9][0-9]*)"
LINES = {
    b"retrieval": re.compile(rb"(gets?)((?: %b)+)\r\n" % KEY),
    b"touching": re.compile(rb"(gats?) (-?%b)((?: %b)+)\r\n" % (NUMBER, KEY)),
    b"storage": re.compile(
        rb"(set|add|replace|append|prepend) (%b) (%b) (-?%b) (%b)\r\n"
        % (KEY, NUMBER, NUMBER, NUMBER)
    ),
    b"cas": re.compile(
        rb"(cas) (%b) (%b) (-?%b) (%b) (%b)\r\n" % (KEY, NUMBER, NUMBER, NUMBER, NUMBER)
    ),
    b"delete": re.compile(rb"(delete) (%b)\r\n" % KEY),
    b"number": re.compile(rb"(incr|decr|touch) (%b) (-?%b)\r\n" % (KEY, NUMBER)),
    b"ms": re.compile(rb"(ms) (%b) (%b)((?: [^ \r\n]+)*)\r\n" % (KEY, NUMBER)),
    b"meta": re.compile(rb"(mg|md|ma|me) (%b)((?: [^ \r\n]+)*)\r\n" % KEY),
    b"mn": re.compile(rb"(mn)\r\n"),
}


def decode(payload: bytes) -> list[tuple[Any, ...]]:
    """Read a payload as a strict server would: command lines, and the data blocks they announce."""
    commands: list[tuple[Any, ...]] = []
    while payload:
        name, match = next(
            (name, match) for name, line in LINES.items() if (match := line.match(payload))
        )
        payload = payload[match.end() :]
        words = match.groups()
        size = {b"storage": 4, b"cas": 4, b"ms": 2}.get(name)
        if size is not None:
            length = int(words[size])
            block, payload = payload[:length], payload[length:]
            assert len(block) == length
            assert payload[:2] == b"\r\n"
            payload = payload[2:]
            words = (*words[:size], block, *words[size + 1 :])
        commands.append(words)
    return commands


@given(key=keys, exptime=exptimes, number=u64)
def test_commands_about_one_key(codec, key, exptime, number):
    assert decode(codec.get(key).payload) == [(b"get", b" " + key)]
    assert decode(codec.gets(key).payload) == [(b"gets", b" " + key)]
    assert decode(codec.gat(key, exptime).payload) == [(b"gat", b"%d" % exptime, b" " + key)]
    assert decode(codec.gats(key, exptime).payload) == [(b"gats", b"%d" % exptime, b" " + key)]
    assert decode(codec.touch(key, exptime).payload) == [(b"touch", key, b"%d" % exptime)]
    assert decode(codec.incr(key, number).payload) == [(b"incr", key, b"%d" % number)]
    assert decode(codec.decr(key, number).payload) == [(b"decr", key, b"%d" % number)]
    assert decode(codec.delete(key).payload) == [(b"delete", key)]
    assert decode(codec.meta_debug(key).payload) == [(b"me", key, b"")]


@given(verb=verbs, key=keys, value=values, bits=flags, exptime=exptimes, token=u64)
def test_storage_commands(codec, verb, key, value, bits, exptime, token):
    [stored] = decode(codec.store(verb, key, value, bits, exptime).payload)
    assert stored == (verb.encode(), key, b"%d" % bits, b"%d" % exptime, value)
    [cas] = decode(codec.cas(key, value, bits, exptime, token).payload)
    assert cas == (b"cas", key, b"%d" % bits, b"%d" % exptime, value, b"%d" % token)


@given(asked=st.lists(keys, min_size=1, max_size=300), exptime=exptimes)
@settings(max_examples=some(50))
def test_retrievals_of_many_keys(codec, asked, exptime):
    for request, before in (
        (codec.get_many(asked), (b"get",)),
        (codec.gets_many(asked), (b"gets",)),
        (codec.gat_many(asked, exptime), (b"gat", b"%d" % exptime)),
        (codec.gats_many(asked, exptime), (b"gats", b"%d" % exptime)),
    ):
        lines = decode(request.payload)
        assert len(lines) == request.count
        assert all(line[:-1] == before for line in lines)
        assert [key for line in lines for key in line[-1][1:].split(b" ")] == asked


@given(key=keys, value=values, asked=metas)
def test_meta_commands(codec, key, value, asked):
    tail = b" " + asked if asked else b""
    assert decode(codec.meta_get(key, asked).payload) == [(b"mg", key, tail)]
    assert decode(codec.meta_delete(key, asked).payload) == [(b"md", key, tail)]
    assert decode(codec.meta_arithmetic(key, asked).payload) == [(b"ma", key, tail)]
    assert decode(codec.meta_set(key, value, asked).payload) == [(b"ms", key, value, tail)]


@given(items=st.lists(st.tuples(keys, values, flags), min_size=1, max_size=30), exptime=exptimes)
def test_batches_of_sets(codec, items, exptime):
    plain = decode(codec.set_many(items, exptime, meta=False).payload)
    assert plain == [(b"set", k, b"%d" % f, b"%d" % exptime, v) for k, v, f in items]
    *quiet, fence = decode(codec.set_many(items, exptime, meta=True).payload)
    assert fence == (b"mn",)
    expiry = b" T%d" % exptime if exptime else b""
    assert quiet == [
        (b"ms", k, v, (b" F%d" % f if f else b"") + expiry + b" q O%d" % index)
        for index, (k, v, f) in enumerate(items)
    ]


@given(asked=st.lists(keys, min_size=1, max_size=30))
def test_batches_of_deletes(codec, asked):
    plain = decode(codec.delete_many(asked, meta=False).payload)
    assert plain == [(b"delete", key) for key in asked]
    *quiet, fence = decode(codec.delete_many(asked, meta=True).payload)
    assert quiet == [(b"md", key, b" q O%d" % index) for index, key in enumerate(asked)]
    assert fence == (b"mn",)
