"""Properties of the parser, over generated conversations, spoiled conversations and garbage."""

from __future__ import annotations

import random
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cenote
from cenote.errors import ConnectionLost, ProtocolError
from cenote.protocol import _native
from tests.protocol.conftest import SPEEDUPS
from tests.protocol.conversations import (
    conversations,
    cut,
    exchanges,
    garbage,
    read,
    replies_of,
    spoiled,
)
from tests.thorough import some

pytestmark = pytest.mark.proof

places = st.lists(st.integers(0, 10_000), max_size=8)
both = pytest.mark.skipif(
    cenote.implementation != "speedups", reason="compared by the compiled build"
)


@settings(max_examples=some(250))
@given(conversation=conversations, places=places)
def test_replies_do_not_depend_on_how_the_bytes_are_cut(codec, conversation, places):
    encoders = [encode for encode, _ in conversation]
    data = b"".join(answer for _, answer in conversation)
    whole = read(codec, encoders, [data])
    in_pieces = read(codec, encoders, cut(data, places))
    byte_by_byte = read(codec, encoders, [data[index : index + 1] for index in range(len(data))])
    assert len(replies_of(whole)) == len(conversation)
    assert whole[-1] == (True, True, False, 0)
    assert replies_of(in_pieces) == replies_of(byte_by_byte) == replies_of(whole)
    assert in_pieces[-1] == byte_by_byte[-1] == whole[-1]


@settings(max_examples=some(150))
@given(conversation=conversations, steps=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_replies_do_not_depend_on_where_the_bytes_are_received(codec, conversation, steps):
    """Fed, or written by the driver into the room that the parser lends."""
    encoders = [encode for encode, _ in conversation]
    data = b"".join(answer for _, answer in conversation)
    fed, filled = codec.ReplyParser(), codec.ReplyParser()
    for encode in encoders:
        fed.expect(encode(codec))
        filled.expect(encode(codec))
    replies, position = [], 0
    while position < len(data):
        room = filled.get_buffer(-1)
        size = min(len(room), len(data) - position, steps[position % len(steps)])
        room[:size] = data[position : position + size]
        replies += filled.buffer_updated(size)
        position += size
    assert [repr(reply) for reply in replies] == [repr(reply) for reply in fed.feed(data)]
    assert filled.clean


@settings(max_examples=some(150))
@given(exchange=exchanges, data=st.data())
def test_a_reply_that_is_cut_short_is_no_reply(codec, exchange, data):
    encode, answer = exchange
    size = data.draw(st.integers(1, len(answer) - 1))
    parser = codec.ReplyParser()
    parser.expect(encode(codec))
    assert parser.feed(answer[:size]) == []
    with pytest.raises(ConnectionLost) as caught:
        parser.eof()
    assert caught.value.replied


@settings(max_examples=some(150))
@given(exchange=exchanges, extra=st.binary(min_size=1, max_size=10))
def test_a_reply_with_bytes_behind_it_is_not_believed(codec, exchange, extra):
    encode, answer = exchange
    parser = codec.ReplyParser()
    parser.expect(encode(codec))
    with pytest.raises(ProtocolError):
        parser.feed(answer + extra)
    assert not parser.usable


@both
@settings(max_examples=some(300))
@given(conversation=conversations, places=places)
def test_both_twins_read_a_conversation_alike(conversation, places):
    encoders = [encode for encode, _ in conversation]
    segments = cut(b"".join(answer for _, answer in conversation), places)
    speedups = import_module(SPEEDUPS)
    assert read(speedups, encoders, segments) == read(_native, encoders, segments)


@both
@settings(max_examples=some(500))
@given(conversation=spoiled(), places=places)
def test_both_twins_read_a_spoiled_conversation_alike(conversation, places):
    encoders, data = conversation
    segments = cut(data, places)
    speedups = import_module(SPEEDUPS)
    assert read(speedups, encoders, segments) == read(_native, encoders, segments)


@both
@settings(max_examples=some(500))
@given(conversation=conversations, data=garbage, places=places)
def test_both_twins_read_garbage_alike(conversation, data, places):
    encoders = [encode for encode, _ in conversation]
    segments = cut(data, places)
    speedups = import_module(SPEEDUPS)
    assert read(speedups, encoders, segments) == read(_native, encoders, segments)


@settings(max_examples=some(150))
@given(conversation=spoiled(), places=places)
def test_once_lost_trust_never_comes_back(codec, conversation, places):
    encoders, data = conversation
    states = [part for part in read(codec, encoders, cut(data, places)) if isinstance(part, tuple)]
    usable = [state[0] for state in states]
    assert usable == sorted(usable, reverse=True)
    assert all(state[1] is (state[0] and state[3] == 0) for state in states)


def test_no_sequence_of_calls_and_bytes_does_worse_than_raise(codec):
    """Calls in any order, with any bytes: errors of the documented kinds, and nothing crashes."""
    source = random.Random(20240229)
    alphabet = b"VALUE END k 0123456789\r\n\r\n HDMNOS\0\xff"
    for _ in range(3000):
        parser = codec.ReplyParser(max_value=source.choice([10, 1000, 1 << 30]))
        for _ in range(source.randrange(12)):
            try:
                _any_call(codec, parser, source, alphabet)
            except (ProtocolError, ConnectionLost, ValueError):
                continue
        assert parser.pending >= 0


def _any_call(codec, parser, source, alphabet):
    call = source.randrange(5)
    if call == 0:
        encoders = (
            lambda: codec.get(b"k"),
            lambda: codec.gets_many([b"k", b"E"]),
            lambda: codec.meta_get(b"k", b"v k O1"),
            lambda: codec.set_many([(b"k", b"", 0)] * 3, 0, meta=True),
            codec.stats,
            lambda: codec.config_get("c"),
            lambda: codec.incr(b"k", 1),
        )
        parser.expect(source.choice(encoders)())
    elif call == 1:
        parser.feed(bytes(source.choices(alphabet, k=source.randrange(40))))
    elif call == 2:
        parser.feed(
            source.choice([b"VALUE k 0 3\r\n", b"VA 5 kk O1\r\n", b"VALUE k 0 9999\r\nabc"])
        )
    elif call == 3:
        parser.buffer_updated(source.randrange(-1, 70_000))
    else:
        room = parser.get_buffer(source.choice([-1, 0, 10]))
        size = min(len(room), source.randrange(20))
        room[:size] = bytes(source.choices(alphabet, k=size))
        parser.buffer_updated(size)
