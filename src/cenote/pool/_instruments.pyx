"""What a lease is measured with; the twin of ``_instruments_native.py``, compiled.

Strategy: what costs a call and an object in Python is a few instructions in C: the monotonic clock,
the thread's identity, the frame that is running, the bucket of a duration. Nothing here takes a
lock; on a free-threaded build a ``Site`` is read and written in a critical section of its own.
"""

import time

cimport cython
from cpython.ref cimport PyObject

from cenote.pool.passed_over import KNOWN, is_library
from cenote.pool.stats import BOUNDS

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define CENOTE_CLOCK 1
    static double cenote_monotonic(void) {
        PyTime_t now;
        return PyTime_MonotonicRaw(&now) < 0 ? -1.0 : PyTime_AsSecondsDouble(now);
    }
    #elif defined(__linux__)
    #include <time.h>
    #define CENOTE_CLOCK 1
    static double cenote_monotonic(void) {  /* to the last bit what time.monotonic() returns */
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)((long long)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
    }
    #else
    #define CENOTE_CLOCK 0
    static double cenote_monotonic(void) { return -1.0; }
    #endif
    #ifdef Py_GIL_DISABLED
    #define CENOTE_GIL 0
    #else
    #define CENOTE_GIL 1
    #endif

    /* Call a method of a built-in object as the interpreter does, without asking what it is. */
    #define cenote_call(method, arg) \\
        PyCFunction_GET_FUNCTION(method)(PyCFunction_GET_SELF(method), arg)
    static PyObject *cenote_target(PyObject *ref) {  /* None: it is dead */
        PyObject *target;
    #if PY_VERSION_HEX >= 0x030D0000
        if (PyWeakref_GetRef(ref, &target) == 0) target = Py_NewRef(Py_None);
    #else
        target = PyWeakref_GetObject(ref);
        Py_XINCREF(target);
    #endif
        return target;
    }
    #define cenote_takes(method, flag) \\
        (PyCFunction_CheckExact(method) && PyCFunction_GET_FLAGS(method) == (flag))
    #define cenote_code(frame) ((PyObject *)PyFrame_GetCode(frame))
    """
    const bint CENOTE_CLOCK
    const bint CENOTE_GIL
    double cenote_monotonic() noexcept
    object cenote_call(object, PyObject *)
    bint cenote_takes(object, int)
    object cenote_target(object)

cdef extern from "Python.h":
    ctypedef struct PyFrameObject
    unsigned long PyThread_get_thread_ident() noexcept
    PyFrameObject *PyEval_GetFrame() noexcept  # borrowed
    PyFrameObject *PyFrame_GetBack(PyFrameObject *) noexcept
    object cenote_code(PyFrameObject *)
    object PyFrame_GetGlobals(PyFrameObject *)
    int PyFrame_GetLasti(PyFrameObject *) noexcept
    PyObject *PyDict_GetItemWithError(object, object) except? NULL
    void Py_XDECREF(PyFrameObject *)
    void Py_XINCREF(PyFrameObject *)
    object PyLong_FromVoidPtr(void *)
    const int METH_NOARGS
    const int METH_O

cdef str PACKAGE_KEY = "__package__"
cdef str NAME_KEY = "__name__"
cdef dict _KNOWN = KNOWN
cdef double[BUCKETS - 1] _BOUNDS
assert len(BOUNDS) == BUCKETS - 1
for _at, _bound in enumerate(BOUNDS):
    _BOUNDS[_at] = _bound


@cython.final
cdef class Instruments:
    """A clock and a look at the present thread.

    Args:
        clock: Monotonic seconds; asked directly, not called, where it is the system's own.
    """

    def __init__(self, clock):
        self.clock = clock
        self._standard = CENOTE_CLOCK and clock is time.monotonic

    cdef double now(self) except? -1.0:
        return cenote_monotonic() if self._standard else self.clock()

    cdef unsigned long thread(self) noexcept:
        return PyThread_get_thread_ident()

    cdef object who(self):
        cdef unsigned long ident = PyThread_get_thread_ident()
        if not CENOTE_GIL:
            return ident
        if ident != self._ident or self._who is None:
            self._who = ident
            self._ident = ident
        return self._who

    cpdef follow(self, tasks, loop):
        """Have `task` ask for the current task of a loop, by what asyncio has to ask."""
        self._tasks = tasks
        self._loop = loop
        self._table = type(tasks) is dict

    cpdef object task(self):
        """Return the current task of the loop that is followed, or `None`."""
        cdef PyObject *task
        if self._table:
            task = PyDict_GetItemWithError(self._tasks, self._loop)
            return None if task is NULL else <object>task
        return None if self._tasks is None else self._tasks(self._loop)


@cython.final
cdef class Tools:
    """What a stack does with its deque, and with resources, without a call of Python's.

    Args:
        deque: The deque.
        fifo: Take first what was put first.
    """

    def __init__(self, deque, fifo):
        self._pop = deque.popleft if fifo else deque.pop
        self._push = deque.append
        self._plain = cenote_takes(self._pop, METH_NOARGS) and cenote_takes(self._push, METH_O)

    cdef object pop(self):
        return cenote_call(self._pop, NULL) if self._plain else self._pop()

    cdef object push(self, item):
        return cenote_call(self._push, <PyObject *>item) if self._plain else self._push(item)

    cdef object identity(self, thing):
        return PyLong_FromVoidPtr(<void *>thing)

    cdef object target(self, ref):
        return cenote_target(ref)


@cython.final
cdef class Site:
    """Where a lease was borrowed: a place in the code, noted by its owner each time."""

    cpdef mark(self):
        """Note where the innermost caller is that is not passed over (``passed_over.py``)."""
        cdef PyFrameObject *frame = PyEval_GetFrame()
        cdef PyFrameObject *back
        Py_XINCREF(frame)
        try:
            while frame is not NULL and _is_passed_over(frame):
                back = PyFrame_GetBack(frame)
                Py_XDECREF(frame)
                frame = back
            with cython.critical_section(self):
                if frame is NULL:
                    self._code = None
                else:
                    self._instruction = PyFrame_GetLasti(frame)
                    self._code = cenote_code(frame)
        finally:
            Py_XDECREF(frame)

    def noted(self):
        """Return the code object and the offset of an instruction in it, or ``None``."""
        with cython.critical_section(self):
            return None if self._code is None else (self._code, self._instruction)


@cython.final
cdef class Times:
    """How long the leases of one entry were held; counted by its owner only."""

    cpdef int bucket(self, double seconds):
        """Return the index of the bucket that a duration falls into."""
        cdef int low = 0, high = BUCKETS - 1, middle
        while low < high:
            middle = (low + high) >> 1
            if _BOUNDS[middle] < seconds:
                low = middle + 1
            else:
                high = middle
        return low

    def counted(self):
        """Return the counts of all buckets, and the sum of the seconds."""
        return tuple([self.counts[at] for at in range(BUCKETS)]), self.total


cdef bint _is_passed_over(PyFrameObject *frame) except -1:
    namespace = PyFrame_GetGlobals(frame)
    name = PyDict_GetItemWithError(namespace, PACKAGE_KEY)
    if name is NULL or not <object>name:
        name = PyDict_GetItemWithError(namespace, NAME_KEY)
    if name is NULL or type(<object>name) is not str:
        return True
    known = PyDict_GetItemWithError(_KNOWN, <object>name)
    return is_library(<object>name) if known is NULL else <object>known is True
