"""One batch of requests, each to a server of its own, from asyncio: all in flight before one reply.

Strategy: every server is asked, then the replies are awaited one after the other; no task is made
for what is a future already. Nothing is held while a reply is awaited that another batch could wait
for. A cancel drops what has not been answered. Twin: ``many_sync.py``.
"""

from __future__ import annotations

from asyncio import ensure_future
from typing import TYPE_CHECKING, cast

from cenote.errors import CenoteError

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from cenote.node.aio import AsyncNode
    from cenote.protocol import Reply, Request

    Flight: TypeAlias = Future[Any] | CenoteError


async def exchange_all(asked: Sequence[tuple[AsyncNode, Request]], deadline: float) -> list[Reply]:
    """Send each request to its server and return the replies, errors as values.

    Args:
        asked: Servers, each once, and what to ask them.
        deadline: Absolute, on the monotonic clock; covers everything.
    """
    flights = [_begun(node, request, deadline) for node, request in asked]
    try:
        return [await _landed(flight) for flight in flights]
    finally:
        for flight in flights:
            _drop(flight)


def _begun(node: AsyncNode, request: Request, deadline: float) -> Flight:
    try:
        return ensure_future(node.request(request, deadline))
    except CenoteError as error:
        return error


async def _landed(flight: Flight) -> Reply:
    if isinstance(flight, CenoteError):
        return flight
    try:
        return cast("Reply", await flight)
    except CenoteError as error:
        return error


def _drop(flight: Flight) -> None:
    """Let go of a future: its reply is swallowed, its error counts as seen."""
    if not isinstance(flight, CenoteError) and not flight.cancel() and not flight.cancelled():
        flight.exception()
