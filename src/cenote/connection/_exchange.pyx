# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""The blocking exchange, compiled: the twin of `_exchange_native.py`, same names, same behaviour.

The strategy is written there. What is different here:

1. One `send` and one `recv` with the GIL released once for both; the reply is parsed where it was
   received, in a buffer on the stack. A data block that did not come in the same segment as its
   header is received straight into its bytes object. Nothing is kept between two exchanges.
2. `ask` is that one round trip, and all that most exchanges need, over TLS too where the request
   fits in one record. Everything else (a reply in several segments, fences of posted requests, a
   payload that does not fit the socket, a signal, a short deadline) goes on in `drain` and
   `send_while_reading`, which the other verbs share.
3. A system call that a signal interrupted ends here: handlers run, and the deadline is looked at.
   (A signal in the microseconds between `send` and `recv` is handled when `recv` ends.)
4. The flag that lets one caller in is exchanged atomically, so it holds without a GIL too.
"""

import os
import socket

from cenote.connection import failures
from cenote.connection.patience import GLANCE, GOODBYE, MOST_POSTED, arm_for, poll_milliseconds
from cenote.errors import CenoteError, ProtocolError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport INFINITY
from libc.string cimport strerror
from posix.unistd cimport getpid

from cenote._clock cimport monotonic
from cenote.connection._tunnel_c cimport RECORD
from cenote.protocol._speedups cimport MORE, ReplyParser, Request, plain_reply

cdef extern from "Python.h":
    bint PyExceptionInstance_Check(object)

IMPLEMENTATION = "speedups"

include "_exchange_stream.pxi"
include "_exchange_turn.pxi"


cdef class Channel(Turn):
    """Requests and replies over one connected stream socket; see `_exchange_native.Channel`."""

    def __init__(self, sock, double timeout, address="an unnamed peer", tunnel=None):
        Turn.__init__(self, sock, tunnel, address)
        self.timeout = timeout

    cpdef object exchange(self, Request request, double deadline):
        """Send a request and return its reply."""
        if request is None:  # a typed argument may be, in a function that C can call
            raise TypeError("exchange takes a Request, not None")
        self.enter()
        try:
            reply = self.ask(request, deadline)
        finally:
            self.leave()
        if PyExceptionInstance_Check(reply):
            raise reply
        return reply

    cpdef int start(self, Request request, double deadline) except -1:
        """Send what the socket takes of a request, and return; `finish` does the rest."""
        if request is None:
            raise TypeError("start takes a Request, not None")
        self.enter()
        try:
            self.begin(request.verb, deadline)
            self.parser.push(request)
            try:
                self.sent = self.send_now(request.payload)
            except OSError as error:
                raise self.explain(error, request.verb, len(request.payload)) from error
            self.early = []
            self.asked = request
        finally:
            self.leave()
        return 0

    @property
    def unsent(self):
        """Whether bytes of what was started have yet to be sent."""
        return self.asked is not None and self.sent < PyBytes_GET_SIZE(self.asked.payload)

    cpdef bint advance(self) except -1:
        """Send and read what can be, at once, of what `start` began; True: `finish` need not wait."""
        cdef Request request = self.resume()
        cdef bint whole
        try:
            if self.sent < PyBytes_GET_SIZE(request.payload):
                self.sent += self.send_now(request.payload)
            while self.parser.waiting() and self.parser.is_usable:
                if not self.take(NOW, self.early):
                    break
            self.asked = request
            whole = self.sent == PyBytes_GET_SIZE(request.payload)
            return whole and not (self.parser.waiting() and self.parser.is_usable)
        except (OSError, EOFError, ProtocolError) as error:
            raise self.explain(error, request.verb, len(request.payload)) from error
        finally:
            self.leave()

    cpdef object finish(self, double deadline):
        """Send what `start` could not and return the reply."""
        cdef Request request = self.resume()
        cdef list replies = self.early
        try:
            deadline = max(monotonic() + <double>GLANCE, deadline)
            self.send_while_reading(request.payload, deadline, replies)
            self.drain(deadline, 0, self.parser.waiting() + len(replies) - 1, replies)
            self.dirty = not self.parser.is_usable
        except (_DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self.explain(error, request.verb, len(request.payload)) from error
        finally:
            self.early = None
            self.leave()
        reply = replies[len(replies) - 1]
        if PyExceptionInstance_Check(reply):
            raise reply
        return reply

    def converse(self, requests, double deadline):
        """Send several requests in one write and return their replies, error replies as values."""
        payload = b"".join([request.payload for request in requests])
        self.enter()
        try:
            return self.talk(requests, payload, deadline, 0)[-len(requests):]
        finally:
            self.leave()

    def post(self, Request request not None, deadline=None):
        """Send a quiet request and return without waiting for its fence."""
        cdef double limit = monotonic() + self.timeout if deadline is None else deadline
        self.enter()
        try:
            self.talk((request,), request.payload, limit, MOST_POSTED)
        finally:
            self.leave()

    def is_alive(self):
        """Look, without waiting, whether the peer is still there and silent."""
        if not self.clean:
            return False
        self.enter()
        try:
            self.dirty = True
            self.dirty = not self.peer_is_silent()
            return not self.dirty
        finally:
            self.leave()

    def close(self):
        """Close the connection, giving posted requests a moment to be carried out first."""
        if self.parser.waiting() and self.clean:
            self.await_fences(monotonic() + min(self.timeout, GOODBYE))
        if self.tunnel is not None and self.clean:
            self.part()
        self.abort()

    cdef Request resume(self):
        """Become the one caller again, to finish what was started; the request."""
        cdef Request request
        if not claim(&self.claimed):
            raise self.refusal(True)
        request, self.asked = self.asked, None
        if request is not None and not self.shut and self.born == forks:
            return request
        self.leave()
        if request is None and not self.shut:
            raise failures.unusable(self.address, failures.IDLE)
        raise self.refusal(False)

    # The conversation.

    cdef int begin(self, str verb, double deadline) except -1:
        self.began = monotonic()
        if not self.began < deadline:
            raise failures.too_late(self.address, verb)
        self.sent = self.taken = 0
        self.dirty = True
        return 0

    cdef object ask(self, Request request, double deadline):
        """One send, one recv, one reply; whatever is more goes the long way."""
        cdef char buffer[BUFFER]
        cdef const char *data = buffer
        cdef ssize_t sent, taken = 0
        cdef Py_ssize_t size, used = 0
        cdef const char *payload
        cdef int fd = self.fd, error = 0, send_error = 0
        cdef bint receive, alone = not self.parser.waiting()
        cdef bytes wire = request.payload, said
        cdef list replies
        if self.tunnel is not None and PyBytes_GET_SIZE(wire) > RECORD:
            replies = self.talk((request,), wire, deadline, 0)
            return replies[len(replies) - 1]
        self.begin(request.verb, deadline)
        try:
            if self.tunnel is not None:
                wire = self.tunnel.seal(wire)
            payload, size = PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire)
            receive = deadline - self.began >= PRECISE
            if receive and self.armed + TICKS > deadline - self.began:
                self.arm(deadline - self.began)
            with nogil:
                sent = send(fd, payload, size, NOW)
                send_error = errno
                if sent == size and receive:
                    taken = recv(fd, buffer, BUFFER, 0)
                    error = errno
            receive = receive and sent == size
            self.sent = would_block(sent, send_error)
            if self.tunnel is not None:
                self.sent = self.tunnel.sent(self.sent)
                if taken > 0:
                    said = self.tunnel.decrypt(buffer[:taken])
                    data, taken = PyBytes_AS_STRING(said), PyBytes_GET_SIZE(said)
                    receive = taken > 0  # else it said nothing to us, or the end
            if alone and receive and taken > 0:
                reply = plain_reply(request, data, taken)
                if reply is not MORE:
                    self.dirty = False
                    return reply
            self.parser.push(request)
            if not receive:
                replies = []
            elif taken > 0:
                self.taken = taken
                reply = self.parser.parse(data, taken, &used)
                if used == taken and reply is not MORE and not self.parser.waiting():
                    self.dirty = not self.parser.is_usable
                    return reply
                replies = []
                self.keep(reply, data + used, taken - used, replies)
            else:
                replies = []
                check_received(taken, error)
            self.send_while_reading(request.payload, deadline, replies)
            self.drain(deadline, 0, self.parser.waiting() + len(replies) - 1, replies)
        except (_DeadlinePassed, OSError, EOFError, ProtocolError) as error_:
            raise self.explain(error_, request.verb, PyBytes_GET_SIZE(request.payload)) from error_
        self.dirty = not self.parser.is_usable
        return replies[len(replies) - 1]

    cdef list talk(self, requests, bytes payload, double deadline, Py_ssize_t leave):
        """Send, then read until at most `leave` replies are outstanding; all replies read."""
        cdef list replies = []
        cdef Request request
        cdef Py_ssize_t posted
        verb = requests[0].verb
        self.begin(verb, deadline)
        posted = self.parser.waiting()
        for request in requests:
            self.parser.push(request)
        try:
            self.sent = self.send_now(payload)
            self.send_while_reading(payload, deadline, replies)
            self.drain(deadline, leave, posted, replies)
        except (_DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self.explain(error, verb, len(payload)) from error
        self.dirty = not self.parser.is_usable
        return replies

    cdef int drain(
        self, double deadline, Py_ssize_t leave, Py_ssize_t posted, list replies
    ) except -1:
        """Receive until at most `leave` replies are outstanding; the first are of `posted`."""
        while self.parser.waiting() > leave:
            if not self.parser.is_usable:
                raise failures.out_of_step(replies[len(replies) - 1], posted=len(replies) <= posted)
            self.receive(deadline, replies)
        return 0

    cdef int part(self) except -1:
        """Say in TLS's words that nothing follows, if the peer takes that at once."""
        self.enter()
        try:
            self.dirty = True
            self.sock.send(self.tunnel.goodbye(), NOW)
        except OSError:
            pass  # it has gone
        finally:
            self.leave()
        return 0

    cdef int await_fences(self, double deadline) except -1:
        self.enter()
        try:
            self.dirty = True
            self.drain(deadline, 0, self.parser.waiting(), [])
        except (_DeadlinePassed, OSError, EOFError, ProtocolError):
            pass  # it is being closed: nothing is lost but the news
        finally:
            self.leave()
        return 0

    cdef object explain(self, error, str verb, Py_ssize_t size):
        progress = failures.Progress(
            self.address, verb, size, self.sent, self.taken, monotonic() - self.began
        )
        if isinstance(error, _DeadlinePassed):
            return failures.timed_out(progress)
        if isinstance(error, ProtocolError):
            return failures.broken(progress, error)
        return failures.lost(progress, error, replied=self.parser.has_started())
