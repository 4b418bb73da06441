# C types for flow_aio.py, which is compiled unchanged as cenote.connection._flow_aio_c.

cimport cython

from cenote.connection._pending_c cimport Origin as Origins, Pending as AnyPending
from cenote.protocol._speedups cimport ReplyParser as Parser, Request as AnyRequest


cdef int _GET
cdef Py_ssize_t _MAX_UNSENT


cdef class Flow:
    cdef public object _loop
    cdef public Origins _origin
    cdef public Parser _parser
    cdef public object _queue
    cdef public object _reads
    cdef public list _turn
    cdef public object _timer
    cdef public object _transport
    cdef public object sharer
    cdef public Py_ssize_t _posted
    cdef public Py_ssize_t _received
    cdef public Py_ssize_t _unsent
    cdef public long _alone
    cdef public double _strikes_at
    cdef public bint _flush_due
    cdef public bint _paused
    cdef public bint _closed
    cdef public bint answered

    @cython.locals(now=double, pending=AnyPending)
    cpdef AnyPending submit(self, AnyRequest request, double deadline)
    cpdef ask(self, AnyPending pending)
    cpdef Py_ssize_t depth(self)
    cpdef bint takes(self)
    cdef _schedule(self)
    @cython.locals(turn=list)
    cpdef _flush(self)
    @cython.locals(request=AnyRequest)
    cdef bytes _depart(self, AnyPending pending)
    @cython.locals(pending=AnyPending)
    cdef list _depart_all(self, list pendings)
    @cython.locals(
        parts=list, gets=list, others=list, touched=set, pending=AnyPending, request=AnyRequest,
        key=bytes,
    )
    cdef list _bundle(self, list turn)
    @cython.locals(parts=list, pending=AnyPending, request=AnyRequest)
    cdef list _leave(self, list gets, list others)
    @cython.locals(replies=list, settled=list)
    cpdef data_received(self, bytes data)
    @cython.locals(settled=list, pending=AnyPending)
    cdef list _settle(self, list replies)
    @cython.locals(followers=Py_ssize_t)
    cdef _share(self, AnyPending pending, reply, list settled)
    cdef _note_long(self, AnyPending head, reply)
    cdef _wake(self, list settled)
    @cython.locals(delay=double)
    cpdef _set_timer(self, double when, double now)
