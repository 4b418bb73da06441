# C types for _hot_aio_c.pyx.

from cenote.client._keys_c cimport KeyEncoder
from cenote.node._lane_aio_c cimport Lanes
from cenote.protocol._speedups cimport Request


cdef class AsyncHot:
    cdef object __weakref__
    cdef public KeyEncoder _encoder
    cdef public object _dumps
    cdef public object _loads
    cdef readonly object _request
    cdef Lanes _lanes
    cdef public double _timeout
    cdef public object _verbatim
    cdef bint _takes_bytes

    cdef object _ask(self, Request request, double deadline, object key)
