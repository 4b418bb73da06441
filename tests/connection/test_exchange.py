"""The blocking exchange against scripted bytes."""

from __future__ import annotations

import os
import socket

import pytest

from cenote.connection.patience import GOODBYE, MOST_POSTED
from cenote.errors import (
    ClientError,
    ConnectionLost,
    OutOfMemory,
    ProtocolError,
    ServerError,
    UnknownCommand,
)
from cenote.protocol import (
    NOT_FOUND,
    STORED,
    BatchReply,
    delete,
    get,
    get_many,
    incr,
    meta_noop,
    meta_set,
    quiet,
    set_many,
    store,
    version,
)
from tests.connection.conftest import ChannelType
from tests.connection.peers import KEY_A, KEY_B, A, B, Pair, Peer, soon

SET = store("set", b"k", b"v", 0, 0)
POST = quiet(meta_set(b"k", b"v", b""))
MN = b"MN\r\n"


# Pairing requests with replies.


def test_a_request_leaves_as_it_is_and_its_reply_is_returned(pair: Pair) -> None:
    assert pair.ask(get(b"a"), KEY_A) == A
    assert pair.hear(7) == b"get a\r\n"
    assert pair.channel.clean


def test_requests_follow_one_another_on_one_connection(pair: Pair) -> None:
    assert pair.ask(SET, b"STORED\r\n") is STORED
    assert pair.ask(get(b"b"), KEY_B) == B
    assert pair.ask(delete(b"b"), b"NOT_FOUND\r\n") is NOT_FOUND
    assert pair.channel.clean


def test_a_connection_is_not_clean_while_a_reply_is_due(pair: Pair) -> None:
    states = []

    def answer() -> None:
        pair.hear(7)
        states.append(pair.channel.clean)
        pair.say(KEY_A[:10])
        states.append(pair.channel.clean)
        pair.say(KEY_A[10:])

    with Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert states == [False, False]
    assert pair.channel.clean


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_reply_in_pieces_is_put_together(pair: Pair, size: int) -> None:
    """Each piece is sent once the one before has been taken out of the socket."""

    def answer() -> None:
        pair.hear(7)
        for start in range(0, len(KEY_A), size):
            pair.say(KEY_A[start : start + size])

    with Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


@pytest.mark.parametrize("size", [0, 1, 32_700, 32_768, 65_536, 1_000_003])
def test_a_value_of_any_size_arrives_whole(pair: Pair, size: int) -> None:
    value = os.urandom(size)
    reply = b"VALUE a 7 %d\r\n%b\r\nEND\r\n" % (size, value)
    with Peer(lambda: pair.hear(7), lambda: pair.say(reply)):
        assert pair.channel.exchange(get(b"a"), soon()) == (value, 7, 0)
    assert pair.channel.clean


def test_many_values_arrive_in_one_reply(pair: Pair) -> None:
    keys = [b"key%d" % index for index in range(300)]
    body = b"".join(b"VALUE %b 0 400\r\n%b\r\n" % (key, key.ljust(400)) for key in keys)
    with Peer(lambda: pair.say(body + b"END\r\n")):
        reply = pair.channel.exchange(get_many(keys), soon())
    assert reply == {key: (key.ljust(400), 0, 0) for key in keys}
    assert pair.channel.clean


def test_the_end_of_a_reply_is_not_found_by_its_look(pair: Pair) -> None:
    """A value ends its segment with what looks like the end of the reply (a bug of emcache)."""
    value = b"x" * 11 + b"\r\nEND\r\n"

    def answer() -> None:
        pair.say(b"VALUE a 0 %d\r\n%b" % (len(value), value))
        pair.hear(7)
        pair.say(b"\r\nEND\r\n")

    with Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == (value, 0, 0)
    assert pair.channel.clean


# What the server refuses.


def test_an_error_reply_is_raised_and_the_connection_stays_clean(pair: Pair) -> None:
    with pytest.raises(OutOfMemory, match="out of memory"):
        pair.ask(SET, b"SERVER_ERROR out of memory storing object\r\n")
    assert pair.channel.clean
    with pytest.raises(ClientError, match="non-numeric"):
        pair.ask(incr(b"k", 1), b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
    assert pair.channel.clean
    assert pair.ask(get(b"a"), KEY_A) == A


def test_an_error_that_may_be_followed_by_another_line_ends_the_connection(pair: Pair) -> None:
    """`bad data chunk` is followed by a second line, sooner or later."""
    with pytest.raises(ClientError, match="bad data chunk"):
        pair.ask(SET, b"CLIENT_ERROR bad data chunk\r\n")
    assert not pair.channel.clean
    with pytest.raises(ConnectionLost, match="nothing was sent"):
        pair.ask(get(b"a"), b"ERROR\r\n")


# What is no reply.


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (KEY_B, "VALUE b"),
        (b"STORED\r\n", "STORED"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"\x00\xff\r\n", "x00"),
        (KEY_A + b"E", "E"),
        (KEY_A + KEY_A, "VALUE a"),
        (b"VALUE a 0 1\r\nABC\r\nEND\r\n", "BC"),
        (b"VALUE a 0 -1\r\n\r\nEND\r\n", "VALUE a 0 -1"),
        (b"x" * 100_000, "xxx"),
    ],
)
def test_anything_else_is_a_protocol_error_and_never_a_reply(
    pair: Pair, reply: bytes, what: str
) -> None:
    with pytest.raises(ProtocolError, match=what) as caught:
        pair.ask(get(b"a"), reply)
    assert "the peer" in str(caught.value)
    assert not pair.channel.clean


def test_a_reply_that_came_before_its_request_is_not_taken_for_the_next_one(pair: Pair) -> None:
    """Position proves nothing: the reply to another key was left in the socket."""
    pair.say(KEY_A)
    with pytest.raises(ProtocolError):
        pair.ask(get(b"b"), KEY_B)
    assert not pair.channel.clean


# The end of the stream.


@pytest.mark.parametrize("reply", [b"V", b"VALUE a 0 10\r\n", b"VALUE a 0 10\r\nabcde", KEY_A[:-1]])
def test_a_stream_that_ends_inside_a_reply_is_lost(pair: Pair, reply: bytes) -> None:
    """A short value is never a value, and an end inside a line does not spin (aiomcache)."""
    pair.say(reply)
    pair.peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost, match=rf"get on the peer.*{len(reply)} received") as caught:
        pair.channel.exchange(get(b"a"), soon())
    assert caught.value.replied
    assert not pair.channel.clean


def test_a_stream_that_ends_before_the_reply_says_that_nothing_was_replied(pair: Pair) -> None:
    pair.peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost, match=r"the peer closed it.*7 of 7 bytes sent") as caught:
        pair.channel.exchange(get(b"a"), soon())
    assert not caught.value.replied
    assert not pair.channel.clean


def test_a_peer_that_is_gone_is_lost_on_sending(pair: Pair) -> None:
    pair.peer.close()
    with pytest.raises(ConnectionLost, match="0 of 7 bytes sent") as caught:
        pair.channel.exchange(get(b"a"), soon())
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    assert not caught.value.replied


# Using what can not be used.


def test_a_dirty_connection_sends_nothing(pair: Pair) -> None:
    with pytest.raises(ProtocolError):
        pair.ask(get(b"a"), b"garbage\r\n")
    pair.hear(7)
    for use in (
        lambda: pair.channel.exchange(get(b"a"), soon()),
        lambda: pair.channel.post(POST),
        lambda: pair.channel.converse((get(b"a"),), soon()),
    ):
        with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
            use()
    pair.channel.abort()
    assert pair.peer.recv(1) == b""


def test_a_closed_connection_sends_nothing(pair: Pair) -> None:
    pair.channel.close()
    assert pair.channel.closed
    assert not pair.channel.clean
    assert not pair.channel.is_alive()
    with pytest.raises(ConnectionLost, match="is closed: nothing was sent"):
        pair.channel.exchange(get(b"a"), soon())


def test_closing_twice_is_closing_once(pair: Pair) -> None:
    pair.channel.close()
    pair.channel.close()
    pair.channel.abort()
    assert pair.channel.fileno() == -1


def test_aborting_closes_the_descriptor_and_tells_the_peer_nothing_else(pair: Pair) -> None:
    """A copy of the descriptor, as a parent process holds one after fork, works on."""
    with socket.socket(fileno=os.dup(pair.channel.fileno())) as copy:
        pair.channel.abort()
        assert pair.channel.fileno() == -1
        pair.say(b"still here")
        assert copy.recv(10) == b"still here"
        copy.sendall(b"likewise")
        assert pair.hear(8) == b"likewise"


def test_a_connection_tells_its_state(pair: Pair) -> None:
    assert repr(pair.channel) == "<Channel to the peer, clean>"
    assert pair.channel.fileno() >= 0
    with pytest.raises(ProtocolError):
        pair.ask(get(b"a"), b"garbage\r\n")
    assert repr(pair.channel) == "<Channel to the peer, dirty>"
    pair.channel.abort()
    assert repr(pair.channel) == "<Channel to the peer, closed>"


def test_only_a_request_can_be_sent(pair: Pair) -> None:
    with pytest.raises((TypeError, AttributeError)):
        pair.channel.exchange(None, soon())  # type: ignore[arg-type]


# Several requests in one write.


def test_a_flight_of_requests_is_answered_in_order(pair: Pair) -> None:
    pair.say(b"MN\r\nVERSION 1.6.18\r\n")
    probe, release = pair.channel.converse((meta_noop(), version()), soon())
    assert probe.status == "MN"  # type: ignore[union-attr]
    assert release == "1.6.18"
    assert pair.hear(13) == b"mn\r\nversion\r\n"


def test_error_replies_of_a_flight_are_values(pair: Pair) -> None:
    pair.say(b"ERROR\r\nVERSION 1.4.39\r\n")
    probe, release = pair.channel.converse((meta_noop(), version()), soon())
    assert isinstance(probe, UnknownCommand)
    assert release == "1.4.39"
    assert pair.channel.clean


def test_an_error_that_ends_the_conversation_is_raised_for_the_whole_flight(pair: Pair) -> None:
    pair.say(b"ERROR Too many open connections\r\n")
    with pytest.raises(ServerError, match="Too many open connections"):
        pair.channel.converse((meta_noop(), version()), soon())
    assert not pair.channel.clean


# Quiet requests.


def test_a_posted_request_is_sent_and_not_waited_for(pair: Pair) -> None:
    pair.channel.post(POST)
    assert pair.hear(len(POST.payload)) == POST.payload
    assert pair.channel.clean
    assert pair.channel.pending == 1


def test_the_next_exchange_reads_the_fence_before_its_own_reply(pair: Pair) -> None:
    pair.channel.post(POST)
    assert pair.ask(get(b"a"), MN + KEY_A) == A
    assert pair.channel.clean
    assert pair.channel.pending == 0


def test_a_fence_that_comes_late_is_waited_for(pair: Pair) -> None:
    def answer() -> None:
        pair.hear(len(POST.payload) + 7)
        pair.say(b"M")
        pair.say(b"N\r\nVALUE a 0 1\r\n")
        pair.say(b"A\r\nEND\r\n")

    pair.channel.post(POST)
    with Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_what_the_server_says_about_a_posted_request_is_dropped(pair: Pair) -> None:
    pair.channel.post(POST)
    assert pair.ask(get(b"a"), b"SERVER_ERROR out of memory\r\n" + MN + KEY_A) == A
    assert pair.channel.clean


def test_a_fence_that_is_none_is_a_protocol_error_for_the_next(pair: Pair) -> None:
    pair.channel.post(POST)
    with pytest.raises(ProtocolError):
        pair.ask(get(b"a"), KEY_A)
    assert not pair.channel.clean


def test_a_posted_request_refused_half_way_never_answers_the_next(pair: Pair) -> None:
    """Its refusal may be followed by more lines: the next caller gets neither of them."""
    pair.channel.post(SET)
    with pytest.raises(ProtocolError, match="an earlier request was answered with ClientError"):
        pair.ask(get(b"a"), b"CLIENT_ERROR bad data chunk\r\n")
    assert not pair.channel.clean


def test_posting_reads_fences_before_they_pile_up(pair: Pair) -> None:
    """A peer that answers every request is never left with replies that nobody reads."""
    rounds = 3 * MOST_POSTED

    def answer() -> None:
        for _ in range(rounds):
            pair.hear(len(POST.payload))
            pair.say(MN)
        pair.hear(7)
        pair.say(KEY_A)

    with Peer(answer):
        for _ in range(rounds):
            pair.channel.post(POST)
            assert pair.channel.pending <= MOST_POSTED
        assert pair.channel.exchange(get(b"a"), soon()) == A


def test_closing_waits_for_the_fences_of_what_was_posted(pair: Pair) -> None:
    """The peer has read and answered everything when it sees the end of the stream."""
    pair.channel.post(POST)
    with Peer(lambda: pair.hear(len(POST.payload)), lambda: pair.say(MN)):
        pair.channel.close()
    assert pair.channel.pending == 0
    assert pair.peer.recv(1) == b""


def test_closing_does_not_wait_long_for_fences(pair: Pair) -> None:
    pair.channel.post(POST)
    pair.channel.close()
    assert pair.channel.closed
    assert pair.channel.fileno() == -1


def test_closing_after_a_broken_fence_just_closes(pair: Pair) -> None:
    pair.channel.post(SET)
    pair.say(b"CLIENT_ERROR bad data chunk\r\nERROR\r\n")
    pair.channel.close()
    assert pair.channel.fileno() == -1


def test_the_time_for_a_goodbye_is_bounded_by_the_timeout(channel_type: ChannelType) -> None:
    with Pair(channel_type, timeout=GOODBYE / 10) as pair:
        pair.channel.post(POST)
        pair.channel.close()
        assert pair.channel.closed


def test_the_failures_of_a_batch_come_with_its_reply(pair: Pair) -> None:
    request = set_many([(b"a", b"1", 0), (b"b", b"2", 0)], 0, meta=False)
    reply = pair.ask(request, b"STORED\r\nSERVER_ERROR out of memory storing object\r\n")
    assert isinstance(reply, BatchReply)
    assert list(reply.failures) == [1]
    assert isinstance(reply.failures[1], OutOfMemory)


# Looking whether the peer is there.


def test_an_idle_connection_is_alive(pair: Pair) -> None:
    assert pair.channel.is_alive()
    assert pair.channel.clean
    assert pair.ask(get(b"a"), KEY_A) == A
    assert pair.channel.is_alive()


def test_a_connection_closed_by_the_peer_is_not_alive(pair: Pair) -> None:
    pair.peer.close()
    assert not pair.channel.is_alive()
    assert not pair.channel.clean


def test_a_connection_with_bytes_that_nobody_asked_for_is_not_alive(pair: Pair) -> None:
    pair.say(b"E")
    assert not pair.channel.is_alive()
    assert not pair.channel.clean


def test_a_dirty_connection_is_not_alive(pair: Pair) -> None:
    with pytest.raises(ProtocolError):
        pair.ask(get(b"a"), b"garbage\r\n")
    assert not pair.channel.is_alive()


def test_looking_consumes_a_fence_that_has_come(pair: Pair) -> None:
    pair.channel.post(POST)
    pair.say(MN)
    assert pair.channel.is_alive()
    assert pair.channel.pending == 0
    assert pair.ask(get(b"a"), KEY_A) == A


def test_looking_does_not_wait_for_a_fence(pair: Pair) -> None:
    pair.channel.post(POST)
    assert pair.channel.is_alive()
    pair.say(b"M")
    assert pair.channel.is_alive()
    assert pair.channel.pending == 1
    assert pair.ask(get(b"a"), b"N\r\n" + KEY_A) == A


@pytest.mark.parametrize(
    "said", [b"HD\r\nMN\r\nX", b"CLIENT_ERROR bad data chunk\r\n", b"what\r\n"]
)
def test_looking_finds_a_fence_that_is_none(pair: Pair, said: bytes) -> None:
    pair.channel.post(SET)
    pair.say(said)
    assert not pair.channel.is_alive()
    assert not pair.channel.clean


def test_a_posted_request_needs_a_peer(pair: Pair) -> None:
    pair.peer.close()
    with pytest.raises(ConnectionLost):
        pair.channel.post(POST)
    assert not pair.channel.clean
