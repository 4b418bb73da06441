"""Requests out, replies in: many callers' requests on one connection of an event loop.

Strategy:
1. Requests are answered in the order sent, so a queue is all the bookkeeping there is. Each reply
   is parsed in the callback that received it, straight into its ``Pending``, which is all that a
   request costs: the queue's entry, and what its caller awaits.
2. A caller that is cancelled or times out leaves its place in the queue: its reply is swallowed
   when it comes, and no other shifts.
3. Requests of one turn of the loop leave in one write, by one ``call_soon``. Where they come one
   at a time (the last few writes carried one each, and nothing is under way) a request leaves at
   once: that saves a lone caller a turn of the loop. So does waking whoever awaits a reply from the
   callback that received it: what they ask next leaves from there, too.
4. One timer a connection, for the earliest deadline, left standing when requests are answered in
   time: it looks at the queue when it strikes. No task, timer or ``wait_for`` a request. With many
   requests under way it strikes at most every ``_SCAN`` seconds for each of them, so that a server
   that has stopped does not keep the loop busy.
5. On a connection that is shared the gets of one turn leave as one request of many keys, whose
   reply they share: a server answers it in one write, where single requests cost it one for every
   twenty. Each is given the item of its own key. A get may leave before what was asked earlier in
   the same turn, but never before anything that is about its key.
6. A reply that is as late again as its caller had patience (and a grace) is taken for one that
   never comes: the connection is given up, if it is shared. Until then its ``Sharer`` knows that it
   is overdue.

A plain protocol: one that receives into buffers (``BufferedProtocol``) took, in one run, 0.97, 1.04
and 1.24 times as long for a get of 100 bytes, 4 KB and 100 KB, and is not simpler.

``AsyncChannel`` adds what happens less often. The same file is compiled, unchanged, as
``cenote.connection._flow_aio_c`` (types in ``_flow_aio_c.pxd``).
"""

from __future__ import annotations

from collections import deque
from contextvars import Context
from copy import copy
from math import inf
from typing import TYPE_CHECKING, Any

from cenote.connection.pending_path_aio import Origin, wake
from cenote.errors import ProtocolError
from cenote.protocol import ReplyParser, get_many
from cenote.protocol.grammar import GET

if TYPE_CHECKING:
    import asyncio

    from cenote.connection.pending_path_aio import Pending
    from cenote.connection.reading_aio import Reads
    from cenote.connection.sharer import Sharer
    from cenote.protocol import Reply, Request

LONG = 131072
"""Bytes of a reply from which its sharer is told that it was long."""

_GET = GET
_MAX_UNSENT = 1 << 20  # bytes that are held back here before a connection takes no more requests
_MOST_GETS = 64  # that leave as one: the server works on the next while these are read
_ALONE = 4  # writes of one request each from which on requests are said to come one at a time
_SCAN = 2e-6  # seconds: what looking at one request in the queue costs, with a margin
_SOONEST = 0.001  # seconds between two strikes of the timer


class Flow:
    """The way of requests and replies over one connection; ``AsyncChannel`` adds the rest.

    Attributes:
        sharer: Who shares the connection among callers, while somebody does.
        answered: Whether a reply has come since it was last shared.
    """

    __slots__ = (
        "_alone", "_closed", "_flush_due", "_loop", "_origin", "_parser", "_paused", "_posted",
        "_queue", "_reads", "_received", "_strikes_at", "_timer", "_transport", "_turn", "_unsent",
        "answered", "sharer",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._origin = Origin(loop)
        self._parser = ReplyParser()
        self._queue: deque[Pending] = deque()  # those sent, in the order of their replies
        self._turn: list[Pending] = []  # those to be sent, in the order asked
        self._posted = 0  # how many of both nobody waits for
        self._received = 0  # bytes since the last whole reply
        self._unsent = 0  # bytes of the turn
        self._flush_due = False
        self._alone = 0  # writes of one request each, in a row
        self._paused = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._strikes_at = inf
        self._transport: asyncio.Transport | None = None
        self._reads: Reads  # from when there is a transport on
        self.sharer: Sharer | None = None
        self.answered = False

    # Asking.

    def submit(self, request: Request, deadline: float) -> Pending:
        """Send a request, together with all others of this turn of the loop.

        Returns:
            A future of the reply; it fails with what ``exchange`` raises. Cancelling it takes
            nothing back: the reply is swallowed when it comes.

        Raises: As ``exchange``, for what is known before anything is sent.
        """
        now = self._origin.now()
        if self._closed or self._origin.inherited() or not now < deadline:
            self._refuse(request)
        pending = self._origin.begin(request, now, deadline)
        self.ask(pending)
        return pending

    def ask(self, pending: Pending) -> None:
        """Send a request that may be waited for already; its deadline has not passed."""
        self._turn.append(pending)
        self._unsent += len(pending.request.payload)
        if not self._flush_due:
            self._schedule()
        if pending.deadline < self._strikes_at:
            self._set_timer(pending.deadline, self._origin.now())

    def depth(self) -> int:
        """Return how many requests wait for their reply, those that nobody waits for included."""
        return len(self._queue) + len(self._turn)

    def takes(self) -> bool:
        """Tell whether one more request may be sent: the peer keeps up, and little is held back."""
        return not (self._paused or self._closed) and self._unsent <= _MAX_UNSENT

    def _schedule(self) -> None:
        if self._alone >= _ALONE and not self._queue:
            self._flush()
        else:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        turn = self._turn
        if not turn or self._paused or self._transport is None:
            return
        if self._origin.inherited():
            return
        if len(turn) == 1:
            data = self._depart(turn[0])
            self._alone += 1
        else:
            shared = self.sharer is not None
            data = b"".join(self._bundle(turn) if shared else self._depart_all(turn))
            self._alone = 0
        turn.clear()
        self._unsent = 0
        self._transport.write(data)
        if self.sharer is not None:
            self.sharer.departed()

    def _depart(self, pending: Pending) -> bytes:
        """Queue a request for its reply; return its bytes."""
        request = pending.request
        self._parser.expect(request)
        self._queue.append(pending)
        return request.payload

    def _depart_all(self, pendings: list[Pending]) -> list[bytes]:
        return [self._depart(pending) for pending in pendings]

    def _bundle(self, turn: list[Pending]) -> list[bytes]:
        """Queue the requests of a turn, gets together where the first of them stood."""
        parts: list[bytes] = []
        gets: list[Pending] = []
        others: list[Pending] = []  # asked since the first of the gets
        touched: set[bytes] = set()  # what those are about
        for pending in turn:
            request = pending.request
            key = request.key
            if request.kind == _GET and request.verb == "get" and not pending.posted:
                if len(gets) >= _MOST_GETS or (touched and key in touched):
                    parts += self._leave(gets, others)
                    touched.clear()
                gets.append(pending)
            elif not gets:
                parts.append(self._depart(pending))
            else:
                others.append(pending)
                if key is None:  # it may be about all of them
                    parts += self._leave(gets, others)
                    touched.clear()
                else:
                    touched.add(key)
        return parts + self._leave(gets, others)

    def _leave(self, gets: list[Pending], others: list[Pending]) -> list[bytes]:
        """Queue gets as one request, and what is to follow them; forget them here."""
        parts: list[bytes] = []
        if len(gets) == 1:
            parts.append(self._depart(gets[0]))
        elif gets:
            keys: list[Any] = [pending.request.key for pending in gets]
            request = get_many(dict.fromkeys(keys))
            self._parser.expect(request)
            gets[0].followers = len(gets) - 1
            self._queue.extend(gets)
            parts.append(request.payload)
        parts += self._depart_all(others)
        gets.clear()
        others.clear()
        return parts

    # Called by the event loop.

    def data_received(self, data: bytes) -> None:
        """Give each reply to the future at the head of the queue."""
        self._reads.came(len(data))
        try:
            replies = self._parser.feed(data)
        except ProtocolError as error:
            self._break(error)
            return
        if not replies:
            self._received += len(data)
            return
        if self._received >= LONG and self.sharer is not None:
            self._note_long(self._queue[0], replies[0])
        self._received = 0
        self.answered = True
        settled = self._settle(replies)
        try:
            if settled:
                self._wake(settled)
        finally:
            if self.sharer is not None and self.depth() == self._posted:
                self.sharer.drained()

    def _settle(self, replies: list[Reply]) -> list[Pending]:
        """Give each its reply; return those that are awaited.

        The replies are let go of: this frame is below those of who is woken, and so in the
        traceback of an error among them.
        """
        queue = self._queue
        settled: list[Pending] = []
        for reply in replies:
            pending = queue.popleft()
            if pending.followers:
                self._share(pending, reply, settled)
            elif pending.posted:
                self._posted -= 1
            elif pending.settle(reply):
                settled.append(pending)
        if self._closed or not self._parser.usable:
            self._conclude(replies[-1])
        replies.clear()
        return settled

    def _share(self, pending: Pending, reply: Reply, settled: list[Pending]) -> None:
        """Give each get that left with others its own part of their reply."""
        items: dict[Any, Any] | None = reply if isinstance(reply, dict) else None
        followers = pending.followers
        pending.followers = 0
        while True:
            # An error is copied: a traceback belongs to one raising.
            own = copy(reply) if items is None else items.get(pending.request.key)
            if pending.settle(own):
                settled.append(pending)
            if not followers:
                return
            followers -= 1
            pending = self._queue.popleft()

    def _note_long(self, head: Pending, reply: Reply) -> None:
        """Tell the sharer whose reply it was that came in so many pieces."""
        assert self.sharer is not None
        if not head.followers:
            self.sharer.long_reply(head.request.key)
        elif isinstance(reply, dict):
            items: dict[Any, Any] = reply
            for key, (value, _, _) in items.items():
                if len(value) >= LONG:
                    self.sharer.long_reply(key)

    def _wake(self, settled: list[Pending]) -> None:
        """Call whoever awaits these; what they ask leaves together, soon."""
        self._flush_due = True
        try:
            wake(settled)
        finally:
            if self._queue and self._turn:
                self._loop.call_soon(self._flush)  # more replies are to come, and their callers
            else:
                self._flush()

    # Deadlines.

    def _set_timer(self, when: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._strikes_at = when
        delay = max(when - now, _SOONEST, _SCAN * len(self._queue))
        self._timer = self._loop.call_later(delay, self._strike, context=Context())

    # What ``AsyncChannel`` adds.

    def _refuse(self, request: Request) -> None:
        raise NotImplementedError

    def _strike(self) -> None:
        raise NotImplementedError

    def _break(self, cause: object) -> None:
        raise NotImplementedError

    def _conclude(self, reply: Reply) -> None:
        raise NotImplementedError
