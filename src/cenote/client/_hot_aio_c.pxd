# C types for _hot_aio_c.pyx.

from cenote.client._keys_c cimport KeyEncoder
from cenote.cluster._placing cimport Crossing
from cenote.protocol._speedups cimport Request


cdef class AsyncHot:
    cdef object __weakref__
    cdef public KeyEncoder _encoder
    cdef public object _dumps
    cdef public object _loads
    cdef readonly object _request
    cdef Crossing _crossing
    cdef public double _timeout
    cdef public object _verbatim
    cdef bint _takes_bytes
    cdef bint _binary
    cdef public object _protocol

    cdef object _ask(self, Request request, double deadline, object key)
