"""The properties that hold for the text protocols hold for the binary one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import ConnectionLost, ProtocolError
from cenote.protocol.plain import MORE, plain_reply
from tests.protocol import test_properties as shared
from tests.protocol.binary_conversations import (
    conversations,
    encoders_of,
    exchanges,
    frame,
    garbage,
    pinned,
    spoiled,
)
from tests.thorough import some

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.proof

places = shared.places


def over(test: Any, examples: int = 80, **strategies: Any) -> Callable[..., None]:
    """The same test over other examples."""
    return settings(max_examples=some(examples))(given(**strategies)(test.hypothesis.inner_test))


test_replies_do_not_depend_on_how_the_bytes_are_cut = over(
    shared.test_replies_do_not_depend_on_how_the_bytes_are_cut,
    conversation=conversations,
    places=places,
)
test_replies_do_not_depend_on_where_the_bytes_are_received = over(
    shared.test_replies_do_not_depend_on_where_the_bytes_are_received,
    conversation=conversations,
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
test_a_reply_that_is_cut_short_is_no_reply = over(
    shared.test_a_reply_that_is_cut_short_is_no_reply, exchange=exchanges, data=st.data()
)
test_a_reply_with_bytes_behind_it_is_not_believed = over(
    shared.test_a_reply_with_bytes_behind_it_is_not_believed,
    exchange=exchanges,
    extra=st.binary(min_size=1, max_size=30),
)
test_once_lost_trust_never_comes_back = over(
    shared.test_once_lost_trust_never_comes_back, conversation=spoiled(), places=places
)
test_both_twins_read_a_conversation_alike = shared.both(
    over(
        shared.test_both_twins_read_a_conversation_alike,
        120,
        conversation=conversations,
        places=places,
    )
)
test_both_twins_read_a_spoiled_conversation_alike = shared.both(
    over(
        shared.test_both_twins_read_a_spoiled_conversation_alike,
        200,
        conversation=spoiled(),
        places=places,
    )
)
test_both_twins_read_garbage_alike = shared.both(
    over(
        shared.test_both_twins_read_garbage_alike,
        200,
        conversation=conversations,
        data=garbage,
        places=places,
    )
)


@settings(max_examples=some(200))
@given(exchange=exchanges, spoil=st.tuples(st.integers(0, 60), st.binary(max_size=2)))
def test_what_is_understood_at_a_glance_is_what_the_parser_says(codec, exchange, spoil):
    encode, data = exchange
    place, other = spoil
    for reply in (data, data[:place] + other + data[place + len(other) :]):
        request = encode(codec)
        glance = codec.at_a_glance if hasattr(codec, "at_a_glance") else plain_reply
        understood = glance(request, reply)
        if understood is not MORE:
            parser = codec.ReplyParser()
            parser.expect(request)
            assert [(type(each), each) for each in parser.feed(reply)] == [
                (type(understood), understood)
            ]
            assert parser.clean


def test_what_services_live_on_is_understood_at_a_glance(codec):
    glance = codec.at_a_glance if hasattr(codec, "at_a_glance") else plain_reply
    encoders = encoders_of(codec)
    for request, reply in (
        (encoders.get(b"k"), frame(0x0C, 9, 0, b"k", b"\0\0\0\1", b"value")),
        (encoders.get(b"k"), frame(0x0C, 9, 1, b"k")),
        (encoders.store("set", b"k", b"v", 0, 0), frame(0x01, 9)),
        (encoders.delete(b"k"), frame(0x04, 9)),
        (encoders.incr(b"k", 1), frame(0x05, 9, value=bytes(8))),
    ):
        assert glance(pinned(codec, request, 9), reply) is not MORE
        assert glance(pinned(codec, request, 8), reply) is MORE


def test_no_sequence_of_calls_and_bytes_does_worse_than_raise(codec):
    """Calls in any order, with any bytes: errors of the documented kinds, and nothing crashes."""
    source = random.Random(20240301)
    encoders = encoders_of(codec)
    makers = (
        lambda: encoders.get(b"k"),
        lambda: encoders.gets_many([b"k", b"E"]),
        lambda: encoders.set_many([(b"k", b"", 0)] * 3, 0),
        lambda: encoders.incr(b"k", 1),
        encoders.stats,
    )
    pieces = (
        frame(0x0C, 0, 0, b"k", b"\0\0\0\0", b"value"),
        frame(0x0D, 1, 0, b"E", b"\0\0\0\0", b"x" * 60)[:50],
        frame(0x0A, 2),
        frame(0x10, 0, 0, b"name", b"", b"text"),
        b"\x81",
        bytes(30),
    )
    for _ in range(2000):
        parser = codec.ReplyParser(max_value=source.choice([10, 1 << 30]))
        for _ in range(source.randrange(12)):
            try:
                _any_call(codec, parser, source, makers, pieces)
            except (ProtocolError, ConnectionLost, ValueError):
                continue
        assert parser.pending >= 0


def _any_call(codec, parser, source, makers, pieces):
    call = source.randrange(4)
    if call == 0:
        parser.expect(pinned(codec, source.choice(makers)(), source.randrange(2)))
    elif call == 1:
        parser.feed(source.choice(pieces))
    elif call == 2:
        parser.buffer_updated(source.randrange(-1, 100))
    else:
        room = parser.get_buffer(source.choice([-1, 0, 10]))
        piece = source.choice(pieces)[: len(room)]
        room[: len(piece)] = piece
        parser.buffer_updated(len(piece))


@pytest.mark.parametrize("cas", [0, 5, 2**64 - 1])
def test_a_cas_of_64_bits_is_read_exactly(codec, answer, cas):
    request = pinned(codec, encoders_of(codec).gets(b"k"), 1)
    assert answer(request, frame(0x0C, 1, 0, b"k", b"\xff" * 4, b"", cas)) == (b"", 2**32 - 1, cas)
