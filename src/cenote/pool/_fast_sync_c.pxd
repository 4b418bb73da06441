# C types for fast_sync.py, which is compiled unchanged as cenote.pool._fast_sync_c.

cimport cython

from cenote.pool._fast_c cimport Entry, IdleStack
from cenote.pool._instruments cimport Instruments

cdef int DONE, SETTLE


cdef class Root:
    pass


cdef class Lease


cdef class Front(Root):
    cdef object __weakref__
    cdef public IdleStack stack
    cdef public object clock
    cdef readonly Instruments instruments

    @cython.locals(lease=Lease)
    cpdef Lease connection(self, timeout=*)
    cpdef Entry checkout_nowait(self)


@cython.final
cdef class Lease(Root):
    cdef object __weakref__
    cdef Entry _entry
    cdef Front _front
    cdef object _timeout

    cdef _bind(self, Front front, timeout)


cdef class KeyedFront(Root):
    cdef object __weakref__
    cdef public dict fronts
    cdef public dict lent

    @cython.locals(front=Front, lease=Lease)
    cpdef Lease connection(self, key, timeout=*)
    @cython.locals(front=Front)
    cpdef acquire(self, key, timeout=*)
