# C types for tunnel.py, which is compiled unchanged as cenote.connection._tunnel_c.

cimport cython

cdef Py_ssize_t RECORD, MOST


@cython.final
cdef class Tunnel:
    cdef object _incoming
    cdef object _object
    cdef object _feed
    cdef object _drain
    cdef object _read
    cdef object _write
    cdef bytes _unsent
    cdef Py_ssize_t _covers
    cdef bint _continued
    cdef readonly bint established
    cdef readonly object end

    @cython.locals(size=Py_ssize_t, several=bint)
    cpdef bytes seal(self, data)
    cpdef Py_ssize_t sent(self, Py_ssize_t count)
    @cython.locals(room=Py_ssize_t, more=bytes, said=list)
    cpdef bytes decrypt(self, bytes data)
    cdef bytes _encrypt(self, data, bint several)
