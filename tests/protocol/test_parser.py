"""The parser as a driver sees it: pieces, room to receive into, ends, limits, and trust."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from cenote.errors import ClientError, ConnectionLost, ProtocolError
from cenote.protocol.replies import Status

HIT = b"VALUE k 0 5\r\nvalue\r\nEND\r\n"
RAW = (b"value", 0, 0)


@pytest.fixture
def parser(codec):
    return codec.ReplyParser()


def fill(parser, data):
    """Receive ``data`` the way a driver does that reads in place."""
    replies = []
    while data:
        room = parser.get_buffer(-1)
        size = min(len(room), len(data))
        room[:size] = data[:size]
        room.release()
        replies += parser.buffer_updated(size)
        data = data[size:]
    return replies


# What it says about the conversation.


def test_a_new_parser_is_clean(parser):
    assert parser.clean
    assert parser.usable
    assert not parser.started
    assert parser.pending == 0


def test_a_conversation_is_dirty_until_its_last_byte(codec, parser):
    parser.expect(codec.get(b"k"))
    assert (parser.pending, parser.started, parser.clean) == (1, False, False)
    for index in range(len(HIT) - 1):
        assert parser.feed(HIT[index : index + 1]) == []
        assert (parser.pending, parser.started, parser.clean) == (1, True, False)
    assert parser.feed(HIT[-1:]) == [RAW]
    assert (parser.pending, parser.started, parser.clean) == (0, False, True)


def test_replies_come_in_the_order_of_their_requests(codec, parser):
    parser.expect(codec.get(b"k"))
    parser.expect(codec.delete(b"k"))
    parser.expect(codec.incr(b"n", 1))
    assert parser.feed(HIT + b"DELE") == [RAW]
    assert (parser.pending, parser.started) == (2, True)
    assert parser.feed(b"TED\r\n") == [Status.DELETED]
    assert (parser.pending, parser.started) == (1, False)
    assert parser.feed(b"7\r\n") == [7]


def test_a_long_pipeline_stays_in_order(codec, parser):
    """Thousands in flight, in a window that never empties: the queue is moved up as it goes."""
    sent = answered = 0
    for _ in range(50):
        for _ in range(100):
            parser.expect(codec.incr(b"n", sent))
            sent += 1
        data = b"".join([b"%d\r\n" % number for number in range(answered, sent - 7)])
        assert parser.feed(data) == list(range(answered, sent - 7))
        answered = sent - 7
        assert parser.pending == 7
    assert parser.feed(b"".join([b"%d\r\n" % n for n in range(answered, sent)])) == list(
        range(answered, sent)
    )
    assert parser.clean


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_can_be_fed(codec, parser, wrap):
    parser.expect(codec.get(b"k"))
    assert parser.feed(wrap(HIT)) == [RAW]
    assert parser.feed(wrap(b"")) == []


def test_what_was_fed_may_be_overwritten(codec, parser):
    parser.expect(codec.get(b"k"))
    segment = bytearray(HIT[:15])
    parser.feed(segment)
    segment[:] = b"X" * 15
    assert parser.feed(HIT[15:]) == [RAW]


@pytest.mark.parametrize("data", ["END\r\n", 5, None])
def test_only_buffers_can_be_fed(parser, data):
    with pytest.raises(TypeError):
        parser.feed(data)


# Unasked bytes, and the end of trust.


@pytest.mark.parametrize("data", [b"\r\n", b"\n", b"x", b"END\r\n", b"ERROR\r\n"])
def test_bytes_that_nobody_asked_for_break_the_protocol(codec, parser, data):
    with pytest.raises(ProtocolError, match="nobody asked for"):
        parser.feed(data)
    assert not parser.usable


def test_bytes_behind_a_reply_break_the_protocol(codec, parser):
    """The reply before them may be somebody else's: it is not given out."""
    parser.expect(codec.get(b"k"))
    with pytest.raises(ProtocolError):
        parser.feed(HIT + b"\r\n")
    assert not parser.usable


def test_after_the_protocol_is_broken_nothing_is_believed(codec, parser):
    parser.expect(codec.get(b"k"))
    with pytest.raises(ProtocolError):
        parser.feed(b"STORED\r\n")
    parser.expect(codec.get(b"k"))
    with pytest.raises(ProtocolError, match="lost step"):
        parser.feed(HIT)
    assert not parser.usable
    assert not parser.clean


def test_behind_a_refused_data_block_nothing_is_believed(codec, parser):
    parser.expect(codec.store("set", b"k", b"v", 0, 0))
    parser.expect(codec.get(b"k"))
    [error] = parser.feed(b"CLIENT_ERROR bad data chunk\r\nERROR\r\n" + HIT)
    assert type(error) is ClientError
    assert (parser.usable, parser.pending) == (False, 1)
    with pytest.raises(ProtocolError):
        parser.feed(HIT)


# The end of the stream.


def test_the_end_between_conversations_is_no_error(parser):
    parser.eof()
    assert parser.clean


def test_the_end_before_a_reply_tells_that_nothing_was_replied(codec, parser):
    parser.expect(codec.get(b"k"))
    with pytest.raises(ConnectionLost, match="1 replies due") as caught:
        parser.eof()
    assert caught.value.replied is False
    assert not parser.usable


@pytest.mark.parametrize("size", range(1, len(HIT)))
def test_the_end_inside_a_reply_is_never_a_short_reply(codec, parser, size):
    parser.expect(codec.get(b"k"))
    assert parser.feed(HIT[:size]) == []
    with pytest.raises(ConnectionLost) as caught:
        parser.eof()
    assert caught.value.replied is True


def test_the_end_between_two_replies_tells_that_the_second_was_not_begun(codec, parser):
    parser.expect(codec.get(b"k"))
    parser.expect(codec.get(b"k"))
    parser.feed(HIT)
    with pytest.raises(ConnectionLost) as caught:
        parser.eof()
    assert caught.value.replied is False


def test_the_end_after_the_protocol_was_broken_is_a_loss(parser):
    with pytest.raises(ProtocolError):
        parser.feed(b"x")
    with pytest.raises(ConnectionLost):
        parser.eof()


# Receiving in place.


def test_a_reply_can_be_received_in_place(codec, parser):
    parser.expect(codec.get(b"k"))
    assert fill(parser, HIT) == [RAW]
    assert parser.clean


def test_the_rest_of_a_value_is_received_where_it_belongs(codec, parser):
    value = bytes(range(256)) * 1000
    parser.expect(codec.get(b"k"))
    parser.feed(b"VALUE k 3 %d\r\n" % len(value) + value[:100])
    assert len(parser.get_buffer(10)) == len(value) - 100
    assert fill(parser, value[100:] + b"\r\nEND\r\n") == [(value, 3, 0)]


def test_the_room_is_at_least_what_is_likely_to_come(codec, parser):
    parser.expect(codec.get(b"k"))
    assert len(parser.get_buffer(100_000)) >= 100_000


def test_what_was_received_in_place_must_have_had_room(codec, parser):
    with pytest.raises(ValueError, match="get_buffer"):
        parser.buffer_updated(1)
    parser.expect(codec.get(b"k"))
    parser.feed(b"VALUE k 0 5\r\n")
    room = len(parser.get_buffer(-1))
    with pytest.raises(ValueError, match="room"):
        parser.buffer_updated(room + 1)
    with pytest.raises(ValueError, match="room"):
        parser.buffer_updated(-1)


def test_a_lent_room_outlives_the_parser_that_lent_it(codec, parser):
    parser.expect(codec.get(b"k"))
    parser.feed(b"VALUE k 0 100000\r\n")
    room = parser.get_buffer(-1)
    with pytest.raises(ConnectionLost):
        parser.eof()
    room[:] = b"x" * 100_000
    assert bytes(room[-1:]) == b"x"


def test_a_clean_parser_holds_no_buffer(codec, parser):
    """Ten thousand idle connections must not hold ten thousand buffers."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            parser.expect(codec.get(b"k"))
            fill(parser, b"VALUE k 0 100000\r\n" + b"x" * 100_000 + b"\r\nEND\r\n")
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert parser.clean
    assert held < 4096


def test_a_big_value_is_held_once_while_it_comes(codec, parser):
    value = b"x" * 2_000_000
    parser.expect(codec.get(b"k"))
    parser.feed(b"VALUE k 0 %d\r\n" % len(value))
    tracemalloc.start()
    try:
        fill(parser, value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * len(value)


# Limits.


def test_a_value_over_the_limit_breaks_the_protocol_before_it_comes(codec):
    for request, line in (
        (codec.get(b"k"), b"VALUE k 0 1001"),
        (codec.get_many([b"k"]), b"VALUE k 0 1001"),
        (codec.meta_get(b"k", b"v"), b"VA 1001"),
        (codec.config_get("k"), b"CONFIG k 0 1001"),
    ):
        parser = codec.ReplyParser(max_value=1000)
        parser.expect(request)
        with pytest.raises(ProtocolError, match="limit of 1000 bytes"):
            parser.feed(line + b"\r\n")


def test_a_value_at_the_limit_is_taken(codec):
    for request in (codec.get(b"k"), codec.get_many([b"k"])):
        parser = codec.ReplyParser(max_value=5)
        parser.expect(request)
        assert len(parser.feed(HIT)) == 1


def test_a_gigabyte_is_accepted_and_not_a_byte_more(codec):
    parser = codec.ReplyParser()
    parser.expect(codec.get(b"k"))
    assert parser.feed(b"VALUE k 0 1073741824\r\n") == []
    other = codec.ReplyParser()
    other.expect(codec.get(b"k"))
    with pytest.raises(ProtocolError, match="limit"):
        other.feed(b"VALUE k 0 1073741825\r\n")


@pytest.mark.parametrize("step", [1, 100, 5000])
def test_a_line_without_end_is_refused(codec, parser, step):
    parser.expect(codec.get(b"k"))
    garbage = b"x" * 5000
    with pytest.raises(ProtocolError, match="without an end"):
        for start in range(0, 5000, step):
            parser.feed(garbage[start : start + step])


def test_lines_of_text_may_be_longer_than_headers(codec, parser):
    long = "x" * 60_000
    parser.expect(codec.stats())
    assert parser.feed(b"STAT a %b\r\nEND\r\n" % long.encode()) == [{"a": long}]
    parser.expect(codec.stats())
    with pytest.raises(ProtocolError, match="without an end"):
        parser.feed(b"STAT a %b\r\nEND\r\n" % (b"x" * 70_000))


@pytest.mark.parametrize("data", [b"END\n", b"\nEND\r\n", b"END\r\r\n", b"END\rX\n"])
def test_a_line_ends_with_both_of_its_bytes(codec, parser, data):
    parser.expect(codec.get(b"k"))
    with pytest.raises(ProtocolError):
        parser.feed(data)


# No byte is looked at twice.


def spent(codec, request, data):
    """Return the least CPU seconds it takes to read ``data`` byte by byte."""
    pieces = [data[index : index + 1] for index in range(len(data))]

    def once():
        parser = codec.ReplyParser()
        parser.expect(request)
        start = time.process_time()
        for piece in pieces:
            parser.feed(piece)
        assert parser.clean
        return time.process_time() - start

    return min(once() for _ in range(3))


@pytest.mark.stress
@pytest.mark.parametrize("grammar", ["value", "text", "items"])
def test_reading_byte_by_byte_takes_time_in_proportion(codec, grammar):
    """Four times the bytes take four times as long, not sixteen times."""

    def data(size):
        if grammar == "value":
            return codec.get(b"k"), b"VALUE k 0 %d\r\n%b\r\nEND\r\n" % (size, b"x" * size)
        if grammar == "text":
            return codec.stats(), b"STAT a %b\r\nEND\r\n" % (b"x" * size)
        keys = [b"%d" % index for index in range(size // 20)]
        items = b"".join([b"VALUE %b 0 1\r\nx\r\n" % key for key in reversed(keys)])
        request = codec.get_many(keys)
        return request, items + b"END\r\n" * request.count

    assert spent(codec, *data(60_000)) < 9 * spent(codec, *data(15_000)) + 0.01
