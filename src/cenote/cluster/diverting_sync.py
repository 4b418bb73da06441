# Generated from src/cenote/cluster/diverting_aio.py by tools/unasync.py; do not edit.
"""Who is asked in the place of a server that is down, or fails, about one key or many.

Strategy: the scheme that places all keys is asked again, about those who can step in: the servers
that remain, or the gutter. What it says is kept until it is other servers. `Failover` decides
who is down; here that is looked up, and what a server misses meanwhile is noted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import ceil

from cenote.cluster.detour_sync import Detour, Guard
from cenote.cluster.failover import Board, FailoverOptions, is_write, may_go_elsewhere
from cenote.cluster.member_sync import Member
from cenote.cluster.router import Hashing
from cenote.cluster.sentry_sync import Sentry
from cenote.cluster.topology import Topology, in_lease_order
from cenote.errors import CenoteError, NodeDown, NoNodesAvailable
from cenote.node.health import Vigil
from cenote.protocol import Request
from cenote.protocol.capped import capped
from cenote.runtime.sync import Exchange, Turn

GUTTER = 1 << 40
"""The number of the first gutter server: batches lease from them last."""


class Diverting:
    """The ways around servers; `Failover` says around which.

    Args:
        options: What to do when a server fails.
        hashing: Which server has a key.
        prefix_size: How many bytes in front of every key are the client's prefix.
        gutter: The servers that step in.

    Attributes:
        options: As given.
        gutter: As given.
        moves: Whether keys of a server that is down are served elsewhere.
        diverted: Requests, or batches of a server, that went elsewhere because it was down.
        second_tries: Requests, or batches of a server, that went elsewhere after they had failed.
    """

    _topology: Topology[Member]
    _turn: Turn

    def __init__(
        self,
        options: FailoverOptions,
        hashing: Hashing,
        prefix_size: int,
        gutter: Sequence[Member],
    ) -> None:
        self.options = options
        self.gutter = gutter
        self.moves = options.failover in {"rehash", "gutter"}
        self.diverted = 0
        self.second_tries = 0
        self._hashing: Hashing = hashing
        self._prefix_size = prefix_size
        self._alone = options.failover in {"gutter", "miss"}
        self._board = Board(
            options.max_ejected, compares=options.failover != "fail", alone=self._alone
        )
        self._sentries: dict[Vigil, Sentry] = {}
        self._gutter = Topology(gutter, hashing, prefix_size) if gutter else None
        self._in_service: tuple[tuple[Member, ...], Topology[Member]] | None = None

    def spend(self) -> bool:
        """Tell whether something may be sent a second time, now."""
        raise NotImplementedError

    def wake(self) -> None:
        """Have servers that are down probed."""
        raise NotImplementedError

    def diverts(self, topology: Topology[Member]) -> bool:
        """Tell whether requests may have to go around a server; else all go to the only one."""
        return topology.several or self._alone or any(each.down for each in topology.members)

    def way(self, member: Member, place: bytes) -> Detour | None:
        """Return the way around a server for what is placed by ``place``; None: it is up."""
        return Detour(self, member, place) if member.down else None

    def asks(self, member: Member, place: bytes) -> Exchange:
        """Return what sends requests that are placed by ``place``, to a server or around it."""
        if member.down:
            return Detour(self, member, place).request
        if not self.moves:
            return member.request
        return Guard(self, member, member.request, place).request

    def stand_in(self, member: Member, place: bytes, request: Request) -> tuple[Member, Request]:
        """Return where to send a request about a key of a server that was down a moment ago.

        Raises:
            NodeDown: It is still down, and nobody steps in.
            NoNodesAvailable: Nobody is left who could.
        """
        keys = [] if request.key is None else [request.key]
        if not self._note_writes(member, keys, [place], writes=is_write(request)):
            return member, request
        found = self.substitutes(member).owner(place)
        self.diverted += 1
        return found, self.fitted(found, request)

    def substitutes(self, member: Member) -> Topology[Member]:
        """Return who serves the keys of a server that is down, or fails.

        Raises:
            NodeDown, NoNodesAvailable: Nobody does.
        """
        if self._gutter is not None:
            return self._gutter
        if not self.moves:
            raise self._down(member)
        members = tuple(
            each
            for each in self._topology.members
            if each is not member and not each.node.vigil.down
        )
        if not members:
            raise NoNodesAvailable(f"all servers are down: {', '.join(self._topology.names)}")
        known = self._in_service
        if known is None or known[0] != members:
            known = members, Topology(members, self._hashing, self._prefix_size)
            self._in_service = known
        return known[1]

    def fitted(self, member: Member, request: Request) -> Request:
        """Return a request as it is sent to a server: one that only steps in keeps values short."""
        if member.number < GUTTER:
            return request
        return capped(request, ceil(self.options.gutter_ttl), time.time())

    def may_try(self, member: Member, request: Request | None, error: CenoteError | None) -> bool:
        """Tell whether the keys of a server that has failed may be asked for elsewhere; count it.

        Only what reads: of what a batch has changed nothing is known.
        """
        if request is None or error is None or is_write(request):
            return False
        ejected = member.node.vigil.down
        if not may_go_elsewhere(request, error, ejected=ejected) or not self.spend():
            return False
        self.second_tries += 1
        return True

    def explained(self, error: CenoteError) -> CenoteError:
        """Return the error of a request, or that there is nobody left who could be asked."""
        with self._turn:
            hopeless = len(self._board.vigils) > 1 and self._board.all_unreachable
        if not hopeless:
            return error
        names = ", ".join(self._topology.names)
        none = NoNodesAvailable(f"none of the servers can be connected to: {names}")
        none.__cause__ = error
        return none

    def spread(
        self,
        spread: list[tuple[Member, list[int]]],
        places: Sequence[bytes],
        wires: Sequence[bytes],
        *,
        writes: bool,
    ) -> list[tuple[Member, list[int], CenoteError | None]]:
        """Return who is asked about keys in place of their owners, and who can not be asked.

        Args:
            spread: The owners, and which of the keys they have.
            places: What places each key.
            wires: The keys.
            writes: Whether they are to be changed.
        """
        if not any(member.down for member, _ in spread):
            return [(member, positions, None) for member, positions in spread]
        shares: dict[Member, list[int]] = {}
        refused: list[tuple[Member, list[int], CenoteError | None]] = []
        for member, positions in spread:
            keys, at = [wires[p] for p in positions], [places[p] for p in positions]
            if not self._note_writes(member, keys, at, writes=writes):
                shares.setdefault(member, []).extend(positions)
                continue
            try:
                moved = self.substitutes(member).spread(at)
            except NoNodesAvailable as error:
                refused.append((member, positions, error))
                continue
            self.diverted += 1
            for substitute, indices in moved:
                shares.setdefault(substitute, []).extend(positions[index] for index in indices)
        return [
            *((member, positions, None) for member, positions in in_lease_order([*shares.items()])),
            *refused,
        ]

    def flushed(self) -> None:
        """Take note that everything is to be forgotten: also by those that are down."""
        with self._turn:
            for sentry in self._sentries.values():
                if sentry.vigil.down and sentry.keeps_journal:
                    sentry.journal.overflow()

    def _note_writes(
        self, member: Member, keys: Sequence[bytes], places: Sequence[bytes], *, writes: bool
    ) -> bool:
        """Tell whether a server is down; if so, note what it will have missed."""
        if not member.down:
            return False
        self.wake()
        vigil = member.node.vigil
        with self._turn:
            sentry = self._sentries.get(vigil)
            down: bool = vigil.down
            if down and writes and sentry is not None and sentry.keeps_journal:
                sentry.journal.note(keys, places)
            return down

    def _down(self, member: Member) -> NodeDown:
        return NodeDown(
            f"server {member.server.name} is down: {member.node.vigil.reason}; it is probed until "
            'it answers (failover="rehash" or "gutter" would serve its keys meanwhile)'
        )
