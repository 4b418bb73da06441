# C types for fast_aio.py, which is compiled unchanged as cenote.pool._fast_aio_c.

cimport cython

from cenote.pool._fast_c cimport Entry, IdleStack
from cenote.pool._instruments cimport Instruments

cdef int SETTLE, REFUSED


cdef class Root:
    pass


cdef class AsyncLease


cdef class AsyncFront(Root):
    cdef object __weakref__
    cdef public IdleStack stack
    cdef public object clock
    cdef readonly Instruments instruments
    cdef public object is_running
    cdef public unsigned long thread

    @cython.locals(lease=AsyncLease)
    cpdef AsyncLease connection(self, timeout=*)
    cpdef bint at_home(self) except -1
    cdef Entry _take(self)
    cdef _give(self, Entry entry, BaseException error)


@cython.final
cdef class AsyncLease(Root):
    cdef Entry _entry
    cdef AsyncFront _front
    cdef object _timeout

    cdef _bind(self, AsyncFront front, timeout)
    cpdef begin(self)


cdef class AsyncKeyedFront(Root):
    cdef object __weakref__
    cdef public dict fronts
    cdef public dict lent

    @cython.locals(front=AsyncFront, lease=AsyncLease)
    cpdef AsyncLease connection(self, key, timeout=*)
