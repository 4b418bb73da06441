"""The asyncio exchange: requests and replies over one connected socket, many in flight.

Strategy: ``Flow`` carries the requests of any number of tasks and pairs them with their replies;
what is here is what a connection needs beside that: exchanges of several steps, requests that
nobody waits for, its state, its end, and the words for what went wrong. Until the replies to what
was abandoned have come, a connection is not ``clean``, and a pool discards it.

Everything here belongs to the event loop's thread; ``close`` and ``abort`` are plain functions. In
a forked child nothing is written, and the loop, whose selector is the parent's too, is not told.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from cenote.connection import failures, inherited_aio
from cenote.connection.flow_path_aio import Flow
from cenote.connection.patience import GOODBYE, GRACE
from cenote.connection.pending_aio import WAITING
from cenote.connection.reading_aio import Reads
from cenote.connection.sharer import ANSWERED_ELSEWHERE
from cenote.errors import CenoteError, ClientError, ConnectionLost, ProtocolError, ServerError
from cenote.protocol import Reply, Request

if TYPE_CHECKING:
    from cenote.connection.address import Address
    from cenote.connection.pending_path_aio import Pending
    from cenote.connection.securing_aio import SecureTransport
    from cenote.connection.tunnel import Tunnel


class AsyncChannel(Flow, asyncio.Protocol):
    """Requests and replies over one connected stream socket.

    Not thread-safe: to be used from its event loop only. Any number of tasks may have requests in
    flight.

    Attributes:
        address: The peer, as error texts name it.
        secure: The TLS between it and the event loop's transport, if any.
        timeout: Seconds, as given to ``connect``.
    """

    __slots__ = ("_cause", "_pid", "_sock", "address", "secure", "timeout")

    def __init__(self, sock: socket.socket, timeout: float, address: Address) -> None:
        super().__init__(asyncio.get_running_loop())
        self._sock = sock
        self._pid = os.getpid()
        self._cause = ""  # of its end, if it was not closed from here
        self.secure: SecureTransport | None = None
        self.timeout = timeout
        self.address = address

    def __repr__(self) -> str:
        state = "closed" if self._closed else "clean" if self.clean else f"{self.pending} in flight"
        return f"<{type(self).__name__} to {self.address}, {state}>"

    @property
    def clean(self) -> bool:
        """Whether the next caller may have it to itself.

        False from the moment a request is made until its reply has been parsed, also when its
        caller has given up. Posted requests do not count.
        """
        return (
            self.depth() == self._posted
            and self._parser.usable
            and not self._closed
            and not self._origin.inherited()
        )

    @property
    def closed(self) -> bool:
        """Whether it was closed, from here or by the peer."""
        return self._closed

    @property
    def pending(self) -> int:
        """How many requests have not been answered."""
        return self.depth()

    @property
    def owed(self) -> int:
        """How many requests have been answered neither here nor on another connection."""
        sent = (*self._queue, *self._turn)
        return sum(each._cancel_message != ANSWERED_ELSEWHERE for each in sent)  # noqa: SLF001

    @property
    def tunnel(self) -> Tunnel | None:
        """The TLS over it, if any."""
        return None if self.secure is None else self.secure.tunnel

    @property
    def writable(self) -> bool:
        """Whether the transport takes more; what it does not take is held back here."""
        return not self._paused

    def lost(self) -> CenoteError:
        """Make the error of whoever finds it closed."""
        return failures.unusable(self.address, self._why_unusable())

    def fileno(self) -> int:
        """The socket's descriptor (-1 when closed)."""
        return self._sock.fileno()

    # Conversation.

    async def exchange(self, request: Request, deadline: float) -> Reply:
        """Send a request and return its reply.

        A cancel is not swallowed and leaves the connection not ``clean`` until the reply has come.

        Args:
            request: What an encoder of ``cenote.protocol`` made.
            deadline: Absolute, on the ``time.monotonic`` clock; inf waits for ever.

        Raises:
            OperationTimeout: The deadline passed. If it had passed before anything was sent the
                connection stays clean.
            ConnectionLost: The connection ended.
            ProtocolError: The peer said something that is no reply to the request.
            ServerError, ClientError: The server answered with an error; the connection stays clean
                where the protocol allows it.
        """
        return cast(Reply, await self.submit(request, deadline))

    def post(self, request: Request, deadline: float | None = None) -> None:
        """Send a quiet request whose reply nobody waits for: its fence is verified when it comes.

        Args:
            request: A request whose reply nobody needs.
            deadline: Absolute: when it has passed, nothing is sent.

        Raises: As ``submit``.
        """
        now, limit = self._origin.now(), math.inf if deadline is None else deadline
        if self._closed or self._origin.inherited() or not now < limit:
            self._refuse(request)
        self._posted += 1
        pending = self._origin.begin(request, now, limit)
        pending.posted = True
        self.ask(pending)

    async def converse(self, requests: Sequence[Request], deadline: float) -> list[Reply]:
        """Send several requests in one write and return their replies, error replies as values.

        Raises: As ``exchange``, but for the server's error replies.
        """
        futures = [self.submit(request, deadline) for request in requests]
        replies: list[Reply | BaseException] = await asyncio.gather(
            *futures, return_exceptions=True
        )
        refusals = [reply for reply in replies if isinstance(reply, ServerError | ClientError)]
        for reply in replies:
            if isinstance(reply, BaseException) and reply not in refusals:
                raise refusals[0] if refusals else reply  # a refusal is what ended the rest
        return cast("list[Reply]", replies)

    def is_alive(self) -> bool:
        """Look, without waiting, whether the peer is still there and silent.

        Returns:
            False when not clean, at end of file, or if there are bytes that nobody asked for.
        """
        if not self.clean or self._transport is None or self._transport.is_closing():
            return False
        if self._posted:
            return True
        if self.secure is None:
            return not self._readable()
        self.secure.catch_up(self._sock)
        return self.clean

    # The end.

    def close(self) -> None:
        """Close the connection, giving posted requests a moment to be carried out first.

        Requests that somebody waits for fail with ``ConnectionLost``.
        """
        if self._posted and self.clean and not self._is_foreign():
            self._closed = True
            self._flush()
            self._loop.call_later(GOODBYE, self.abort)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the descriptor at once and say nothing to the peer. Safe in a forked child."""
        self._closed = True
        if self._is_foreign():
            inherited_aio.close_inherited(self._sock, self._transport)
            return
        self._end(None)
        if self._transport is not None:
            self._transport.abort()

    def _is_foreign(self) -> bool:
        """Ask the system: when a pool lets go after a fork, that may not be counted yet."""
        return os.getpid() != self._pid

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._reads = Reads(transport)

    def pause_writing(self) -> None:
        """Hold back what is asked from now on: the peer does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was held back."""
        self._paused = False
        self._flush()
        if self.sharer is not None and not self._paused:
            self.sharer.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail everything that waits, at once."""
        self._closed = True
        self._end(exc or failures.END_OF_FILE)

    # Inside.

    def _refuse(self, request: Request) -> None:
        """Say why nothing can be sent."""
        if self._closed or self._origin.inherited():
            raise self.lost()
        raise failures.too_late(self.address, request.verb)

    def _why_unusable(self) -> str:
        return failures.FOREIGN if self._origin.inherited() else failures.closed_by(self._cause)

    def _conclude(self, reply: Reply) -> None:
        """The last reply there is to come has come."""
        if self._closed and not self.depth():
            self.abort()
        elif not self._parser.usable:
            self._break(failures.out_of_step(reply, posted=True))

    def _give_up(self) -> None:
        """A shared connection has been silent for too long: it is taken for half-open."""
        self._break(failures.SILENT)

    def _strike(self) -> None:
        """Fail what is past its deadline and set the timer for what comes next."""
        self._timer, self._strikes_at = None, math.inf
        now = self._origin.now()
        earliest = math.inf
        for pending in (*self._queue, *self._turn):
            if pending.posted or pending.state != WAITING:
                continue
            if pending.deadline <= now:
                pending.fail(failures.timed_out(self._progress(pending)))
            elif pending.deadline < earliest:
                earliest = pending.deadline
        if self.sharer is not None and self.depth():
            earliest = min(earliest, self._look_at_head(now))
        if earliest < math.inf and not self._closed:
            self._set_timer(earliest, now)

    def _look_at_head(self, now: float) -> float:
        """Judge whether the next reply will ever come; return when to look again."""
        assert self.sharer is not None
        head = self._head()
        if now < head.deadline:
            return head.deadline
        if self._readable():  # it is the loop that is late
            return now + GRACE
        given_up_at = head.deadline + max(GRACE, head.deadline - head.began)
        if now < given_up_at:
            self.sharer.overdue()
            return given_up_at
        self._give_up()
        return math.inf

    def _progress(self, pending: Pending) -> failures.Progress:
        verb, size = pending.request.verb, len(pending.request.payload)
        sent = max(0, size - self._held_back())
        received = self._received if pending is self._head() else 0
        seconds = self._origin.now() - pending.began
        return failures.Progress(self.address, verb, size, sent, received, seconds)

    def _head(self) -> Pending:
        """Return whose reply is next."""
        return self._queue[0] if self._queue else self._turn[0]

    def _held_back(self) -> int:
        buffered = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return buffered + self._unsent

    def _break(self, cause: object) -> None:
        """Believe nothing any more: everything that waits fails, the connection is closed."""
        self._closed = True
        self._end(cause)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, cause: object) -> None:
        """Fail everything that waits, each with an error of its own, and hold nothing any more."""
        self._cause = self._cause or str(cause or "")
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._strikes_at = None, math.inf
        lost = [*self._queue, *self._turn]
        replied = lost[0].followers if lost and self._parser.started else -1  # the last of those
        failed = [self._ending(each, cause, n <= replied) for n, each in enumerate(lost)]
        self._queue.clear()
        self._turn.clear()
        self._posted = self._unsent = 0
        sharer, self.sharer = self.sharer, None
        if sharer is not None:
            sharer.ended(cause if isinstance(cause, CenoteError) else ConnectionLost(self._cause))
        for pending, error in zip(lost, failed, strict=True):
            pending.followers = 0
            waited_for = pending.state == WAITING and not pending.posted
            if waited_for and (sharer is None or not sharer.rescue(pending, error)):
                pending.fail(error)

    def _ending(self, pending: Pending, cause: object, replied: bool) -> CenoteError:
        progress = self._progress(pending)
        if isinstance(cause, ProtocolError):
            return failures.broken(progress, cause)
        return failures.lost(progress, cause or "closed from this side", replied=replied)

    def _readable(self) -> bool:
        poller = select.poll()
        poller.register(self._sock.fileno(), select.POLLIN)
        return bool(poller.poll(0))
