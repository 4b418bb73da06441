"""Reading while writing: a batch of any size ends, though its replies fill every buffer there
is."""

from __future__ import annotations

import pytest

from cenote.connection import TCPAddress
from cenote.connection.endpoint import literal_endpoints
from cenote.protocol import STORED, BatchReply, set_many, store
from tests.connection.conftest import ChannelType
from tests.connection.peers import Pair, Peer, soon


def test_a_flood_of_sets_is_answered_while_it_is_sent(pair: Pair) -> None:
    """A client that writes all before it reads meets a peer that stops reading until it is read."""
    count = 100_000  # both directions are many times what the sockets' buffers hold
    request = set_many([(b"k", b"v", 0)] * count, 0, meta=False)
    size = len(request.payload) // count

    def answer() -> None:
        answered = received = 0
        while answered < count:
            received += len(pair.peer.recv(1 << 18))
            complete = received // size
            pair.say(b"STORED\r\n" * (complete - answered))
            answered = complete

    with Peer(answer):
        reply = pair.channel.exchange(request, soon())
    assert reply == BatchReply()
    assert pair.channel.clean


def test_a_reply_may_be_complete_before_its_request_is(pair: Pair) -> None:
    """A server that refuses an item says so at once and swallows the rest."""
    request = store("set", b"k", bytes(8 << 20), 0, 0)

    def refuse_then_swallow() -> None:
        pair.hear(1000)
        pair.say(b"STORED\r\n")
        pair.hear(len(request.payload) - 1000)

    with Peer(refuse_then_swallow):
        assert pair.channel.exchange(request, soon()) is STORED
    assert pair.channel.clean


@pytest.mark.parametrize("meta", [True, False], ids=["quiet", "classic"])
def test_a_large_batch_on_a_real_server(
    channel_type: ChannelType, tcp: TCPAddress, meta: bool
) -> None:
    [endpoint] = literal_endpoints(tcp) or []
    sock = endpoint.open()
    sock.setblocking(True)
    sock.connect(endpoint.sockaddr)
    channel = channel_type(sock, 5.0, tcp)
    items = [(b"key%d" % index, b"v", 0) for index in range(100_000)]
    try:
        assert channel.exchange(set_many(items, 0, meta=meta), soon(120)) == BatchReply()
        assert channel.clean
    finally:
        channel.close()
