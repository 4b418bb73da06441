# cython: language_level=3
# What other compiled modules see of the blocking exchange: `Channel.exchange` as a C call. Who derives
# from `Channel` may add to it, but must not override `exchange`: the compiled callers do not look.

from cenote.connection._tunnel_c cimport Tunnel
from cenote.protocol._speedups cimport ReplyParser, Request


cdef class Stream:
    cdef object sock
    cdef readonly Tunnel tunnel
    cdef ReplyParser parser
    cdef double armed
    cdef Py_ssize_t sent
    cdef Py_ssize_t taken
    cdef int fd

    cdef Py_ssize_t send_now(self, bytes payload) except -1
    cdef Py_ssize_t send_sealed(self, bytes payload) except -1
    cdef int send_while_reading(self, bytes payload, double deadline, list replies) except -1
    cdef int receive(self, double deadline, list replies) except -1
    cdef bint take(self, int flags, list replies) except -1
    cdef bint take_sealed(self, int flags, list replies) except -1
    cdef int keep(self, reply, const char *data, Py_ssize_t size, list replies) except -1
    cdef short wait(self, short events, double deadline) except -1
    cdef int arm(self, double rest) except -1
    cdef bint peer_is_silent(self) except -1


cdef class Turn(Stream):
    cdef public object address
    cdef public double timeout
    cdef long born
    cdef long owner
    cdef char claimed
    cdef bint dirty
    cdef bint shut

    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef object refusal(self, bint in_use)
    cdef bint close_unless_in_use(self) except -1
    cdef int expel(self) except -1


cdef class Channel(Turn):
    cdef Request asked
    cdef list early
    cdef double began

    cpdef object exchange(self, Request request, double deadline)
    cpdef int start(self, Request request, double deadline) except -1
    cpdef bint advance(self) except -1
    cpdef object finish(self, double deadline)
    cdef Request resume(self)
    cdef int begin(self, str verb, double deadline) except -1
    cdef object ask(self, Request request, double deadline)
    cdef list talk(self, requests, bytes payload, double deadline, Py_ssize_t leave)
    cdef int drain(self, double deadline, Py_ssize_t leave, Py_ssize_t posted, list replies) except -1
    cdef int part(self) except -1
    cdef int await_fences(self, double deadline) except -1
    cdef object explain(self, error, str verb, Py_ssize_t size)
