# C types for fast.py, which is compiled unchanged as cenote.pool._fast_c.

cimport cython

from cenote.pool._instruments cimport Tools, Site, Times

cdef int KEPT, IDLE, LEASED, RESERVED, RESETTING, CLOSING, CLOSED, DETACHED, FOREIGN
cdef int DONE, SETTLE, REFUSED
cdef double NEVER, ALWAYS


cdef class Root:
    pass


@cython.final
cdef class Entry(Root):
    cdef object __weakref__
    cdef public IdleStack stack
    cdef public object resource
    cdef public object holder
    cdef public Site site
    cdef public Times times
    cdef public object ref
    cdef public object key
    cdef public object trail
    cdef public long serial
    cdef public long uses
    cdef public long generation
    cdef public int state
    cdef public double born
    cdef public double expires
    cdef public double idle_since
    cdef public double leased_at
    cdef public double ping_after
    cdef public double held
    cdef public double held_squared
    cdef public bint reported
    cdef public bint replacing


@cython.final
cdef class IdleStack(Root):
    cdef object __weakref__
    cdef public object idle
    cdef Tools _tools
    cdef public object lost
    cdef public object mourned
    cdef public dict lent
    cdef public object key
    cdef public object who
    cdef public object is_clean
    cdef public bint sites
    cdef public bint timed
    cdef public object trace
    cdef public bint watched
    cdef object _name
    cdef object _acquired
    cdef object _released
    cdef public object poke
    cdef public double barrier
    cdef public double alert
    cdef public double check_after
    cdef public double max_uses
    cdef public long generation
    cdef public long low
    cdef public bint fifo

    @cython.locals(entry=Entry, left=Py_ssize_t)
    cpdef Entry take(self, double now, holder=*)
    cpdef lease(self, Entry entry, double now)
    cpdef begun(self, Entry entry, double waited)
    cpdef put_back(self, Entry entry)
    @cython.locals(held=double, times=Times, bucket=int)
    cpdef int give(self, Entry entry, double now) except -1
    @cython.locals(held=double, times=Times, bucket=int)
    cpdef keep(self, Entry entry, double now)
    cdef _tell_end(self, released, double held)
    cdef _tell(self, event, double seconds)
    cpdef lend(self, Entry entry)
    @cython.locals(entry=Entry)
    cpdef Entry reclaim(self, resource)
