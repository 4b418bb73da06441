"""What tests of nodes share: options under which nothing is checked or pruned unless asked for."""

from __future__ import annotations

from time import monotonic

from cenote.connection import OPEN, TCPAddress
from cenote.node.aio import AsyncNode
from cenote.node.sync import Node
from cenote.pool import PoolOptions
from cenote.testing.proxy import FaultProxy

# The peek before a hand-out is put off, so that a dead connection is found by its use.
TRUSTING = PoolOptions(
    max_size=3, max_connecting=3, check_after=1000.0, connect_timeout=5.0, backoff_base=0.001
)


def soon() -> float:
    """A deadline that only a hanging test reaches."""
    return monotonic() + 120.0


def address_of(proxy: FaultProxy) -> TCPAddress:
    assert not isinstance(proxy.address, str)
    return TCPAddress(*proxy.address)


def node_behind(proxy: FaultProxy, options: PoolOptions = TRUSTING) -> Node:
    return Node(address_of(proxy), name="n", access=OPEN, options=options)


def async_node_behind(proxy: FaultProxy, options: PoolOptions = TRUSTING) -> AsyncNode:
    return AsyncNode(address_of(proxy), name="n", access=OPEN, options=options)
