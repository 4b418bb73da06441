"""An idle connection holds next to nothing: 10,000 of them must not need more than 40 MB."""

from __future__ import annotations

import gc
import socket
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

from cenote.connection._exchange_native import Channel
from cenote.protocol import get, store
from tests.connection.conftest import ChannelType
from tests.connection.peers import Peer, receive_exactly, soon

CONNECTIONS = 150
LIMIT = 4096
VALUE = bytes(300_000)
REPLY = b"VALUE a 0 %d\r\n%b\r\nEND\r\n" % (len(VALUE), VALUE)


def _used(channel: Channel, far: socket.socket) -> Channel:
    """The channel, after a large value went either way, idle again."""
    request = store("set", b"k", VALUE, 0, 0)

    def answer() -> None:
        receive_exactly(far, len(request.payload))
        far.sendall(b"STORED\r\n")
        receive_exactly(far, 7)
        far.sendall(REPLY)

    with Peer(answer):
        channel.exchange(request, soon())
        assert channel.exchange(get(b"a"), soon()) == (VALUE, 0, 0)
    assert channel.clean
    return channel


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_an_idle_connection_holds_less_than_four_kilobytes(channel_type: ChannelType) -> None:
    with ExitStack() as cleanup:
        pairs = [socket.socketpair() for _ in range(CONNECTIONS)]
        for near, far in pairs:
            far.settimeout(5.0)
            cleanup.callback(near.close)
            cleanup.callback(far.close)
        channels = [_used(channel_type(near, 5.0, "peer"), far) for near, far in pairs[:1]]
        gc.collect()
        resident = _resident()  # with all that is needed only once
        tracemalloc.start()
        cleanup.callback(tracemalloc.stop)
        channels += [_used(channel_type(near, 5.0, "peer"), far) for near, far in pairs[1:]]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        grown = _resident() - resident
    assert held / (CONNECTIONS - 1) < LIMIT
    # A buffer kept by each would be tens of megabytes; the allocator itself may keep a few.
    assert grown < CONNECTIONS * LIMIT + (6 << 20)
