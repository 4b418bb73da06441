"""Where requests stand that no lane takes: none is open yet, or the peer does not keep up.

Strategy: a queue with one timer, as a connection has, and one task that opens a lane: it waits in
the pool like any caller, for all who stand here. What it fails with (the pool is down, or closed)
fails them all. The line is bounded by the pool's ``max_waiting``; who comes then is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from copy import copy
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from cenote.connection.pending_path_aio import Pending
from cenote.errors import CenoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.connection.aio import AsyncConnection
    from cenote.pool.aio import AsyncPool
    from cenote.pool.fast_path import Entry
    from cenote.protocol import Request

_SOONEST = 0.001  # seconds between two strikes of the timer


class Line:
    """Requests that wait for a lane, oldest first.

    Args:
        pool: Where lanes come from.
        max_waiting: Requests that may stand here at once; None: no limit.

    Attributes:
        admit: Is given the connection that a lane is to be made of.
        room: Tells whether there may be one more lane.
        loop: The loop it belongs to, once it is used.
    """

    def __init__(self, pool: AsyncPool[AsyncConnection], max_waiting: int | None) -> None:
        self._pool = pool
        self._max_waiting = inf if max_waiting is None else max_waiting
        self._queue: deque[Pending] = deque()
        self._joined = 0  # how many at its head were on their way before
        self._opener: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._strikes_at = inf
        self.loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._swept_at = -inf
        self.admit: Callable[[Entry[AsyncConnection]], None] | None = None
        self.room: Callable[[], bool] = bool

    @property
    def waiting(self) -> int:
        """How many requests stand here, those whose callers have left included."""
        return len(self._queue)

    def wait(self, request: Request, deadline: float) -> Pending:
        """Have a request stand in line.

        Returns:
            The future of its reply.

        Raises:
            PoolClosed, PoolSaturated: It may not.
            PoolTimeout: The deadline has passed.
        """
        now = monotonic()
        if self._closed:
            raise self._pool.refusal("closed", now)
        if self._is_full(now):
            raise self._pool.refusal("saturated", now)
        if not now < deadline:
            raise self._pool.refusal("timeout", now)
        assert self.loop is not None
        pending = Pending(self.loop, request, now, deadline)
        self._queue.append(pending)
        self._attend(deadline, now)
        return pending

    def _is_full(self, now: float) -> bool:
        """Tell whether nobody else may stand here; those who have left take up no room."""
        if self.waiting >= self._max_waiting and now >= self._swept_at + _SOONEST:
            self._swept_at = now
            self._keep([each for each in self._queue if not each.done()])
        return self.waiting >= self._max_waiting

    def join(self, pending: Pending) -> bool:
        """Have a request stand before those that were not on their way yet; False: it may not."""
        if self._closed:
            return False
        self._queue.insert(self._joined, pending)
        self._joined += 1
        self._attend(pending.deadline, monotonic())
        return True

    def serve(self, channel: AsyncConnection) -> None:
        """Send the oldest request, if anybody waits for it still."""
        pending = self._queue.popleft()
        self._joined = max(0, self._joined - 1)
        if not self._queue:
            self._dismiss()
        if not pending.done():
            if pending.deadline > monotonic():
                channel.ask(pending)
            else:
                pending.fail(self._pool.refusal("timeout", pending.began))

    def open_lane(self) -> None:
        """See to it that a lane is opened, if there may be one more."""
        if self._opener is None and self.loop is not None and self.room():
            opener = self.loop.create_task(
                self._open(), name=f"{self._pool.name}: open a lane", context=contextvars.Context()
            )
            if not opener.done():  # as it may be at once, where tasks are eager
                self._opener = opener
                opener.add_done_callback(self._ended)

    async def _open(self) -> None:
        """Lease a connection; whoever stands here takes what comes of it."""
        assert self.admit is not None
        try:
            entry = await self._pool.checkout(inf)  # cancelled here, it passes on what it was given
        except CenoteError as error:
            self._opener = None
            self._fail(error)
        else:
            self._opener = None
            self.admit(entry)

    def _ended(self, opener: asyncio.Task[None]) -> None:
        """Try again soon, if it was not ended from here: somebody has cancelled every task."""
        if self._opener is opener:
            self._opener = None
            self._set_timer(0.0, 0.0)

    # Time.

    def _attend(self, deadline: float, now: float) -> None:
        self.open_lane()
        if deadline < self._strikes_at:
            self._set_timer(deadline, now)

    def _set_timer(self, when: float, now: float) -> None:
        assert self.loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._strikes_at = when
        self._timer = self.loop.call_later(
            max(_SOONEST, when - now), self._strike, context=contextvars.Context()
        )

    def _strike(self) -> None:
        """Fail who is past his deadline; forget who has left; nobody left: open nothing."""
        self._timer, self._strikes_at = None, inf
        now = monotonic()
        there = [each for each in self._queue if not each.done()]
        late = [each for each in there if each.deadline <= now]
        self._keep([each for each in there if each.deadline > now])
        if late:
            since = min(each.began for each in late)
            self._fail_each(late, self._pool.refusal("timeout", since))
        if self._queue:
            self._attend(min(each.deadline for each in self._queue), now)
        else:
            self._dismiss()

    def _keep(self, those: list[Pending]) -> None:
        self._queue = deque(those)
        self._joined = sum(each.again for each in those)

    def _dismiss(self) -> None:
        """Nobody stands here any more: open nothing, and wait in the pool for nothing."""
        if self._opener is not None:
            self._opener.cancel()
            self._opener = None

    # The end.

    def close(self) -> None:
        """Let nobody stand here any more."""
        self._closed = True
        self._fail(self._pool.refusal("closed", monotonic()))
        for each in (self._opener, self._timer):
            if each is not None:
                each.cancel()
        self._opener = self._timer = None

    def forget(self) -> None:
        """In a forked child: have nothing to do with the parent's callers."""
        self._keep([])
        self._opener = self._timer = None
        self._strikes_at = inf

    def _fail(self, error: CenoteError) -> None:
        lost = list(self._queue)
        self._keep([])
        self._fail_each(lost, error)

    def _fail_each(self, lost: list[Pending], error: CenoteError) -> None:
        """Fail each with an error of its own: a traceback belongs to one raising."""
        for pending in lost:
            own = copy(error)
            own.__cause__ = error.__cause__
            pending.fail(own)
