# Generated from src/cenote/cluster/detour_aio.py by tools/unasync.py; do not edit.
"""What stands in the way of a server's requests when there is a reason to.

Strategy: a server that is well has nothing in its way. Each class here is one reason, with the
``request`` that is put into the routes in place of the server's own: it is down, its requests may
be sent elsewhere if it fails, or one of them is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cenote.cluster.failover import may_go_elsewhere
from cenote.cluster.member_sync import Member
from cenote.connection import Traits
from cenote.errors import CenoteError, NoNodesAvailable
from cenote.protocol import Reply, Request
from cenote.runtime.sync import Exchange, give_way, monotonic

if TYPE_CHECKING:
    from cenote.cluster.sentry_sync import Sentry
    from cenote.cluster.topology import Topology


class Guide(Protocol):
    """Who knows where else requests may go: `Diverting`."""

    second_tries: int

    def stand_in(self, member: Member, place: bytes, request: Request) -> tuple[Member, Request]:
        """Return where to send a request of a server that was down a moment ago."""
        ...

    def substitutes(self, member: Member) -> Topology[Member]:
        """Return who serves the keys of a server that is down, or fails."""
        ...

    def fitted(self, member: Member, request: Request) -> Request:
        """Return a request as it is sent to a server."""
        ...

    def explained(self, error: CenoteError) -> CenoteError:
        """Return the error of a request, or that there is nobody left who could be asked."""
        ...

    def spend(self) -> bool:
        """Tell whether something may be sent a second time, now."""
        ...


class Timekeeper(Protocol):
    """Who wants to know how long requests take: `Failover`."""

    def timed(self, sentry: Sentry) -> None:
        """Have a server's requests take the straight way again: one is being timed."""

    def measured(self, sentry: Sentry, seconds: float) -> None:
        """Take note of how long it took."""


class Detour:
    """The way around a server that is down.

    Args:
        failover: Who knows where to.
        member: The server.
        place: What places the keys that go this way; None: the key of each request.
    """

    def __init__(self, failover: Guide, member: Member, place: bytes | None = None) -> None:
        self._failover = failover
        self._member = member
        self._place = place

    def request(self, request: Request, deadline: float) -> Reply:
        """Send a request to whoever steps in.

        Raises:
            NodeDown, NoNodesAvailable: Nobody does.
        """
        member, fitted = self._stand_in(request)
        try:
            reply: Reply = member.request(fitted, deadline)
        except CenoteError as error:
            raise self._failover.explained(error) from error.__cause__
        return reply

    def post(self, request: Request, deadline: float) -> None:
        """Send a quiet request, likewise."""
        member, fitted = self._stand_in(request)
        member.way.post(fitted, deadline)

    def traits(self, deadline: float) -> Traits:
        """Return what the server can do that steps in."""
        try:
            substitutes = self._failover.substitutes(self._member)
        except NoNodesAvailable:
            give_way()
            raise
        return substitutes.owner(self._place or b"").way.traits(deadline)

    def _stand_in(self, request: Request) -> tuple[Member, Request]:
        place = self._place or request.key or b""
        try:
            return self._failover.stand_in(self._member, place, request)
        except NoNodesAvailable:
            give_way()
            raise


class Guard:
    """The way to a server whose requests may be sent elsewhere when it fails.

    Args:
        failover: Who knows where to.
        member: The server.
        ask: How it is asked.
        place: What places the keys that go this way; None: the key of each request.
    """

    def __init__(
        self, failover: Guide, member: Member, ask: Exchange, place: bytes | None = None
    ) -> None:
        self._failover = failover
        self._member = member
        self._ask: Exchange = ask
        self._place = place

    def request(self, request: Request, deadline: float) -> Reply:
        """Send a request; if it fails and may be sent elsewhere, send it there, once."""
        try:
            reply: Reply = self._ask(request, deadline)
        except CenoteError as error:
            return self._elsewhere(request, deadline, error)
        return reply

    def _elsewhere(self, request: Request, deadline: float, error: CenoteError) -> Reply:
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
            reply: Reply = substitute.request(fitted, deadline)
        except CenoteError as second:
            raise failover.explained(second) from error
        return reply


class Stopwatch:
    """The way to a server of whose requests one is timed.

    Args:
        failover: Who wants to know.
        sentry: The server's.
    """

    def __init__(self, failover: Timekeeper, sentry: Sentry) -> None:
        self._failover = failover
        self._sentry = sentry
        self._ask: Exchange = sentry.member.request

    def request(self, request: Request, deadline: float) -> Reply:
        """Send a request, and time it unless another was faster; what it fails with counts not."""
        if not self._sentry.timing:
            unwatched: Reply = self._ask(request, deadline)
            return unwatched
        self._failover.timed(self._sentry)
        began = monotonic()
        reply: Reply = self._ask(request, deadline)
        self._failover.measured(self._sentry, monotonic() - began)
        return reply
