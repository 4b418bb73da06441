"""What stands in the way of a server's requests when there is a reason to.

Strategy: a server that is well has nothing in its way. Each class here is one reason, with the
``request`` that is put into the routes in place of the server's own: it is down, its requests may
be sent elsewhere if it fails, or one of them is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cenote.cluster.failover import may_go_elsewhere
from cenote.cluster.member_aio import AsyncMember
from cenote.connection import Traits
from cenote.errors import CenoteError, NoNodesAvailable
from cenote.protocol import Reply, Request
from cenote.runtime.aio import Exchange, give_way, monotonic

if TYPE_CHECKING:
    from cenote.cluster.sentry_aio import AsyncSentry
    from cenote.cluster.topology import Topology


class AsyncGuide(Protocol):
    """Who knows where else requests may go: `AsyncDiverting`."""

    second_tries: int

    def stand_in(
        self, member: AsyncMember, place: bytes, request: Request
    ) -> tuple[AsyncMember, Request]:
        """Return where to send a request of a server that was down a moment ago."""
        ...

    def substitutes(self, member: AsyncMember) -> Topology[AsyncMember]:
        """Return who serves the keys of a server that is down, or fails."""
        ...

    def fitted(self, member: AsyncMember, request: Request) -> Request:
        """Return a request as it is sent to a server."""
        ...

    def explained(self, error: CenoteError) -> CenoteError:
        """Return the error of a request, or that there is nobody left who could be asked."""
        ...

    def spend(self) -> bool:
        """Tell whether something may be sent a second time, now."""
        ...


class AsyncTimekeeper(Protocol):
    """Who wants to know how long requests take: `AsyncFailover`."""

    def timed(self, sentry: AsyncSentry) -> None:
        """Have a server's requests take the straight way again: one is being timed."""

    def measured(self, sentry: AsyncSentry, seconds: float) -> None:
        """Take note of how long it took."""


class AsyncDetour:
    """The way around a server that is down.

    Args:
        failover: Who knows where to.
        member: The server.
        place: What places the keys that go this way; None: the key of each request.
    """

    def __init__(
        self, failover: AsyncGuide, member: AsyncMember, place: bytes | None = None
    ) -> None:
        self._failover = failover
        self._member = member
        self._place = place

    async def request(self, request: Request, deadline: float) -> Reply:
        """Send a request to whoever steps in.

        Raises:
            NodeDown, NoNodesAvailable: Nobody does.
        """
        member, fitted = await self._stand_in(request)
        try:
            reply: Reply = await member.request(fitted, deadline)
        except CenoteError as error:
            raise self._failover.explained(error) from error.__cause__
        return reply

    async def post(self, request: Request, deadline: float) -> None:
        """Send a quiet request, likewise."""
        member, fitted = await self._stand_in(request)
        await member.way.post(fitted, deadline)

    async def traits(self, deadline: float) -> Traits:
        """Return what the server can do that steps in."""
        try:
            substitutes = self._failover.substitutes(self._member)
        except NoNodesAvailable:
            await give_way()
            raise
        return await substitutes.owner(self._place or b"").way.traits(deadline)

    async def _stand_in(self, request: Request) -> tuple[AsyncMember, Request]:
        place = self._place or request.key or b""
        try:
            return self._failover.stand_in(self._member, place, request)
        except NoNodesAvailable:
            await give_way()
            raise


class AsyncGuard:
    """The way to a server whose requests may be sent elsewhere when it fails.

    Args:
        failover: Who knows where to.
        member: The server.
        ask: How it is asked.
        place: What places the keys that go this way; None: the key of each request.
    """

    def __init__(
        self, failover: AsyncGuide, member: AsyncMember, ask: Exchange, place: bytes | None = None
    ) -> None:
        self._failover = failover
        self._member = member
        self._ask: Exchange = ask
        self._place = place

    async def request(self, request: Request, deadline: float) -> Reply:
        """Send a request; if it fails and may be sent elsewhere, send it there, once."""
        try:
            reply: Reply = await self._ask(request, deadline)
        except CenoteError as error:
            return await self._elsewhere(request, deadline, error)
        return reply

    async def _elsewhere(self, request: Request, deadline: float, error: CenoteError) -> Reply:
        failover, member = self._failover, self._member
        place = self._place or request.key or b""
        ejected = member.node.vigil.down
        if (
            not may_go_elsewhere(request, error, ejected=ejected)
            or monotonic() >= deadline
            or not failover.spend()
        ):
            raise failover.explained(error)
        if ejected:
            substitute, fitted = failover.stand_in(member, place, request)
        else:
            substitute = failover.substitutes(member).owner(place)
            fitted = failover.fitted(substitute, request)
        failover.second_tries += 1
        try:
            reply: Reply = await substitute.request(fitted, deadline)
        except CenoteError as second:
            raise failover.explained(second) from error
        return reply


class AsyncStopwatch:
    """The way to a server of whose requests one is timed.

    Args:
        failover: Who wants to know.
        sentry: The server's.
    """

    def __init__(self, failover: AsyncTimekeeper, sentry: AsyncSentry) -> None:
        self._failover = failover
        self._sentry = sentry
        self._ask: Exchange = sentry.member.request

    async def request(self, request: Request, deadline: float) -> Reply:
        """Send a request, and time it unless another was faster; what it fails with counts not."""
        if not self._sentry.timing:
            unwatched: Reply = await self._ask(request, deadline)
            return unwatched
        self._failover.timed(self._sentry)
        began = monotonic()
        reply: Reply = await self._ask(request, deadline)
        self._failover.measured(self._sentry, monotonic() - began)
        return reply
