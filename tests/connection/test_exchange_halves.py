"""The exchange in two halves: start on one connection, do the same on others, then finish each."""

from __future__ import annotations

import socket
from time import monotonic

import pytest

from cenote.connection.awaiting_sync import await_any
from cenote.errors import (
    ConnectionLost,
    LeaseError,
    OperationTimeout,
    ProtocolError,
    ServerError,
)
from cenote.protocol import STORED, BatchReply, get, meta_set, quiet, set_many, store
from tests.connection.conftest import ChannelType
from tests.connection.peers import KEY_A, KEY_B, A, B, Pair, Peer, soon

POST = quiet(meta_set(b"k", b"v", b""))


def test_a_started_request_has_left_before_it_is_finished(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    assert pair.hear(7) == b"get a\r\n"
    pair.say(KEY_A)
    assert pair.channel.finish(soon()) == A
    assert pair.channel.clean
    assert pair.ask(get(b"b"), KEY_B) == B


def test_several_connections_are_asked_before_the_first_is_read(channel_type: ChannelType) -> None:
    """Each peer answers only when both have been asked."""
    with Pair(channel_type) as one, Pair(channel_type) as other:

        def answer() -> None:
            assert (one.hear(7), other.hear(7)) == (b"get a\r\n", b"get b\r\n")
            one.say(KEY_A)
            other.say(KEY_B)

        with Peer(answer):
            one.channel.start(get(b"a"), soon())
            other.channel.start(get(b"b"), soon())
            assert (one.channel.finish(soon()), other.channel.finish(soon())) == (A, B)


def test_between_the_halves_nobody_else_may_use_it(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    assert not pair.channel.clean
    assert not pair.channel.is_alive()
    with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
        pair.channel.exchange(get(b"b"), soon())
    with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
        pair.channel.start(get(b"b"), soon())
    pair.say(KEY_A)
    assert pair.channel.finish(soon()) == A


def test_what_was_not_started_can_not_be_finished(pair: Pair) -> None:
    with pytest.raises(ConnectionLost, match="no request under way"):
        pair.channel.finish(soon())
    pair.say(KEY_A)
    pair.channel.start(get(b"a"), soon())
    pair.channel.finish(soon())
    with pytest.raises(ConnectionLost, match="no request under way"):
        pair.channel.finish(soon())
    assert pair.channel.clean


def test_closed_between_the_halves_it_lets_go_of_its_descriptor(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.channel.abort()
    assert pair.channel.fileno() == -1
    with pytest.raises(ConnectionLost, match="closed"):
        pair.channel.finish(soon())


def test_another_caller_inside_keeps_it_from_being_finished(pair: Pair) -> None:
    errors = []

    def barge_in() -> None:
        pair.hear(7)
        try:
            pair.channel.finish(soon())
        except LeaseError as error:
            errors.append(error)
        pair.say(KEY_A)

    with Peer(barge_in):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert len(errors) == 1


def test_a_payload_that_does_not_fit_the_socket_is_sent_while_finishing(pair: Pair) -> None:
    request = store("set", b"k", bytes(8 << 20), 0, 0)

    def answer() -> None:
        pair.hear(len(request.payload))
        pair.say(b"STORED\r\n")

    pair.channel.start(request, soon())
    with Peer(answer):
        assert pair.channel.finish(soon()) is STORED
    assert pair.channel.clean


def test_a_batch_is_finished_though_its_replies_fill_the_buffers(pair: Pair) -> None:
    request = set_many([(b"key%d" % n, b"v", 0) for n in range(100_000)], 0, meta=False)

    def answer() -> None:
        for _ in range(100):
            pair.hear(len(request.payload) // 100)
            pair.say(b"STORED\r\n" * 1000)
        pair.hear(len(request.payload) % 100)

    pair.channel.start(request, soon())
    with Peer(answer):
        assert pair.channel.finish(soon()) == BatchReply()


def test_fences_of_posted_requests_come_before_the_reply(pair: Pair) -> None:
    pair.channel.post(POST)
    pair.channel.start(get(b"a"), soon())
    pair.say(b"MN\r\n" + KEY_A)
    assert pair.channel.finish(soon()) == A
    assert pair.channel.clean


def test_an_error_reply_is_raised_and_leaves_it_clean(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.say(b"SERVER_ERROR out of everything\r\n")
    with pytest.raises(ServerError, match="out of everything"):
        pair.channel.finish(soon())
    assert pair.channel.clean


def test_garbage_condemns_it(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.say(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(ProtocolError):
        pair.channel.finish(soon())
    assert not pair.channel.clean


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05])
def test_a_silent_peer_is_given_up_at_the_deadline(pair: Pair, seconds: float) -> None:
    pair.channel.start(get(b"a"), soon())
    with pytest.raises(OperationTimeout):
        pair.channel.finish(monotonic() + seconds)
    assert not pair.channel.clean


def test_a_reply_that_lies_ready_is_taken_though_the_deadline_has_passed(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.say(KEY_A)
    assert pair.channel.finish(monotonic() - 1) == A
    assert pair.channel.clean


def test_a_deadline_that_has_passed_starts_nothing(pair: Pair) -> None:
    with pytest.raises(OperationTimeout, match="nothing was sent"):
        pair.channel.start(get(b"a"), monotonic() - 1)
    assert pair.channel.clean


def test_a_peer_that_has_gone_is_noticed_in_either_half(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.hear(7)
    pair.peer.shutdown(socket.SHUT_RDWR)
    pair.peer.close()
    with pytest.raises(ConnectionLost) as caught:
        pair.channel.finish(soon())
    assert not caught.value.replied


def test_a_peer_that_went_before_is_noticed_when_starting(pair: Pair) -> None:
    pair.peer.close()
    with pytest.raises(ConnectionLost) as caught:
        pair.channel.start(get(b"a"), soon())
    assert not caught.value.replied
    assert not pair.channel.clean


@pytest.mark.parametrize("nothing", [None, b"get a\r\n"])
def test_only_requests_are_started(pair: Pair, nothing) -> None:
    with pytest.raises((TypeError, AttributeError)):
        pair.channel.start(nothing, soon())


def test_what_has_arrived_is_taken_without_waiting(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    assert not pair.channel.advance()
    pair.say(KEY_A[:9])
    assert not pair.channel.advance()
    pair.say(KEY_A[9:])
    assert pair.channel.advance()
    assert pair.channel.advance()
    assert not pair.channel.clean
    assert pair.channel.finish(monotonic() - 1) == A
    assert pair.channel.clean
    assert pair.ask(get(b"b"), KEY_B) == B


def test_what_has_not_arrived_is_waited_for_by_who_finishes(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.say(KEY_A[:9])
    assert not pair.channel.advance()
    with Peer(lambda: pair.say(KEY_A[9:])):
        assert pair.channel.finish(soon()) == A


def test_fences_may_come_before_the_reply_has(pair: Pair) -> None:
    pair.channel.post(POST)
    pair.channel.start(get(b"a"), soon())
    pair.say(b"MN\r\n")
    assert not pair.channel.advance()
    pair.say(KEY_A)
    assert pair.channel.advance()
    assert pair.channel.finish(soon()) == A
    assert pair.channel.clean


def test_an_error_that_has_arrived_is_raised_by_who_finishes(pair: Pair) -> None:
    for said, kind, clean in [
        (b"SERVER_ERROR out of everything\r\n", ServerError, True),
        (b"HTTP/1.1 400 Bad Request\r\n", ProtocolError, False),
    ]:
        pair.channel.start(get(b"a"), soon())
        pair.say(said)
        with pytest.raises(kind):
            assert pair.channel.advance()
            pair.channel.finish(soon())
        assert pair.channel.clean is clean


def test_a_large_request_is_sent_bit_by_bit(pair: Pair) -> None:
    request = store("set", b"k", bytes(8 << 20), 0, 0)

    def answer() -> None:
        pair.hear(len(request.payload))
        pair.say(b"STORED\r\n")

    pair.channel.start(request, soon())
    assert pair.channel.unsent
    with Peer(answer):
        while not pair.channel.advance():
            assert await_any([pair.channel], soon())
        assert pair.channel.finish(soon()) is STORED
    assert not pair.channel.unsent


def test_whoever_is_ready_first_ends_the_wait(channel_type: ChannelType) -> None:
    with Pair(channel_type) as one, Pair(channel_type) as other:
        channels = [one.channel, other.channel]
        for channel in channels:
            channel.start(get(b"a"), soon())
        assert not await_any(channels, monotonic() + 0.01)
        assert not await_any(channels, monotonic() - 1)
        other.say(KEY_A)
        assert await_any(channels, soon())
        assert [channel.advance() for channel in channels] == [False, True]
        one.channel.abort()
        assert await_any(channels, monotonic() - 1)  # it is known what comes of it
        with pytest.raises(ConnectionLost):
            one.channel.advance()


def test_a_peer_that_has_gone_is_noticed_without_waiting(pair: Pair) -> None:
    pair.channel.start(get(b"a"), soon())
    pair.hear(7)
    pair.peer.shutdown(socket.SHUT_RDWR)
    pair.peer.close()
    assert await_any([pair.channel], soon())
    with pytest.raises(ConnectionLost):
        pair.channel.advance()
    with pytest.raises(ConnectionLost):
        pair.channel.finish(soon())


def test_what_was_not_started_does_not_advance(pair: Pair) -> None:
    with pytest.raises(ConnectionLost, match="no request under way"):
        pair.channel.advance()
