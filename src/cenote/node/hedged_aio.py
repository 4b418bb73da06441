"""Two tries of one read: the second begins when the first is late, the first good answer wins.

Strategy: requests in asyncio are futures, so waiting for two of them needs no task, and letting go
of the loser costs nothing: its reply is swallowed when it comes. The second try takes another
connection to the same server (that of long values), so that it does not wait behind whatever the
first one waits for. It is paid for like any second try.

There is no twin for threads: the loser's connection would have to be destroyed, or its reply
awaited.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from cenote.connection.sharer import ANSWERED_ELSEWHERE
from cenote.errors import CenoteError
from cenote.node.hedging import Delay

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable

    from cenote.node.hedging import HedgeAfter
    from cenote.protocol import Request
    from cenote.runtime.aio import Exchange

_READS: Final = frozenset({"get", "gets", "mg"})


class AsyncHedge:
    """Carries the requests of one node, reads with a second try where their reply is late.

    Args:
        after: Seconds to wait for the first try, or ``"p95"``.
        first: Sends a request.
        second: Sends it over another connection.
        may_spend: Tells whether anything may be sent a second time, now.

    Attributes:
        hedged: Reads that were sent twice.
        won: Those that the second try has answered.
    """

    def __init__(
        self,
        after: HedgeAfter,
        first: Exchange,
        second: Exchange,
        may_spend: Callable[[], bool],
    ) -> None:
        self._delay = Delay(after)
        self._first = first
        self._second = second
        self._may_spend = may_spend
        self.hedged = 0
        self.won = 0

    def request(self, request: Request, deadline: float) -> Awaitable[Any]:
        """Send a request; see ``AsyncNode.request``."""
        if request.verb not in _READS or not request.idempotent:
            return self._first(request, deadline)
        return self._read(request, deadline)

    async def _read(self, request: Request, deadline: float) -> Any:
        began = monotonic()

        def again() -> Awaitable[Any] | None:
            if began + self._delay.seconds >= deadline or not self._may_spend():
                return None
            try:
                pending = self._second(request, deadline)
            except CenoteError:
                return None
            self.hedged += 1
            return pending

        first = self._first(request, deadline)
        reply, was_second = await first_good(first, self._delay.seconds, again)
        self.won += was_second
        self._delay.took(monotonic() - began)
        return reply


async def first_good(
    first: Awaitable[Any], after: float, second: Callable[[], Awaitable[Any] | None]
) -> tuple[Any, bool]:
    """Return the answer of the try that is the first to give one.

    A cancel drops both.

    Args:
        first: The first try.
        after: Seconds after which there is a second.
        second: Begins the second try; returns None if there may not be one.

    Returns:
        The answer, and whether it is the second try's.

    Raises:
        CenoteError: Neither gave one; this is what the first failed with.
    """
    tries: list[Future[Any]] = [asyncio.ensure_future(first)]
    why = None
    try:
        if not await _settled(tries, after):
            other = second()
            if other is not None:
                tries.append(asyncio.ensure_future(other))
        while not await _settled(tries, None):
            continue
        for index, each in enumerate(tries):
            if _is_good(each):
                why = ANSWERED_ELSEWHERE
                return each.result(), index == 1
        return tries[0].result(), False
    finally:
        for each in tries:
            if not each.cancel(why) and not each.cancelled():
                each.exception()  # it counts as seen


async def _settled(tries: list[Future[Any]], seconds: float | None) -> bool:
    """Wait until a try has a good answer, or all have ended; False: there is more to wait for."""
    running = [each for each in tries if not each.done()]
    if running and not any(map(_is_good, tries)):
        await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    return any(map(_is_good, tries)) or all(each.done() for each in tries)


def _is_good(each: Future[Any]) -> bool:
    return each.done() and not each.cancelled() and not isinstance(each.exception(), CenoteError)
