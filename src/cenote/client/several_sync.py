# Generated from src/cenote/client/several_aio.py by tools/unasync.py; do not edit.
"""Commands about many keys, where several servers share them: one batch a server, all at once.

Strategy: keys are grouped by their server, each group is one request, and all requests are under
way before the first reply is read. A server that can not be asked is reported key by key:
``set_many`` returns its keys among the failed ones, the other commands raise `PartialFailure`,
which holds what the remaining servers answered. If none answered, the first error is raised as from
a single server. With ``on_error="miss"`` each such server counts as one outage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias

from cenote.client.base_sync import Base
from cenote.client.keys import K
from cenote.client.outcome import OUTAGES
from cenote.client.routed import Key
from cenote.cluster.sync import Cluster
from cenote.cluster.member_sync import Member
from cenote.cluster.topology import in_lease_order
from cenote.errors import CenoteError, NoNodesAvailable, PartialFailure
from cenote.protocol import BatchReply, RawItem, Request

Encode: TypeAlias = "Callable[[Part[Any]], Request]"
"""Makes the request for the keys of one server."""


class Part(Generic[K]):
    """The keys of one server.

    Attributes:
        member: The server.
        positions: Where its keys stand among all.
        names: The keys as given.
        wires: The keys as they go on the wire.
        meta: Whether the server knows the meta commands, where that has been asked.
        places: What places each key.
        request: What it was asked.
        reply: What it answered.
        error: Why it could not be asked, else None.
    """

    __slots__ = (
        "error", "member", "meta", "names", "places", "positions", "reply", "request", "wires",
    )  # fmt: skip

    def __init__(
        self,
        member: Member,
        positions: list[int],
        names: Sequence[K],
        wires: Sequence[bytes],
        places: Sequence[bytes],
    ) -> None:
        self.member = member
        self.positions = positions
        self.names = [names[position] for position in positions]
        self.wires = [wires[position] for position in positions]
        self.places = [places[position] for position in positions]
        self.request: Request | None = None
        self.meta = False
        self.reply: Any = None
        self.error: CenoteError | None = None

    def failures(self) -> dict[K, CenoteError]:
        """Return the error of each key that has one."""
        if self.error is not None:
            return dict.fromkeys(self.names, self.error)
        if not isinstance(self.reply, BatchReply):
            return {}
        for error in self.reply.unplaced:
            return dict.fromkeys(self.names, error)  # one of them has failed: nobody knows which
        failed = self.reply.failures.items()
        return {self.names[index]: e for index, e in failed if isinstance(e, CenoteError)}

    def drop_repeated(self) -> None:
        """Leave each key in once."""
        names = dict(zip(self.wires, self.names, strict=True))
        self.wires, self.names = list(names), list(names.values())


def failures_of(parts: Sequence[Part[K]]) -> dict[K, CenoteError]:
    """Return the errors of all keys whose server could not be asked."""
    return {name: error for part in parts for name, error in part.failures().items()}


class Several(Base):
    """What the multi-key commands have in common."""

    def _parts(self, names: Sequence[K], wires: Sequence[bytes], *, writes: bool) -> list[Part[K]]:
        """Group keys by the server to be asked; nothing if a router knows none, if forgiven."""
        places = wires
        if Key in set(map(type, names)):
            route = self._encoder.route
            places = [
                route(name) if isinstance(name, Key) else wire
                for name, wire in zip(names, wires, strict=True)
            ]
        try:
            spread = self._cluster.spread(places, wires, writes=writes)
        except NoNodesAvailable as error:
            self._tolerate(error)
            return []
        parts = []
        for member, positions, refusal in spread:
            part = Part(member, positions, names, wires, places)
            part.error = refusal
            parts.append(part)
        return parts

    def _learn_meta(self, parts: Sequence[Part[K]], deadline: float) -> None:
        """Find out which servers know the meta commands; known but for the first time."""
        for part in parts:
            if part.error is not None:
                continue
            try:
                traits = part.member.way.traits(deadline)
            except OUTAGES as error:
                part.error = error
            else:
                part.meta = traits.meta

    def _ask(self, parts: Sequence[Part[K]], encode: Encode, deadline: float) -> None:
        """Ask the servers about their keys, all at the same time; those but that have failed."""
        asked = [part for part in parts if part.error is None]
        _fill(self._cluster, asked, encode, deadline)
        failed = [part for part in asked if part.error is not None]
        if failed and self._cluster.failover.moves:
            self._ask_elsewhere(failed, encode, deadline)
        for part in asked:
            if part.error is not None and not isinstance(part.error, OUTAGES):
                raise part.error

    def _ask_elsewhere(self, failed: Sequence[Part[K]], encode: Encode, deadline: float) -> None:
        """Ask those who step in for servers that have failed, where that does no harm."""
        failover = self._cluster.failover
        again = [part for part in failed if failover.may_try(part.member, part.request, part.error)]
        moved: dict[Member, list[tuple[Part[K], int]]] = {}
        for part in again:
            for member, indices in failover.substitutes(part.member).spread(part.places):
                moved.setdefault(member, []).extend((part, index) for index in indices)
        parts = [_moved(member, keys) for member, keys in in_lease_order([*moved.items()])]
        _fill(self._cluster, parts, encode, deadline)
        found: dict[bytes, RawItem] = {}
        for part in parts:
            if part.error is not None:
                return
            found |= part.reply
        for part in again:
            part.reply, part.error = found, None

    def _settle(self, parts: Sequence[Part[K]]) -> None:
        """Count the outages that the client forgives; if no server answered, raise the first."""
        errors = [part.error for part in parts if part.error is not None]
        severe = [error for error in errors if not isinstance(error, self._forgiven)]
        self._outages += len(errors) - len(severe)
        if severe and len(errors) == len(parts):
            raise severe[0]

    def _report(self, failures: Mapping[K, CenoteError], answered: object) -> None:
        """Raise what keys have failed with, unless the client forgives it.

        Raises:
            PartialFailure: Some have.
        """
        severe = {
            name: error for name, error in failures.items() if not isinstance(error, self._forgiven)
        }
        if severe and self._raises:
            first = next(iter(severe.values()))
            raise PartialFailure(
                f"{len(severe)} keys failed, the first with: {first}; see failures for each, and "
                "answered for what the other servers said",
                answered=answered,
                failures=severe,
            ) from first


def _moved(member: Member, keys: Sequence[tuple[Part[K], int]]) -> Part[K]:
    """Make the part of a server that steps in, of keys from the parts of others."""
    names = [part.names[index] for part, index in keys]
    wires = [part.wires[index] for part, index in keys]
    places = [part.places[index] for part, index in keys]
    return Part(member, list(range(len(keys))), names, wires, places)


def _fill(cluster: Cluster, parts: Sequence[Part[K]], encode: Encode, deadline: float) -> None:
    requests = []
    for part in parts:
        part.request = encode(part)
        requests.append((part.member, part.request))
    for part, reply in zip(parts, cluster.batch(requests, deadline), strict=True):
        if isinstance(reply, CenoteError):
            part.error = reply
        else:
            part.reply = reply
