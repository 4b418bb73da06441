# C types for _keys_c.pyx.

cimport cython


@cython.final
cdef class KeyEncoder:
    cdef bytes _prefix
    cdef Py_ssize_t _room
    cdef object _carefully
    cdef readonly object route

    cpdef bytes wire(self, key)
