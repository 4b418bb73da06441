"""Replies taken at a glance are those that the parser would have made, and it makes all others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import ProtocolError
from cenote.protocol import DELETED, NOT_FOUND, NOT_STORED, STORED, TOUCHED, _native
from cenote.protocol.plain import MORE, plain_reply

REQUESTS = {
    "get": lambda codec: codec.get(b"key"),
    "set": lambda codec: codec.store("set", b"key", b"value", 0, 0),
    "cas": lambda codec: codec.cas(b"key", b"value", 0, 0, 1),
    "delete": lambda codec: codec.delete(b"key"),
    "touch": lambda codec: codec.touch(b"key", 9),
    "gets": lambda codec: codec.gets(b"key"),
    "incr": lambda codec: codec.incr(b"key", 1),
    "flush_all": lambda codec: codec.flush_all(),
}
HIT = b"VALUE key 16 5\r\nvalue\r\nEND\r\n"
MISS = b"END\r\n"
LINES = [
    f"{word}\r\n".encode() for word in ("STORED", "DELETED", "NOT_FOUND", "TOUCHED", "OK", "7")
]


@pytest.fixture(scope="session")
def glance(codec):
    """What a twin makes of bytes at a glance."""
    at_a_glance = plain_reply if codec is _native else codec.at_a_glance
    return lambda verb, data: at_a_glance(REQUESTS[verb](codec), data)


@pytest.mark.parametrize(
    ("verb", "data", "reply"),
    [
        ("get", HIT, (b"value", 16, 0)),
        ("get", b"VALUE key 0 5\r\nvalue\r\nEND\r\n", (b"value", 0, 0)),
        ("get", b"VALUE key 0 0\r\n\r\nEND\r\n", (b"", 0, 0)),
        ("get", b"VALUE key 0 7\r\n\r\nEND\r\n\r\nEND\r\n", (b"\r\nEND\r\n", 0, 0)),
        ("get", MISS, None),
        ("set", b"STORED\r\n", STORED),
        ("set", b"NOT_STORED\r\n", NOT_STORED),
        ("delete", b"DELETED\r\n", DELETED),
        ("delete", b"NOT_FOUND\r\n", NOT_FOUND),
        ("touch", b"TOUCHED\r\n", TOUCHED),
    ],
)
def test_a_good_reply_that_came_alone_is_understood(glance, verb, data, reply):
    assert glance(verb, data) == reply


@pytest.mark.parametrize(
    "data",
    [
        b"VALUE kez 0 5\r\nvalue\r\nEND\r\n",
        b"VALUE kez 16 5\r\nvalue\r\nEND\r\n",
        b"VALUE key 0 5 1\r\nvalue\r\nEND\r\n",
        b"VALUE key 0 4\r\nvalue\r\nEND\r\n",
        b"VALUE key 0 -2\r\nEND\r\n",
        b"VALUE key -1 5\r\nvalue\r\nEND\r\n",
        b"VALUE key  5\r\nvalue\r\nEND\r\n",
        b"value key 16 5\r\nvalue\r\nEND\r\n",
        HIT + MISS,
        MISS + MISS,
        b"STORED\r\n",
        b"\r\nEND\r\n",
        b"END\n",
    ],
)
def test_anything_else_is_left_to_the_parser(glance, data):
    assert glance("get", data) is MORE


@given(
    verb=st.sampled_from(sorted(REQUESTS)),
    data=st.sampled_from([HIT, MISS, *LINES]),
    start=st.integers(0, 40),
    stop=st.integers(0, 40),
    middle=st.binary(max_size=3),
)
def test_what_is_understood_is_what_the_parser_says(codec, glance, verb, data, start, stop, middle):
    """Bytes that were changed anywhere are no exception."""
    data = data[:start] + middle + data[stop:]
    reply = glance(verb, data)
    if reply is MORE:
        return
    parser = codec.ReplyParser()
    parser.expect(REQUESTS[verb](codec))
    try:
        assert parser.feed(data) == [reply]
    except ProtocolError:
        pytest.fail(f"{data!r} breaks the protocol")
    assert parser.clean
