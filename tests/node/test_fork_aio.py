"""A node in a child forked from a running coroutine: no reply of one process reaches the other."""

from __future__ import annotations

import os

import pytest

from cenote.connection import OPEN, TCPAddress
from cenote.errors import WrongLoop
from cenote.node.aio import AsyncNode
from cenote.pool import PoolOptions
from cenote.protocol import STORED, incr, store
from cenote.testing.memcached import MemcachedServer
from tests.node.worlds import soon

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def ask_in_child(node: AsyncNode) -> int:
    """Fork, begin a request in the child; return how the child ended: 0 if it was refused."""
    child = os.fork()
    if not child:
        status = 1
        try:
            node.request(incr(b"y", 1), soon())
        except WrongLoop:
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def test_a_request_of_a_forked_child_reaches_no_connection_of_the_parent(
    server: MemcachedServer,
) -> None:
    address = TCPAddress("127.0.0.1", server.port)
    node = AsyncNode(address, name="n", access=OPEN, options=PoolOptions(max_size=1))
    try:
        for key, value in ((b"x", b"1"), (b"y", b"1000")):
            assert await node.request(store("set", key, value, 0, 0), soon()) is STORED
        assert ask_in_child(node) == 0
        assert await node.request(incr(b"x", 1), soon()) == 2
        assert await node.request(incr(b"y", 1), soon()) == 1001
        assert node.pool.stats().created == 1
    finally:
        await node.close()
