# C types for hot_sync.py, which is compiled unchanged as cenote.client._hot_c.

from cenote.client._keys_c cimport KeyEncoder


cdef class Hot:
    cdef object __weakref__
    cdef public KeyEncoder _encoder
    cdef public object _dumps
    cdef public object _loads
    cdef public object _request
    cdef public double _timeout
    cdef public long _verbatim
