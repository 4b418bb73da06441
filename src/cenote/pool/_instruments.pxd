# C types of _instruments.pyx, for the fast path.

cimport cython

cdef enum:
    BUCKETS = 25


@cython.final
cdef class Instruments:
    cdef readonly object clock
    cdef bint _standard

    cdef double now(self) except? -1.0
    cdef unsigned long thread(self) noexcept


@cython.final
cdef class Site:
    cdef object _code
    cdef int _instruction

    cpdef mark(self)


@cython.final
cdef class Times:
    cdef long long counts[BUCKETS]
    cdef double total

    cpdef int bucket(self, double seconds)
