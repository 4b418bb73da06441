"""Every exchange ends by its deadline, whatever the peer does; and no later than a little after."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from cenote.errors import ConnectionLost, OperationTimeout
from cenote.protocol import get, store
from tests.connection.peers import KEY_A, A, Pair, Peer, soon

# What a loaded machine may add to a deadline, in seconds; the exchange itself adds a millisecond.
# Who misses it waits for ever, or for the 5 s that the connection has for a timeout of its own.
SLACK = 2.5


@contextmanager
def ends_by(deadline: float) -> Iterator[pytest.ExceptionInfo[OperationTimeout]]:
    """State that the block times out, not before the deadline nor much after it."""
    with pytest.raises(OperationTimeout) as caught:
        yield caught
    assert -0.001 < monotonic() - deadline < SLACK
    assert caught.value.phase == "exchange"


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.03, 0.1, 0.3])
def test_a_silent_peer_is_given_up_at_the_deadline(pair: Pair, seconds: float) -> None:
    deadline = monotonic() + seconds
    with ends_by(deadline) as caught:
        pair.channel.exchange(get(b"a"), deadline)
    # On a busy machine a millisecond may be over before the exchange begins.
    assert pair.channel.clean == ("nothing was sent" in str(caught.value))


def test_a_timeout_tells_who_what_and_how_far(pair: Pair) -> None:
    pair.say(b"VALUE a")
    with pytest.raises(OperationTimeout) as caught:
        pair.channel.exchange(get(b"a"), monotonic() + 0.03)
    assert "get on the peer, 0." in str(caught.value)
    assert "7 of 7 bytes sent and 7 received" in str(caught.value)


@pytest.mark.parametrize("deadline", [0.0, -math.inf, math.nan])
def test_a_deadline_that_has_passed_sends_nothing(pair: Pair, deadline: float) -> None:
    with pytest.raises(OperationTimeout, match="nothing was sent"):
        pair.channel.exchange(get(b"a"), deadline)
    assert pair.channel.clean
    assert pair.ask(get(b"a"), KEY_A) == A
    assert pair.hear(7) == b"get a\r\n"


def test_no_deadline_waits_for_the_reply(pair: Pair) -> None:
    with Peer(lambda: pair.hear(7), lambda: pair.say(KEY_A)):
        assert pair.channel.exchange(get(b"a"), math.inf) == A


@contextmanager
def dripping(pair: Pair, data: bytes) -> Iterator[None]:
    """A peer that sends ``data`` a byte every few milliseconds, then again, until the block
    ends."""
    over = threading.Event()

    def drip() -> None:
        pair.say(data)
        while not over.wait(0.004):
            pair.say(b"x")

    with Peer(drip):
        try:
            yield
        finally:
            over.set()


@pytest.mark.parametrize("head", [b"", b"VALUE a 0 1000000\r\n"], ids=["in a line", "in a value"])
def test_a_drip_feeding_peer_does_not_extend_the_deadline(pair: Pair, head: bytes) -> None:
    """Every byte resets the timeout of clients that count it from the last one."""
    with dripping(pair, head):
        deadline = monotonic() + 0.2
        with ends_by(deadline):
            pair.channel.exchange(get(b"a"), deadline)


def test_a_shorter_deadline_than_the_last_one_is_kept(pair: Pair) -> None:
    assert pair.ask(get(b"a"), KEY_A, soon(60)) == A
    deadline = monotonic() + 0.06
    with ends_by(deadline):
        pair.channel.exchange(get(b"a"), deadline)


def test_a_longer_deadline_than_the_last_one_is_used(pair: Pair) -> None:
    """The reply comes when the timeout of the exchange before would have struck."""
    assert pair.ask(get(b"a"), KEY_A, monotonic() + 0.3) == A
    pair.hear(7)

    def answer_late() -> None:
        pair.hear(7)
        threading.Event().wait(0.4)
        pair.say(KEY_A)

    with Peer(answer_late):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_a_reply_in_the_last_milliseconds_is_taken(pair: Pair) -> None:
    pair.say(KEY_A)
    assert pair.channel.exchange(get(b"a"), monotonic() + 0.02) == A
    assert pair.channel.clean


def test_a_peer_that_does_not_read_is_given_up_while_sending(pair: Pair) -> None:
    size = 8 << 20
    deadline = monotonic() + 0.1
    with ends_by(deadline):
        pair.channel.exchange(store("set", b"k", bytes(size), 0, 0), deadline)
    assert not pair.channel.clean


def test_a_peer_that_leaves_while_it_is_sent_to_is_lost(pair: Pair) -> None:
    def leave() -> None:
        pair.hear(100)
        pair.peer.shutdown(socket.SHUT_RDWR)

    with Peer(leave), pytest.raises(ConnectionLost, match=r"set on the peer.* bytes sent"):
        pair.channel.exchange(store("set", b"k", bytes(8 << 20), 0, 0), soon())
    assert not pair.channel.clean


def test_a_post_has_the_timeout_of_its_connection(pair: Pair) -> None:
    pair.channel.timeout = 0.05
    deadline = monotonic() + 0.05
    with ends_by(deadline):
        pair.channel.post(store("set", b"k", bytes(8 << 20), 0, 0))
    assert not pair.channel.clean


def test_a_post_takes_a_deadline_of_its_own(pair: Pair) -> None:
    with pytest.raises(OperationTimeout, match="nothing was sent"):
        pair.channel.post(store("set", b"k", b"v", 0, 0), 0.0)
    assert pair.channel.clean
