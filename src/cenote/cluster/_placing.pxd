# C types of _placing.pyx.

cimport cython
from libc.stdint cimport uint8_t

from cenote.protocol._speedups cimport Request


cdef class Placer:
    cdef readonly Py_ssize_t count
    cdef public Py_ssize_t skip

    cpdef Py_ssize_t place(self, bytes key) except -1
    cpdef list spread(self, keys)
    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1


@cython.final
cdef class Routes:
    cdef readonly Placer placer
    cdef readonly tuple requests
    cdef readonly tuple ways

    cdef Py_ssize_t number(self, Request request) except -1


cdef class Crossing:
    cdef public Routes routes
