# C types for keys.py, which is compiled unchanged as cenote.client._keys_c.

cimport cython


@cython.final
cdef class KeyEncoder:
    cdef bytes _prefix
    cdef Py_ssize_t _room
    cdef bint _hash_long

    @cython.locals(text=str, encoded=bytes)
    cpdef bytes wire(self, key)
