# C types for flow_aio.py, which is compiled unchanged as cenote.connection._flow_aio_c.

cimport cython

from cenote.protocol._speedups cimport ReplyParser as Parser, Request as AnyRequest


cdef int WAITING, ANSWERED, FAILED, CANCELLED


@cython.final
@cython.freelist(512)
cdef class Pending:
    cdef public bint _asyncio_future_blocking
    cdef object _loop
    cdef object _callback
    cdef object _context
    cdef list _others
    cdef object _value
    cdef public AnyRequest request
    cdef public double began
    cdef public double deadline
    cdef public bint posted
    cdef public bint again
    cdef public int state

    cpdef bint settle(self, reply) except -1
    cpdef result(self)
    cdef call(self)


cdef class Flow:
    cdef public object _loop
    cdef public Parser _parser
    cdef public object _queue
    cdef public list _outbox
    cdef public object _timer
    cdef public object _transport
    cdef public object sharer
    cdef public Py_ssize_t _posted
    cdef public Py_ssize_t _received
    cdef public Py_ssize_t _unsent
    cdef public long _forks
    cdef public long _alone
    cdef public double _strikes_at
    cdef public bint _flush_due
    cdef public bint _paused
    cdef public bint _closed
    cdef public bint answered

    @cython.locals(now=double, pending=Pending)
    cpdef Pending submit(self, request, double deadline)
    @cython.locals(request=AnyRequest, payload=bytes)
    cpdef ask(self, Pending pending)
    cpdef Py_ssize_t depth(self)
    cpdef bint takes(self)
    cdef _schedule(self)
    @cython.locals(outbox=list)
    cpdef _flush(self)
    @cython.locals(replies=list, settled=list, pending=Pending)
    cpdef data_received(self, bytes data)
    @cython.locals(delay=double)
    cdef _set_timer(self, double when, double now)
