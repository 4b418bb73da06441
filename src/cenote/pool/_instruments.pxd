# C types of _instruments.pyx, for the fast path.

cimport cython

cdef enum:
    BUCKETS = 25


@cython.final
cdef class Instruments:
    cdef readonly object clock
    cdef bint _standard
    cdef bint _table
    cdef object _tasks
    cdef object _loop
    cdef object _who
    cdef unsigned long _ident

    cdef double now(self) except? -1.0
    cdef unsigned long thread(self) noexcept
    cdef object who(self)
    cpdef follow(self, tasks, loop)
    cpdef object task(self)


@cython.final
cdef class Tools:
    cdef object _pop
    cdef object _push
    cdef bint _plain

    cdef object pop(self)
    cdef object push(self, item)
    cdef object identity(self, thing)
    cdef object target(self, ref)


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
