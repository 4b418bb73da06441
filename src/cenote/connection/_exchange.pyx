# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""The blocking exchange, compiled: the twin of `_exchange_native.py`, same names, same behaviour.

The strategy is written there. What is different here:

1. One `send` and one `recv` with the GIL released once for both; the reply is parsed where it was
   received, in a buffer on the stack. A data block that did not come in the same segment as its
   header is received straight into its bytes object. Nothing is kept between two exchanges.
2. `ask` is that one round trip, and all that most exchanges need. Everything else (a reply in
   several segments, fences of posted requests, a payload that does not fit the socket, a signal, a
   short deadline) goes on in `drain` and `send_while_reading`, which the other verbs share.
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
from cenote.protocol._speedups cimport MORE, ReplyParser, Request, plain_reply

cdef extern from "Python.h":
    bint PyExceptionInstance_Check(object)

cdef extern from *:
    """
    #include <poll.h>
    #include <sys/socket.h>
    #include <sys/time.h>

    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #define CENOTE_NOW (MSG_DONTWAIT | MSG_NOSIGNAL)

    static inline int cenote_set_timeout(int fd, double seconds) {
        struct timeval t;
        t.tv_sec = (long)seconds;
        t.tv_usec = (long)((seconds - (double)t.tv_sec) * 1e6);
        return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    }

    static inline int cenote_claim(char *flag) {
        return __atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE) == 0;
    }

    static inline void cenote_unclaim(char *flag) {
        __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
    }
    """
    int NOW "CENOTE_NOW"
    int set_timeout "cenote_set_timeout"(int fd, double seconds) nogil
    bint claim "cenote_claim"(char *flag)
    void unclaim "cenote_unclaim"(char *flag)

    struct pollfd:
        int fd
        short events
        short revents
    short POLLIN, POLLOUT
    int poll(pollfd *fds, unsigned long count, int milliseconds) nogil
    ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    ssize_t recv(int fd, void *data, size_t size, int flags) nogil

cdef enum:
    BUFFER = 32768
    SEALED = 65536

# As in patience.py, where the reasons are; a test holds them together.
cdef double PRECISE = 0.025
cdef double TICKS = 0.010
_PATIENCE = (PRECISE, TICKS)

IMPLEMENTATION = "speedups"

cdef long forks = 0


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)


class _DeadlinePassed(Exception):
    """The deadline passed inside a wait."""


cdef class Channel:
    """Requests and replies over one connected stream socket; see `_exchange_native.Channel`."""

    def __init__(self, sock, double timeout, address="an unnamed peer", tunnel=None):
        sock.settimeout(None)
        self.tunnel = tunnel
        self.sock = sock
        self.fd = sock.fileno()
        self.parser = ReplyParser()
        self.address = address
        self.timeout = timeout
        self.armed = INFINITY
        self.born = forks
        self.owner = getpid()

    def __repr__(self):
        state = "closed" if self.shut else "clean" if self.clean else "dirty"
        return f"<{type(self).__name__} to {self.address}, {state}>"

    @property
    def clean(self):
        """Whether the next caller may use it."""
        return not (self.claimed or self.dirty or self.shut or self.born != forks)

    @property
    def closed(self):
        """Whether `close` or `abort` was called."""
        return self.shut

    @property
    def pending(self):
        """How many requests went out whose reply has not been read (posted fences, when clean)."""
        return self.parser.waiting()

    def fileno(self):
        """The socket's descriptor (-1 when closed)."""
        return self.sock.fileno()

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
            self.asked = request
        finally:
            self.leave()
        return 0

    cpdef object finish(self, double deadline):
        """Send what `start` could not and return the reply."""
        cdef Request request = self.resume()
        cdef list replies = []
        try:
            deadline = max(monotonic() + <double>GLANCE, deadline)
            self.send_while_reading(request.payload, deadline, replies)
            self.drain(deadline, 0, self.parser.waiting() + len(replies) - 1, replies)
            self.dirty = not self.parser.is_usable
        except (_DeadlinePassed, OSError, EOFError, ProtocolError) as error:
            raise self.explain(error, request.verb, len(request.payload)) from error
        finally:
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

    def abort(self):
        """Close the descriptor at once and say nothing to the peer. Safe in a forked child."""
        self.shut = True
        if not self.close_unless_in_use():
            self.expel()

    # One caller at a time.

    cdef int enter(self) except -1:
        if not claim(&self.claimed):
            raise self.refusal(True)
        if self.dirty or self.shut or self.born != forks:
            self.leave()
            raise self.refusal(False)
        return 0

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

    cdef int leave(self) except -1:
        unclaim(&self.claimed)
        if self.shut:
            self.close_unless_in_use()
        return 0

    cdef object refusal(self, bint in_use):
        if self.shut:
            return failures.unusable(self.address, failures.CLOSED)
        if self.born != forks:
            return failures.unusable(self.address, failures.FOREIGN)
        if in_use:
            return failures.in_use(self.address)
        return failures.unusable(self.address, failures.DIRTY)

    cdef bint close_unless_in_use(self) except -1:
        """Close the descriptor and let nobody in any more; False if somebody is inside."""
        if not claim(&self.claimed):
            return False
        self.sock.close()
        return True

    cdef int expel(self) except -1:
        """Make the caller inside leave; a caller left behind in the parent process can not."""
        if self.owner != getpid():  # not the count: a pool's fork hook may run before ours
            self.sock.close()
            return 0
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer, or an earlier abort, was faster
        return 0

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
        cdef ssize_t sent, taken = 0
        cdef Py_ssize_t size = PyBytes_GET_SIZE(request.payload), used = 0
        cdef const char *payload = PyBytes_AS_STRING(request.payload)
        cdef int fd = self.fd, error = 0, send_error = 0
        cdef bint receive, alone = not self.parser.waiting()
        cdef list replies
        if self.tunnel is not None:
            replies = self.talk((request,), request.payload, deadline, 0)
            return replies[len(replies) - 1]
        self.begin(request.verb, deadline)
        try:
            receive = deadline - self.began >= PRECISE
            if receive and self.armed + TICKS > deadline - self.began:
                self.arm(deadline - self.began)
            with nogil:
                sent = send(fd, payload, size, NOW)
                send_error = errno
                if sent == size and receive:
                    taken = recv(fd, buffer, BUFFER, 0)
                    error = errno
            self.sent = would_block(sent, send_error)
            if alone and receive and sent == size and taken > 0:
                reply = plain_reply(request, buffer, taken)
                if reply is not MORE:
                    self.dirty = False
                    return reply
            self.parser.push(request)
            if sent != size or not receive:
                replies = []
            elif taken > 0:
                self.taken = taken
                reply = self.parser.parse(buffer, taken, &used)
                if used == taken and reply is not MORE and not self.parser.waiting():
                    self.dirty = not self.parser.is_usable
                    return reply
                replies = []
                self.keep(reply, buffer + used, taken - used, replies)
            else:
                replies = []
                check_received(taken, error)
            self.send_while_reading(request.payload, deadline, replies)
            self.drain(deadline, 0, self.parser.waiting() + len(replies) - 1, replies)
        except (_DeadlinePassed, OSError, EOFError, ProtocolError) as error_:
            raise self.explain(error_, request.verb, size) from error_
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

    # Sending.

    cdef Py_ssize_t send_now(self, bytes payload) except -1:
        """Send what the socket takes of what was not sent; how much that was."""
        cdef const char *data = PyBytes_AS_STRING(payload) + self.sent
        cdef size_t size = PyBytes_GET_SIZE(payload) - self.sent
        cdef int fd = self.fd, error
        cdef ssize_t sent
        if self.tunnel is not None:
            return self.send_sealed(payload)
        with nogil:
            sent = send(fd, data, size, NOW)
            error = errno
        return would_block(sent, error)

    cdef Py_ssize_t send_sealed(self, bytes payload) except -1:
        """As `send_now`, over TLS: what is not sent whole is not counted yet."""
        cdef bytes sealed = self.tunnel.seal(memoryview(payload)[self.sent:] if self.sent else payload)
        cdef const char *data = PyBytes_AS_STRING(sealed)
        cdef size_t size = PyBytes_GET_SIZE(sealed)
        cdef int fd = self.fd, error
        cdef ssize_t sent
        with nogil:
            sent = send(fd, data, size, NOW)
            error = errno
        return self.tunnel.sent(would_block(sent, error))

    cdef int send_while_reading(self, bytes payload, double deadline, list replies) except -1:
        cdef short ready
        while self.sent < PyBytes_GET_SIZE(payload):
            ready = self.wait(POLLIN | POLLOUT, deadline)
            if ready & ~POLLOUT:
                self.take(NOW, replies)
            if ready & POLLOUT:
                self.sent += self.send_now(payload)
        return 0

    # Receiving.

    cdef int receive(self, double deadline, list replies) except -1:
        """Wait for bytes and parse them."""
        cdef double rest
        while True:
            rest = deadline - monotonic()
            if rest < PRECISE:
                self.wait(POLLIN, deadline)
                if self.take(NOW, replies):
                    return 0
            else:
                if self.armed + TICKS > rest:
                    self.arm(rest)
                if self.take(0, replies):
                    return 0
                self.armed = INFINITY  # struck too early, or a signal: set it to what is left

    cdef bint take(self, int flags, list replies) except -1:
        """One `recv`, parsed: of a data block that has begun straight into it. False: no bytes."""
        cdef char buffer[BUFFER]
        cdef Py_ssize_t size = 0
        cdef int fd = self.fd, error
        cdef ssize_t taken
        cdef char *room
        if self.tunnel is not None:
            return self.take_sealed(flags, replies)
        room = self.parser.room(&size)
        block = self.parser.block  # held while the GIL is not
        if room == NULL:
            room, size = buffer, BUFFER
        with nogil:
            taken = recv(fd, room, size, flags)
            error = errno
        if not check_received(taken, error):
            return False
        self.taken += taken
        if room == buffer:
            self.keep(MORE, buffer, taken, replies)
        else:
            self.keep(self.parser.received(taken), NULL, 0, replies)
        return True

    cdef bint take_sealed(self, int flags, list replies) except -1:
        """As `take`, over TLS: what arrived may say nothing to us, or be the end."""
        cdef char buffer[SEALED]
        cdef int fd = self.fd, error
        cdef ssize_t taken
        cdef bytes data
        if self.tunnel.end is None:
            with nogil:
                taken = recv(fd, buffer, SEALED, flags)
                error = errno
            if not check_received(taken, error):
                return False
            data = self.tunnel.decrypt(buffer[:taken])
            if data or self.tunnel.end is None:
                self.taken += PyBytes_GET_SIZE(data)
                self.keep(MORE, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), replies)
                return True
        raise self.tunnel.end

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

    cdef int keep(self, reply, const char *data, Py_ssize_t size, list replies) except -1:
        """Keep a reply, and all that the bytes behind it complete."""
        cdef Py_ssize_t used = 0
        while True:
            if reply is not MORE:
                replies.append(reply)
            if not size or not self.parser.is_usable:
                return 0
            reply = self.parser.parse(data, size, &used)
            data += used
            size -= used

    cdef short wait(self, short events, double deadline) except -1:
        """Wait until the socket is ready, exactly until the deadline; for what it is ready."""
        cdef pollfd one
        cdef int count, error, milliseconds
        cdef double rest
        one.fd = self.fd
        one.events = events
        one.revents = 0
        while True:
            rest = deadline - monotonic()
            if rest <= 0:
                raise _DeadlinePassed
            milliseconds = poll_milliseconds(rest)
            with nogil:
                count = poll(&one, 1, milliseconds)
                error = errno
            if count > 0:
                return one.revents
            if count < 0:
                if error != EINTR:
                    raise OSError(error, strerror(error).decode())
                PyErr_CheckSignals()

    cdef int arm(self, double rest) except -1:
        cdef double seconds = arm_for(rest)
        if set_timeout(self.fd, seconds):
            raise OSError(errno, strerror(errno).decode())
        self.armed = seconds
        return 0

    cdef bint peer_is_silent(self) except -1:
        cdef list replies = []
        try:
            while self.take(NOW, replies):
                pass
        except (OSError, EOFError, ProtocolError):
            return False
        return self.parser.is_usable

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


cdef Py_ssize_t would_block(ssize_t sent, int error) except -1:
    """How many bytes a send that does not block took."""
    if sent >= 0:
        return sent
    if error == EAGAIN:
        return 0
    if error == EINTR:
        PyErr_CheckSignals()
        return 0
    raise OSError(error, strerror(error).decode())


cdef bint check_received(ssize_t taken, int error) except -1:
    """Whether a recv brought bytes; False if it was only early. Raises at the end of the stream."""
    if taken > 0:
        return True
    if taken == 0:
        raise EOFError(failures.END_OF_FILE)
    if error == EAGAIN:
        return False
    if error == EINTR:
        PyErr_CheckSignals()
        return False
    raise OSError(error, strerror(error).decode())
