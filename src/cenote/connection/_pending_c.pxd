# cython: language_level=3
# What other compiled modules see of ``Pending``.

cimport cython

from cenote.protocol._speedups cimport Request

# The states of a ``Pending``, as in its pure twin.
cdef enum:
    WAITING = 0
    ANSWERED = 1
    FAILED = 2
    CANCELLED = 3


@cython.final
cdef class Pending:
    cdef public bint _asyncio_future_blocking
    cdef readonly object _loop        # as asyncio asks for it
    cdef object callback
    cdef object context
    cdef list others                 # of (callback, context), beside the first
    cdef object value                # the reply, the error, or the message of the cancel
    cdef public Request request
    cdef public double began
    cdef public double deadline
    cdef public Py_ssize_t followers
    cdef public bint posted
    cdef public bint again
    cdef public int state

    cpdef bint settle(self, reply) except -1
    cpdef fail(self, error)
    cdef object outcome(self)
    cdef object error(self)
    cdef int call(self) except -1


@cython.final
cdef class Origin:
    cdef readonly object loop
    cdef long _forks

    cpdef bint inherited(self)
    cpdef double now(self)
    cpdef Pending begin(self, Request request, double now, double deadline)
