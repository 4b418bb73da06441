"""Carries requests to several servers that hold the same keys.

Strategy: the rules are pure (``replicas.py``); here they are followed. Whoever may lack a write is
taken out of service at once, and comes back by the probe that every server comes back by, which
flushes it first. A write that has begun is carried to its end, also if its caller is cancelled:
else some would have it and others not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from cenote.cluster.failover import NOT_SENT, may_go_elsewhere
from cenote.cluster.replicas import (
    Kind,
    Replicas,
    answer_of,
    completed,
    fastest,
    forgetting,
    is_miss,
    kind_of,
    lacking,
    try_until,
)
from cenote.connection import Traits
from cenote.errors import CenoteError, ClientError, PoolError, ServerError
from cenote.node.many_aio import exchange_all
from cenote.protocol import Reply, Request
from cenote.runtime.aio import Exchange, monotonic, unbroken

if TYPE_CHECKING:
    from cenote.node.aio import AsyncNode

_CLASSIC = Traits(meta=False, version="")


class AsyncReplica(Protocol):
    """One of the servers: an `AsyncMember`."""

    @property
    def number(self) -> int:
        """Its place in the order of leases."""
        ...

    @property
    def node(self) -> AsyncNode:
        """Its connections."""
        ...

    @property
    def request(self) -> Any:
        """Sends a request to it: an ``Exchange``."""
        ...


R = TypeVar("R", bound=AsyncReplica)


class AsyncOverseer(Protocol):
    """Who decides which servers are in service: `AsyncFailover`."""

    second_tries: int

    def spend(self) -> bool:
        """Tell whether something may be sent a second time, now."""
        ...

    def wake(self) -> None:
        """Have servers that are down probed."""

    def take_out(self, member: Any, reason: str) -> None:
        """Have a replica not asked any more until it has been flushed; the last one stays."""

    def timing(self, member: Any) -> Exchange | None:
        """Return what sends a server's request and times it; None: none is to be timed now."""
        ...


class AsyncReplicaSet(Generic[R]):
    """The way to some keys that several servers hold.

    Args:
        server: What was said of them.
        members: The servers, in the order of preference.

    Attributes:
        members: As given.
    """

    _failover: AsyncOverseer

    def __init__(self, server: Replicas, members: Sequence[R]) -> None:
        self.members = tuple(members)
        self._by_speed = server.read == "fastest"
        self._nearest = self.members[0]

    def watched_by(self, failover: AsyncOverseer) -> None:
        """Leave it to somebody who is in service."""
        self._failover = failover

    def in_service(self) -> list[R]:
        """Return who may be asked, in the order of preference; at least one."""
        found = [member for member in self.members if not member.node.vigil.down]
        if len(found) < len(self.members):
            self._failover.wake()
        return found

    def readers(self) -> list[R]:
        """Return who may be read from, whoever is to be first."""
        readers = self.in_service()
        if self._by_speed:
            readers.sort(key=lambda member: member is not self._nearest)
        return readers

    async def traits(self, deadline: float) -> Traits:  # noqa: ARG002 - nobody is asked
        """Return what requests may be made of: classic commands, whose effect is in their name."""
        return _CLASSIC

    async def post(self, request: Request, deadline: float) -> None:
        """Send a quiet request, and wait for the reply: who has lost it must be known."""
        await self.request(request, deadline)

    async def request(self, request: Request, deadline: float) -> Reply:
        """Send a request to whom it is for, and return the reply.

        Raises:
            CenoteError: Nobody has answered, or all have refused.
        """
        kind = kind_of(request)
        if kind is Kind.READ:
            return await self._read(request, deadline)
        if kind is Kind.DECIDED:
            return await unbroken(self._decided(request, deadline))
        return _raised(await unbroken(self._everywhere(request, deadline)))

    # Reading.

    async def _read(self, request: Request, deadline: float) -> Reply:
        readers = self.readers()
        timing = self._to_be_timed(readers) if self._by_speed else None
        member, reply = await self._asked(readers, timing, request, deadline)
        return await self.second_opinion(request, deadline, reply, member)

    async def _asked(
        self, readers: Sequence[R], timing: Exchange | None, request: Request, deadline: float
    ) -> tuple[R, Reply]:
        """Return who has answered a read, and what; the first is asked by ``timing``, if any."""
        for number, member in enumerate(readers[:-1]):
            until = try_until(monotonic(), deadline, len(readers) - number)
            ask, timing = timing or member.request, None
            try:
                return member, await ask(request, until)
            except CenoteError as error:
                if not self.may_try_next(request, error):
                    raise
        last = readers[-1]
        ask = timing or last.request
        return last, await ask(request, deadline)

    def may_try_next(self, request: Request, error: CenoteError) -> bool:
        """Tell whether the next is to be read from; count it."""
        failover = self._failover
        if not may_go_elsewhere(request, error, ejected=False) or not failover.spend():
            return False
        failover.second_tries += 1
        return True

    async def second_opinion(
        self, request: Request, deadline: float, reply: Reply, member: R
    ) -> Reply:
        """Return what a read has found; ask whoever decides about what it has not found."""
        decider = self.in_service()[0]
        if member is decider or not is_miss(request, reply):
            return reply
        try:
            found: Reply = await decider.request(request, deadline)
        except CenoteError:
            return reply
        return completed(reply, found)

    def _to_be_timed(self, readers: list[R]) -> Exchange | None:
        """Put a reader first that is to be timed, if one is; return what does."""
        self._nearest = fastest(
            self._nearest, {each: each.node.vigil.figures.latency for each in readers}
        )
        for member in readers:
            timing = self._failover.timing(member)
            if timing is not None:
                readers.sort(key=lambda each: each is not member)
                return timing
        return None

    # Writing.

    def judge(self, replies: Mapping[R, Reply]) -> Reply:
        """Return the answer to a write; whoever may lack it is taken out of service."""
        members, said = list(replies), list(replies.values())
        self.distrust([members[number] for number in lacking(said)])
        return answer_of(said)

    def distrust(self, members: Sequence[R]) -> None:
        """Take servers out of service that may lack a write; of all there are, not the first."""
        for member in reversed(members):
            self._failover.take_out(member, "it may lack a write that another replica has")

    async def _everywhere(self, request: Request, deadline: float) -> Reply:
        members = self.in_service()
        return self.judge(await self._sent(members, request, deadline))

    async def _sent(
        self, members: Sequence[R], request: Request, deadline: float
    ) -> dict[R, Reply]:
        try:
            return await send([(member, request) for member in members], deadline)
        except BaseException:
            self.distrust(members)
            raise

    async def _decided(self, request: Request, deadline: float) -> Reply:
        """Have one decide; the others forget the key if it has changed."""
        members = self.in_service()
        place, reply = await self._decide(members, request, deadline)
        self.distrust(members[:place])
        forget = forgetting(request, reply)
        others = members[place + 1 :]
        if forget is not None and others:
            replies = await self._sent(others, forget, deadline)
            self.distrust([each for each, said in replies.items() if isinstance(said, CenoteError)])
        return reply

    async def _decide(
        self, members: Sequence[R], request: Request, deadline: float
    ) -> tuple[int, Reply]:
        """Return the decision of the first that can be reached, and its number."""
        last = len(members) - 1
        for number in range(last):
            try:
                return number, await self._heard(members[number], request, deadline)
            except NOT_SENT:
                if not self._failover.spend():
                    raise
        return last, await self._heard(members[last], request, deadline)

    async def _heard(self, member: R, request: Request, deadline: float) -> Reply:
        """Have a server decide; if it was sent and is not heard, nobody knows what it did."""
        try:
            reply: Reply = await member.request(request, deadline)
        except (ServerError, ClientError, PoolError):
            raise
        except BaseException:
            self.distrust([member])
            raise
        return reply


async def send(asked: Sequence[tuple[R, Request]], deadline: float) -> dict[R, Reply]:
    """Send requests to servers at the same time; return their replies, errors as values."""
    in_order = sorted(asked, key=lambda work: work[0].number)
    replies = await exchange_all([(member.node, each) for member, each in in_order], deadline)
    answers = {member: reply for (member, _), reply in zip(in_order, replies, strict=True)}
    return {member: answers[member] for member, _ in asked}


def _raised(reply: Reply) -> Reply:
    if isinstance(reply, CenoteError):
        raise reply
    return cast("Reply", reply)
