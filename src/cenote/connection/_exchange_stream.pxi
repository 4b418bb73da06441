# The socket under the exchange: what is sent, awaited and parsed; the twin of _exchange_stream.py.

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

class _DeadlinePassed(Exception):
    """The deadline passed inside a wait."""


cdef class Stream:
    """A connected stream socket, the TLS over it if there is any, and the parser of what comes."""

    def __init__(self, sock, tunnel):
        sock.settimeout(None)
        self.tunnel = tunnel
        self.sock = sock
        self.fd = sock.fileno()
        self.parser = ReplyParser()
        self.armed = INFINITY

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
