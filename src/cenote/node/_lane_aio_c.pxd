# C types for lane_aio.py, which is compiled unchanged as cenote.node._lane_aio_c.

cimport cython

from cenote.connection._flow_aio_c cimport Flow
from cenote.pool._fast_aio_c cimport AsyncFront
from cenote.pool._fast_c cimport Entry, IdleStack
from cenote.protocol._speedups cimport Request as AnyRequest


cdef class Lanes


@cython.final
cdef class Lane:
    cdef public Lanes lanes
    cdef public Entry entry
    cdef public Flow channel
    cdef public bint retired
    cdef public bint told

    @cython.locals(entry=Entry, stack=IdleStack, now=double)
    cpdef departed(self)


@cython.final
cdef class Lanes:
    cdef AsyncFront _pool
    cdef object _line
    cdef list _open
    cdef set _leased
    cdef dict _long_keys
    cdef Py_ssize_t _long
    cdef Py_ssize_t _max_lanes
    cdef Lanes _wide
    cdef IdleStack _stack
    cdef bint _closed
    cdef public Py_ssize_t max_in_flight
    cdef public long asked
    cdef public long retries
    cdef public object late
    cdef public object may_spend

    @cython.locals(pool=AsyncFront, wide=Lanes, lane=Lane)
    cpdef request(self, AnyRequest request, double deadline)
    @cython.locals(best=Lane, lane=Lane, least=Py_ssize_t, depth=Py_ssize_t)
    cpdef Lane choose(self)
    @cython.locals(lane=Lane)
    cpdef grow(self)
    @cython.locals(entry=Entry)
    cdef Lane _lease(self)
    @cython.locals(lane=Lane)
    cpdef Lane open(self, Entry entry)
    cpdef give_back(self, Lane lane)
    cdef _strike(self, Lane lane)
