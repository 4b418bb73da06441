"""Many callers on a few leased connections: the lanes of an asyncio node.

Strategy: a lane is a connection leased from the pool for as long as somebody waits for a reply on
it. Nothing in flight: it goes back at once, so that checks, lifetimes, pruning and replacement are
the pool's alone, and under load one lease serves thousands of requests.

* A request takes the lane with the fewest in flight. Where all are deep (``max_in_flight``) another
  is opened as soon as the pool has a connection to spare, and it is asked to grow; this is looked
  at once a turn of the loop.
* Where no lane takes more (none is open yet, or the peer does not read) requests stand in the
  ``Line``, which is bounded, until one does.
* A lane takes no new requests, and goes back as soon as it is drained, when its connection has
  reached the end of its life, its generation has ended, its next reply is overdue, or somebody
  waits in the pool for a connection of his own. It is never cut: what is in flight is answered.
* A lane that ends fails those on it, each with an error of its own; what may be sent again goes to
  another lane, once (``retry.py``).

The only suspension a caller has is on a future. Cancelling it takes nothing back: the reply is
swallowed, the request in the line is dropped when its turn comes.

``Line`` and opening are in ``line_aio.py``. The same file is compiled, unchanged, as
``cenote.node._lane_aio_c`` (types in ``_lane_aio_c.pxd``).
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from cenote.errors import CenoteError, ConnectionLost
from cenote.node.retry import may_retry
from cenote.node.verdicts import Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.connection import pending_path_aio
    from cenote.connection.aio import AsyncConnection
    from cenote.node.line_aio import Line
    from cenote.pool import fast_path
    from cenote.pool.aio import AsyncPool
    from cenote.protocol import Request


SHARED = "callers that share it"
"""Who holds a lane's lease, as ``holders()`` tells."""

_MOST_LONG_KEYS = 1024


def _freely() -> bool:
    return True


class Lane:
    """One leased connection that callers share; its ``Sharer``.

    Attributes:
        channel: The connection.
        entry: Its lease.
        retired: It takes no new requests and goes back when drained.
        told: It was reported that its replies are late.
    """

    __slots__ = ("channel", "entry", "lanes", "retired", "told")

    def __init__(self, lanes: Lanes, entry: fast_path.Entry[AsyncConnection]) -> None:
        self.lanes = lanes
        self.entry = entry
        self.channel = entry.resource
        self.retired = False
        self.told = False
        self.channel.answered = False
        self.channel.sharer = self
        entry.holder = SHARED

    def departed(self) -> None:
        """The requests of a turn have left: see whether the lane should grow or go."""
        if self.retired:
            return
        entry = self.entry
        stack = entry.stack
        now = entry.leased_at = monotonic()  # a lane in use is not a leak
        if entry.generation != stack.generation:
            self.lanes.retire(self)
        elif now >= stack.alert:
            self.lanes.yield_one(self)
        elif now >= entry.expires:
            self.lanes.replace(self)
        elif self.channel.depth() > self.lanes.max_in_flight:
            self.lanes.grow()
        self.lanes.serve_line(self)

    def drained(self) -> None:
        """Nobody waits for anything any more: serve the line, or go back."""
        self.lanes.refill(self)

    def writable(self) -> None:
        """The peer takes bytes again."""
        self.lanes.refill(self)

    def overdue(self) -> None:
        """The next reply is late: nobody new should wait behind it."""
        if self.channel.clean:  # and nobody else does: it is the fence of a posted request
            self.channel.abort()
        elif not self.retired:
            self.lanes.retire(self)
            self.lanes.tell_late(self)

    def long_reply(self, key: bytes | None) -> None:
        """Remember the key: its next value will be long, too."""
        if key is not None:
            self.lanes.note_long(key)

    def ended(self, error: CenoteError) -> None:
        """The connection has ended."""
        self.lanes.lose(self, error)

    def rescue(self, lost: pending_path_aio.Pending, error: CenoteError) -> bool:
        """Send a request again that was lost with the connection, if it may be, on another lane."""
        uses = self.entry.uses + self.channel.answered
        if lost.again or lost.deadline <= monotonic():
            return False
        if not may_retry(lost.request, error, uses=uses) or not self.lanes.may_spend():
            return False
        return self.lanes.send_again(lost)


class Lanes:
    """The lanes over which one kind of requests travels.

    Not thread-safe: belongs to the loop of its pool.

    Args:
        pool: Where the connections are.
        line: Where requests wait that no lane takes.
        max_in_flight: Requests on each lane from which another lane is asked for.
        max_lanes: Lanes at most, beside the pool's own limit.
        long: Bytes of a request that is not for these lanes, but for ``wide``.
        wide: The lanes of long requests and of keys whose values were long; None: these.

    Attributes:
        asked: Requests that came.
        late: Is told how many requests are late, when replies are.
        may_spend: Tells whether a request may be sent again, now.
        retries: Requests that were sent a second time.
    """

    __slots__ = (
        "_closed", "_leased", "_line", "_long", "_long_keys", "_max_lanes", "_open", "_pool",
        "_stack", "_wide", "asked", "late", "max_in_flight", "may_spend", "retries",
    )  # fmt: skip

    def __init__(
        self,
        pool: AsyncPool[AsyncConnection],
        line: Line,
        *,
        max_in_flight: int,
        max_lanes: int,
        long: int = 0,
        wide: Lanes | None = None,
    ) -> None:
        self._pool = pool
        self._line = line
        line.admit = self.admit
        line.room = self.has_room
        self._open: list[Lane] = []  # those that take requests
        self._leased: set[Lane] = set()  # those, and those that are being drained
        self._long_keys: dict[bytes, None] = {}
        self._long = long
        self._max_lanes = max_lanes
        self._wide = wide
        self._stack: fast_path.IdleStack[AsyncConnection] | None = (
            None  # of the process the lanes are of
        )
        self._closed = False
        self.max_in_flight = max_in_flight
        self.asked = 0
        self.retries = 0
        self.late: Callable[[int], object] = int
        self.may_spend: Callable[[], bool] = _freely

    def __len__(self) -> int:
        return len(self._leased)

    def request(self, request: Request, deadline: float) -> pending_path_aio.Pending:
        """Send a request; the future of its reply.

        Args:
            request: What an encoder of ``cenote.protocol`` made.
            deadline: Absolute, on the monotonic clock; covers the wait, the exchange, a retry.

        Returns:
            A future. It fails with what ends the wait; see ``AsyncNode.request``.

        Raises:
            PoolSaturated, PoolClosed, WrongLoop: The request was not accepted.
            OperationTimeout: The deadline has passed.
        """
        self.asked += 1
        pool = self._pool
        if pool.stack is not self._stack or not pool.at_home():
            self.enter()
        wide = self._wide
        if wide is not None and (
            len(request.payload) >= self._long or (self._long_keys and self._is_long(request))
        ):
            return wide.request(request, deadline)
        lane = self.choose()
        if lane is None:
            return self._line.wait(request, deadline)
        try:
            return lane.channel.submit(request, deadline)
        except CenoteError:
            self.refill(lane)  # it may have been opened for this request alone
            raise

    def enter(self) -> None:
        """Make the running loop that of the lanes; what was inherited over a fork is forgotten.

        Raises:
            WrongLoop: They belong to another.
        """
        self._line.loop = self._pool.bind()
        if self._stack is not self._pool.stack:
            self._stack = self._pool.stack
            self._open.clear()
            self._leased.clear()
            self._line.forget()

    def choose(self) -> Lane | None:
        """Return the lane to use for a request; None: there is none that takes one."""
        if len(self._open) == 1:
            lane = self._open[0]
            if lane.channel.takes():
                return lane
        best, least = None, -1
        for lane in self._open:
            depth = lane.channel.depth()
            if (best is None or depth < least) and lane.channel.takes():
                best, least = lane, depth
        if best is None and not self._line.waiting:
            return self._lease()
        return best

    def grow(self) -> None:
        """Open one more lane, if every one there is is deep; the pool may have to connect."""
        for lane in self._open:
            if lane.channel.depth() <= self.max_in_flight:
                return
        if len(self._leased) < self._max_lanes and self._lease() is None:
            self._pool.grow()

    def _lease(self) -> Lane | None:
        """Open a lane on an idle connection; None: there is none to be had at once."""
        if len(self._leased) >= self._max_lanes:
            return None
        entry = self._pool.checkout_nowait()
        while entry is not None and entry.resource.closed:
            self._pool.checkin(entry, entry.resource.lost())  # while idle: its siblings go, too
            entry = self._pool.checkout_nowait()
        return None if entry is None else self.open(entry)

    def has_room(self) -> bool:
        """Tell whether there may be one more lane."""
        return len(self._leased) < self._max_lanes

    def open(self, entry: fast_path.Entry[AsyncConnection]) -> Lane:
        """Make a lane of a leased connection."""
        lane = Lane(self, entry)
        self._open.append(lane)
        self._leased.add(lane)
        return lane

    def admit(self, entry: fast_path.Entry[AsyncConnection]) -> None:
        """Take a connection that the line has waited for."""
        if entry.resource.closed or self._closed:
            self._pool.checkin(entry, entry.resource.lost() if entry.resource.closed else None)
            if self._line.waiting:
                self._line.open_lane()
            return
        self.refill(self.open(entry))

    # What becomes of a lane.

    def refill(self, lane: Lane) -> None:
        """Let a lane serve the line; with nothing in flight after that, give it back."""
        self.serve_line(lane)
        if lane.channel.clean and (lane.retired or lane.channel.takes()):
            self.give_back(lane)
            for other in [each for each in self._open if each.channel.clean]:
                self.give_back(other)  # opened to grow, but nothing came

    def serve_line(self, lane: Lane) -> None:
        """Send what stands in line, as far as the lane takes it."""
        while self._line.waiting and not lane.retired and lane.channel.takes():
            self._line.serve(lane.channel)

    def give_back(self, lane: Lane) -> None:
        """Return a lane that is drained to the pool, unless that has been done."""
        if lane not in self._leased:
            return
        lane.channel.sharer = None
        self._strike(lane)
        self._pool.checkin(lane.entry)
        if self._line.waiting:
            self._line.open_lane()

    def retire(self, lane: Lane) -> None:
        """Give a lane nothing new to do."""
        if not lane.retired:
            lane.retired = True
            self._open.remove(lane)
            if lane.channel.clean:
                self.refill(lane)

    def tell_late(self, lane: Lane) -> None:
        """Tell that replies are late: of all who wait, where no other lane says otherwise."""
        lane.told = True
        self.late(max(1, lane.channel.owed) if len(self._leased) == 1 else 1)

    def yield_one(self, lane: Lane) -> None:
        """Somebody waits in the pool: one lane at a time gives way."""
        if len(self._open) == len(self._leased):
            self.retire(lane)

    def replace(self, lane: Lane) -> None:
        """Retire a lane at the end of its life, but only when its successor is there, if any."""
        if self._lease() is not None or not self._pool.grow():
            self.retire(lane)

    def lose(self, lane: Lane, error: CenoteError) -> None:
        """Strike a lane whose connection has ended; the pool judges what that says of others."""
        self._strike(lane)
        if lane.told and isinstance(error, ConnectionLost):
            error = Told(str(error))
        self._pool.checkin(lane.entry, error)
        for other in list(self._open):
            if other.channel.clean:
                self.give_back(other)  # opened to grow, but nothing came
            elif other.entry.generation != other.entry.stack.generation:
                self.retire(other)  # nothing is to be sent again on what may have ended, too
        if self._line.waiting:
            self._line.open_lane()

    def send_again(self, lost: pending_path_aio.Pending) -> bool:
        """Send a request a second time; False: it can not be."""
        if self._closed:
            return False
        self.retries += 1
        lost.again = True
        try:
            lane = self.choose()
        except CenoteError:
            return False
        if lane is None:
            return self._line.join(lost)
        lane.channel.ask(lost)
        return True

    def note_long(self, key: bytes) -> None:
        """Remember a key whose value is long."""
        if self._wide is not None:
            while len(self._long_keys) >= _MOST_LONG_KEYS:
                del self._long_keys[next(iter(self._long_keys))]
            self._long_keys[key] = None

    def _is_long(self, request: Request) -> bool:
        """Tell whether a short request is about a long value; one that is stored short is not."""
        key = request.key
        if key not in self._long_keys:
            return False
        if request.verb == "set":
            del self._long_keys[key]
            return False
        return True

    def _strike(self, lane: Lane) -> None:
        self._leased.discard(lane)
        if not lane.retired:
            lane.retired = True
            self._open.remove(lane)

    # The end.

    def close(self) -> None:
        """Take no more requests; what is in flight goes on, what stands in line fails."""
        self._closed = True
        for lane in list(self._open):
            self.retire(lane)
        self._line.close()

    def abort(self) -> None:
        """Fail what is in flight still."""
        for lane in list(self._leased):
            lane.channel.abort()
