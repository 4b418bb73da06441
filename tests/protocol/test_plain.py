"""Replies taken at a glance are those that the parser would have made, and it makes all others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import ProtocolError
from cenote.protocol import DELETED, NOT_FOUND, NOT_STORED, STORED, TOUCHED, _native
from cenote.protocol.plain import MORE, plain_reply

GET = _native.get(b"key")
SET = _native.store("set", b"key", b"value", 0, 0)
DELETE = _native.delete(b"key")
TOUCH = _native.touch(b"key", 9)
REQUESTS = (GET, SET, DELETE, TOUCH, _native.gets(b"key"), _native.incr(b"key", 1))
HIT = b"VALUE key 16 5\r\nvalue\r\nEND\r\n"
MISS = b"END\r\n"


@pytest.mark.parametrize(
    ("request_", "data", "reply"),
    [
        (GET, HIT, (b"value", 16, 0)),
        (GET, b"VALUE key 0 5\r\nvalue\r\nEND\r\n", (b"value", 0, 0)),
        (GET, b"VALUE key 0 0\r\n\r\nEND\r\n", (b"", 0, 0)),
        (GET, b"VALUE key 0 7\r\n\r\nEND\r\n\r\nEND\r\n", (b"\r\nEND\r\n", 0, 0)),
        (GET, MISS, None),
        (SET, b"STORED\r\n", STORED),
        (SET, b"NOT_STORED\r\n", NOT_STORED),
        (DELETE, b"DELETED\r\n", DELETED),
        (DELETE, b"NOT_FOUND\r\n", NOT_FOUND),
        (TOUCH, b"TOUCHED\r\n", TOUCHED),
    ],
)
def test_a_good_reply_that_came_alone_is_understood(request_, data, reply):
    assert plain_reply(request_, data) == reply


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
def test_anything_else_is_left_to_the_parser(data):
    assert plain_reply(GET, data) is MORE


@given(
    st.sampled_from(REQUESTS),
    st.sampled_from([HIT, MISS, b"STORED\r\n", b"DELETED\r\n", b"TOUCHED\r\n", b"7\r\n"]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.binary(max_size=3),
)
def test_what_is_understood_is_what_the_parser_says(request_, data, start, stop, middle):
    """Bytes that were changed anywhere are no exception."""
    data = data[:start] + middle + data[stop:]
    reply = plain_reply(request_, data)
    if reply is MORE:
        return
    parser = _native.ReplyParser()
    parser.expect(request_)
    try:
        assert parser.feed(data) == [reply]
    except ProtocolError:
        pytest.fail(f"{data!r} breaks the protocol")
    assert parser.clean
