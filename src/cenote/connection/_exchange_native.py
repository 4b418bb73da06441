"""The blocking exchange in pure Python: the twin of ``_exchange.pyx``, same names, same behaviour.

Strategy:
1. Two system calls a round trip: the request leaves in one ``send`` that does not block, the reply
   is awaited in one ``recv`` on a blocking socket whose time is limited as ``patience.py`` says.
2. What one ``send`` could not take is written while reading: a peer that answers before it has
   read everything would otherwise fill both directions and wait for us as we wait for it.
3. Dirty until proven clean: ``clean`` turns False before the first byte is sent and True again when
   the last reply has been parsed and no byte is left over. Whatever interrupts that leaves it
   False.
4. One caller at a time, and what becomes of him when it is closed: see ``_exchange_turn.py``.

Where the compiled twin ends a system call that a signal interrupted and looks at the deadline,
Python's own ``recv`` starts again by itself (PEP 475). A process interrupted by handlers that
return, more often than its timeout is long, extends the timeout here; exceptions from handlers are
raised at once.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from cenote.connection import failures, patience
from cenote.connection._exchange_stream import CHUNK, NOW, DeadlinePassed
from cenote.connection._exchange_turn import Turn
from cenote.errors import CenoteError, ProtocolError
from cenote.protocol import Reply, Request
from cenote.protocol.plain import More, plain_reply

if TYPE_CHECKING:
    from cenote.connection.tunnel import Tunnel

IMPLEMENTATION: Final = "native"


class Channel(Turn):
    """Requests and replies over one connected stream socket, one caller at a time.

    Not thread-safe, but it says so: a call during another's raises ``LeaseError``. ``close`` and
    ``abort`` may be called from any thread at any moment.

    Attributes:
        address: The peer, as error texts name it.
        timeout: Seconds that ``post`` and ``close`` may take where no deadline is given.
        tunnel: The TLS over it, if any.
    """

    __slots__ = ("_asked", "_began", "_early")

    def __init__(
        self,
        sock: socket.socket,
        timeout: float,
        address: object = "an unnamed peer",
        tunnel: Tunnel | None = None,
    ) -> None:
        """Take over a connected stream socket.

        Args:
            sock: A connected stream socket; it belongs to the channel from here on.
            timeout: Seconds that ``post`` and ``close`` may take where no deadline is given.
            address: The peer, as error texts are to name it.
            tunnel: The TLS that was agreed on over the socket, if any.
        """
        super().__init__(sock, tunnel, address)
        self._asked: Request | None = None
        self._early: list[Reply] = []  # what came of it before it was finished
        self._began = 0.0
        self.timeout = timeout

    def exchange(self, request: Request, deadline: float) -> Reply:
        """Send a request and return its reply.

        Args:
            request: What an encoder of ``cenote.protocol`` made.
            deadline: Absolute, on the ``time.monotonic`` clock; inf waits for ever.

        Raises:
            OperationTimeout: The deadline passed. If it had passed before anything was sent the
                connection stays clean.
            ConnectionLost: The connection ended, or is not clean.
            ProtocolError: The peer said something that is no reply to the request.
            ServerError, ClientError: The server answered with an error; the connection stays clean
                where the protocol allows it.
            LeaseError: Another exchange is under way on this connection.
        """
        self._enter()
        try:
            reply = self._ask(request, deadline)
        finally:
            self._leave()
        if isinstance(reply, CenoteError):
            try:
                raise reply
            finally:
                del reply
        return reply

    def start(self, request: Request, deadline: float) -> None:
        """Send what the socket takes of a request, and return; ``finish`` does the rest.

        Until then the connection is dirty: it may be closed, but not used.

        Args:
            request: What an encoder of ``cenote.protocol`` made.
            deadline: Absolute; when it has passed, nothing is sent and the connection stays clean.

        Raises: As ``exchange``, for what goes wrong before the reply.
        """
        self._enter()
        try:
            self._begin((request,), deadline)
            try:
                self._sent = self._send(request.payload)
            except OSError as error:
                raise self._explain(error, request.verb, len(request.payload)) from error
            self._early = []
            self._asked = request
        finally:
            self._leave()

    @property
    def unsent(self) -> bool:
        """Whether bytes of what was started have yet to be sent."""
        return self._asked is not None and self._sent < len(self._asked.payload)

    def advance(self) -> bool:
        """Send and read what can be, at once, of what ``start`` began.

        Returns:
            Whether ``finish`` need not wait any more.

        Raises: As ``exchange``, for what goes wrong before the reply; there is no ``finish`` then.
        """
        request = self._resume()
        payload = request.payload
        try:
            if self._sent < len(payload):
                self._sent += self._send(memoryview(payload)[self._sent :])
            while self._parser.pending and self._parser.usable:
                replies = self._take(NOW)
                if replies is None:
                    break
                self._early += replies
            self._asked = request
            still_to_come = self._parser.pending and self._parser.usable
            return not still_to_come and self._sent == len(payload)
        except (OSError, EOFError, ProtocolError) as error:
            raise self._explain(error, request.verb, len(payload)) from error
        finally:
            self._leave()

    def finish(self, deadline: float) -> Reply:
        """Send what ``start`` could not and return the reply.

        A reply that lies ready is returned even if the deadline has passed: it may have come while
        the caller finished with another connection.

        Raises: As ``exchange``.
        """
        request = self._resume()
        replies, self._early = self._early, []
        try:
            limit = max(monotonic() + patience.GLANCE, deadline)
            posted = self._parser.pending + len(replies) - 1
            self._converge(request.payload, limit, replies, posted=posted)
        except (DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self._explain(error, request.verb, len(request.payload)) from error
        finally:
            self._leave()
        reply = replies[-1]
        if isinstance(reply, CenoteError):
            try:
                raise reply
            finally:
                del reply, replies
        return reply

    def converse(self, requests: Sequence[Request], deadline: float) -> list[Reply]:
        """Send several requests in one write and return their replies, error replies as values.

        Raises: As ``exchange``, but for the server's error replies.
        """
        self._enter()
        try:
            payload = b"".join([request.payload for request in requests])
            return self._talk(requests, payload, deadline, 0)[-len(requests) :]
        finally:
            self._leave()

    def post(self, request: Request, deadline: float | None = None) -> None:
        """Send a quiet request and return without waiting for its fence.

        The fence is read and verified by the next exchange, by ``is_alive`` or by ``close``; what
        the server had to say about the request itself is dropped.

        Args:
            request: A request whose reply nobody needs.
            deadline: Absolute; by default ``timeout`` seconds from now.

        Raises: As ``exchange``.
        """
        self._enter()
        try:
            limit = monotonic() + self.timeout if deadline is None else deadline
            self._talk((request,), request.payload, limit, patience.MOST_POSTED)
        finally:
            self._leave()

    def is_alive(self) -> bool:
        """Look, without waiting, whether the peer is still there and silent.

        Returns:
            False at end of file, after bytes nobody asked for, or when not clean. Fences of posted
            requests are read and verified as far as they have arrived.
        """
        if not self.clean:
            return False
        self._enter()
        try:
            self._dirty = True
            self._dirty = not self._peer_is_silent()
            return not self._dirty
        finally:
            self._leave()

    def close(self) -> None:
        """Close the connection, giving posted requests a moment to be carried out first."""
        if self.clean and (self._parser.pending or self.tunnel is not None):
            self._part(monotonic() + min(self.timeout, patience.GOODBYE))
        self.abort()

    def _resume(self) -> Request:
        """Become the one caller again, to finish what was started; the request."""
        try:
            self._token.pop()
        except IndexError:
            raise self._refusal() from None
        request, self._asked = self._asked, None
        if request is not None and not self._closed and not self._inherited:
            return request
        self._leave()
        if request is None and not self._closed:
            raise failures.unusable(self.address, failures.IDLE)
        raise self._refusal()

    def _ask(self, request: Request, deadline: float) -> Reply:
        """One send, one recv, one plain reply; whatever is more goes the long way."""
        now = monotonic()
        plain = self.tunnel is None and not self._parser.pending
        if not plain or not self._armed + patience.TICKS <= deadline - now:
            return self._talk((request,), request.payload, deadline, 0)[-1]
        payload, data = request.payload, None
        self._began = now
        self._sent = self._received = 0
        self._dirty = True
        try:
            try:
                self._sent = self._sock.send(payload, NOW)
                if self._sent == len(payload):
                    data = self._sock.recv(CHUNK)
            except BlockingIOError:  # the socket is full, or its timeout struck too early
                self._armed = math.inf
            if data:
                reply = plain_reply(request, data)
                if not isinstance(reply, More):
                    self._dirty = False
                    return reply
            self._parser.expect(request)
            replies = [] if data is None else self._parse(data)
            self._converge(payload, deadline, replies)
        except (DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self._explain(error, request.verb, len(payload)) from error
        return replies[-1]

    def _talk(
        self, requests: Sequence[Request], payload: bytes, deadline: float, leave: int
    ) -> list[Reply]:
        """Send, then read until at most ``leave`` replies are outstanding; all replies read."""
        posted = self._parser.pending
        replies: list[Reply] = []
        self._begin(requests, deadline)
        try:
            self._sent = self._send(payload)
            self._converge(payload, deadline, replies, leave, posted)
        except (DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self._explain(error, requests[0].verb, len(payload)) from error
        return replies

    def _begin(self, requests: Sequence[Request], deadline: float) -> None:
        self._began = monotonic()
        if not self._began < deadline:
            raise failures.too_late(self.address, requests[0].verb)
        self._sent = self._received = 0
        self._dirty = True
        for request in requests:
            self._parser.expect(request)

    def _converge(
        self,
        payload: bytes,
        deadline: float,
        replies: list[Reply],
        leave: int = 0,
        posted: int = 0,
    ) -> None:
        """Send and receive what is left; the first replies are those of ``posted`` requests."""
        replies += self._send_while_reading(payload, deadline)
        while self._parser.pending > leave:
            if not self._parser.usable:
                raise failures.out_of_step(replies[-1], posted=len(replies) <= posted)
            replies += self._receive(deadline)
        self._dirty = not self._parser.usable

    def _part(self, deadline: float) -> None:
        """Await what is outstanding, and say in TLS's words that nothing follows."""
        self._enter()
        try:
            self._dirty = True
            while self._parser.pending and self._parser.usable:
                self._receive(deadline)
            if self.tunnel is not None:
                self._sock.send(self.tunnel.goodbye(), NOW)
        except (DeadlinePassed, OSError, EOFError, ProtocolError):
            return  # it is being closed: nothing is lost but the news
        finally:
            self._leave()

    def _explain(self, error: Exception, verb: str, size: int) -> CenoteError:
        progress = failures.Progress(
            self.address, verb, size, self._sent, self._received, monotonic() - self._began
        )
        if isinstance(error, DeadlinePassed):
            return failures.timed_out(progress)
        if isinstance(error, ProtocolError):
            return failures.broken(progress, error)
        return failures.lost(progress, error, replied=self._parser.started)
