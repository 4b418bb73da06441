# Generated from src/cenote/cluster/sentry_aio.py by tools/unasync.py; do not edit.
"""Stands at one server: reports what happens there, and sees to old values when it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cenote import protocol
from cenote.cluster.failover import FailoverOptions, Journal
from cenote.cluster.member_sync import Member
from cenote.errors import CenoteError, ConnectRejected
from cenote.node.witness_sync import Witness
from cenote.protocol import binary
from cenote.protocol.encoders import Encoders

if TYPE_CHECKING:
    from cenote.cluster.topology import Topology
    from cenote.connection import Traits
    from cenote.node.sync import Connection
    from cenote.protocol import Request

_AT_ONCE = 500  # keys that are deleted by one request


class Judge(Protocol):
    """Who is reported to: `Failover`."""

    options: FailoverOptions

    def connected(self, sentry: Sentry) -> None:
        """Take note of a connect."""

    def connect_failed(self, sentry: Sentry, *, rejected: bool) -> None:
        """Take note of a connect that failed."""

    def failed(self, sentry: Sentry, count: int, *, lost: bool) -> None:
        """Take note of requests that were not answered."""

    def may_return(self, sentry: Sentry) -> bool:
        """Tell whether a connect that succeeds now is the probe that brings the server back."""
        ...

    def substitutes(self, member: Member) -> Topology[Member]:
        """Return who serves the keys of a server that is down."""
        ...


class Sentry(Witness):
    """The witness of one server.

    Args:
        failover: Who decides.
        member: The server.

    Attributes:
        member: The server.
        vigil: What is known of its health.
        journal: What was written while it was down.
        timing: Whether its next request is to be timed.
        is_stale: Whether it may lack what it should have, and is flushed whatever is wished.
    """

    def __init__(self, failover: Judge, member: Member) -> None:
        self._failover = failover
        self.member = member
        self.vigil = member.node.vigil
        self.journal = Journal()
        self.timing = True
        self.is_stale = False

    def belongs_to(self, member: Member) -> None:
        """Stand at the same server in another topology; what a replica has missed stays missed."""
        self.is_stale = self.vigil.down and (self.is_stale or self.member.is_replica)
        self.member = member

    @property
    def keeps_journal(self) -> bool:
        """Whether writes are to be noted while the server is down."""
        return self._failover.options.on_return == "delete"

    @property
    def greets(self) -> bool:
        """Whether a new connection is to see to old values first."""
        is_stale = self.is_stale or self.member.is_replica
        return self.vigil.down and (is_stale or self._failover.options.on_return != "keep")

    def connected(self) -> None:
        """Report a connect."""
        self._failover.connected(self)

    def connect_failed(self, error: Exception) -> None:
        """Report a connect that failed."""
        self._failover.connect_failed(self, rejected=isinstance(error, ConnectRejected))

    def failed(self, count: int = 1, *, lost: bool = False) -> None:
        """Report requests that were not answered."""
        self._failover.failed(self, count, lost=lost)

    def greet(self, connection: Connection, deadline: float) -> None:
        """Delete what must not be read any more, if the server is about to come back.

        Raises:
            CenoteError: It did not work out; the next probe goes on with it.
        """
        if not self._failover.may_return(self):
            return
        if self.is_stale or not self.keeps_journal or self.journal.overflowed:
            connection.exchange(_encoders(connection.traits).flush_all(), deadline)
            self.journal.clear()
        while keys := self.journal.some(_AT_ONCE):
            self._delete_elsewhere(keys, deadline)
            connection.exchange(_deleting([*keys], connection.traits), deadline)
            self.journal.strike(keys)

    def _delete_elsewhere(self, keys: dict[bytes, bytes], deadline: float) -> None:
        """Delete keys where they were written meanwhile: once more down, it would be stale there.

        What can not be reached is left: it has a failure of its own.
        """
        wires, places = list(keys), list(keys.values())
        try:
            moved = self._failover.substitutes(self.member).spread(places)
        except CenoteError:
            return
        for member, positions in moved:
            self._delete_at(member, [wires[position] for position in positions], deadline)

    def _delete_at(self, member: Member, keys: Sequence[bytes], deadline: float) -> None:
        try:
            traits = member.node.traits(deadline)
            member.request(_deleting(keys, traits), deadline)
        except CenoteError:
            return


def _encoders(traits: Traits) -> Encoders:
    return binary if traits.binary else protocol


def _deleting(keys: Sequence[bytes], traits: Traits) -> Request:
    return _encoders(traits).delete_many(keys, meta=traits.meta, quiet=False)
