# Whose turn it is on a connection, and the end of it; the twin of _exchange_turn.py.

cdef long forks = 0


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)


cdef class Turn(Stream):
    """A stream that one caller has at a time; `Channel` adds what he says."""

    def __init__(self, sock, tunnel, address):
        Stream.__init__(self, sock, tunnel)
        self.address = address
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

    def abort(self):
        """Close the descriptor at once and say nothing to the peer. Safe in a forked child."""
        self.shut = True
        if not self.close_unless_in_use():
            self.expel()

    cdef int enter(self) except -1:
        if not claim(&self.claimed):
            raise self.refusal(True)
        if self.dirty or self.shut or self.born != forks:
            self.leave()
            raise self.refusal(False)
        return 0

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
