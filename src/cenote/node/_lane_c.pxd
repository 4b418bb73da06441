# C types for lane.py, which is compiled unchanged as cenote.node._lane_c.

cimport cython

from cenote.connection._exchange cimport Channel
from cenote.pool._fast_c cimport Entry
from cenote.pool._fast_sync_c cimport Front


@cython.final
cdef class Lane:
    cdef object __weakref__
    cdef Front _pool
    cdef object _once_more
    cdef object _may_spend

    @cython.locals(pool=Front, entry=Entry, connection=Channel, answer=int)
    cpdef object request(self, request, double deadline)
