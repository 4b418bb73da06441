# cython: language_level=3, freethreading_compatible=True, auto_pickle=False, binding=False
"""How the block of a lease is entered and left, compiled; the twin of ``_entering_native.py``.

Strategy: ``with`` asks for two bound methods and drops them at once; ``async with`` also makes a
coroutine, and an object to await it by. Each is allocated, tracked by the garbage collector and
freed again, which together costs more than the lease. So here

* a ``Bound`` is a bound method that is kept for reuse;
* an ``Entering`` is a bound ``__aenter__``, its coroutine and its iterator in one. It tries what
  takes no wait first (``begin``), and makes the coroutine only where that was not enough. Nothing
  is taken before it is awaited, and then it is taken without a suspension;
* both answer by slots that Cython does not offer: a call by vectorcall, an ``await`` by `am_send`,
  without a ``StopIteration`` for the result.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

cdef extern from *:
    """
    #define CENOTE_SET_AM_SEND(type, function) \\
        (((PyTypeObject *)(type))->tp_as_async->am_send = (sendfunc)(function))

    /* From Python 3.12 on, `await` asks this slot. Raised from Cython each result would have a
       traceback. */
    static PyObject *cenote_next(PyObject *self) {
        PyObject *stop, *result = NULL;
        PySendResult status = Py_TYPE(self)->tp_as_async->am_send(self, Py_None, &result);
        if (status != PYGEN_RETURN) return result;
        if (PyTuple_Check(result) || PyExceptionInstance_Check(result)) {
            stop = PyObject_CallOneArg(PyExc_StopIteration, result);
            Py_DECREF(result);
            result = stop;
        }
        if (result == NULL) return NULL;
        if (result != Py_None) PyErr_SetObject(PyExc_StopIteration, result);
        Py_DECREF(result);
        return NULL;
    }
    #define CENOTE_SET_NEXT(type) ((PyTypeObject *)(type))->tp_iternext = cenote_next

    static void cenote_set_vectorcall(PyObject *type, Py_ssize_t offset) {
        ((PyTypeObject *)type)->tp_vectorcall_offset = offset;
        ((PyTypeObject *)type)->tp_call = PyVectorcall_Call;
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified((PyTypeObject *)type);
    }

    /* The memory of leases that have ended is kept for the next; Cython's freelists, which do the
       same, are for classes without a base. */
    #define CENOTE_KEEP(which) \\
        static PyObject *cenote_kept_##which[16]; \\
        static int cenote_count_##which = 0; \\
        static PyObject *cenote_alloc_##which(PyTypeObject *type, Py_ssize_t items) { \\
            PyObject *o; \\
            if (cenote_count_##which == 0) return PyType_GenericAlloc(type, items); \\
            o = cenote_kept_##which[--cenote_count_##which]; \\
            memset(o, 0, type->tp_basicsize); \\
            (void)PyObject_Init(o, type); \\
            PyObject_GC_Track(o); \\
            return o; \\
        } \\
        static void cenote_free_##which(void *o) { \\
            if (cenote_count_##which < 16) cenote_kept_##which[cenote_count_##which++] = o; \\
            else PyObject_GC_Del(o); \\
        }
    #ifdef Py_GIL_DISABLED
    #define CENOTE_SET_MEMORY(type, which)
    #else
    CENOTE_KEEP(0)
    CENOTE_KEEP(1)
    #define CENOTE_SET_MEMORY(type, which) \\
        ((PyTypeObject *)(type))->tp_alloc = cenote_alloc_##which; \\
        ((PyTypeObject *)(type))->tp_free = cenote_free_##which
    #endif

    static int cenote_set_method(PyObject *type, PyObject *name, PyObject *method) {
        int status = PyDict_SetItem(((PyTypeObject *)type)->tp_dict, name, method);
        PyType_Modified((PyTypeObject *)type);
        return status;
    }
    """
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    void CENOTE_SET_AM_SEND(object type, void *function)
    void CENOTE_SET_NEXT(object type)
    void CENOTE_SET_MEMORY(object type, int which)
    void cenote_set_vectorcall(object type, Py_ssize_t offset)
    int cenote_set_method(object type, object name, object method) except -1

cdef extern from "Python.h":
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *) except NULL
    PyObject *PyObject_Vectorcall(PyObject *, PyObject *const *, size_t, PyObject *) except NULL
    PyObject *PyObject_CallOneArg(PyObject *, PyObject *) except NULL
    Py_ssize_t PyVectorcall_NARGS(size_t) noexcept
    void Py_DECREF(object)
    void Py_XDECREF(PyObject *)
    PySendResult PyIter_Send(object, object, PyObject **) except PYGEN_ERROR

cdef enum:
    MOST = 4  # arguments that a bound method is called with, itself included

cdef enum:  # the states of an ``Entering``
    NEW
    UNDER_WAY
    OVER


@cython.final
@cython.freelist(16)
cdef class Bound:
    """A bound method."""

    cdef vectorcallfunc _call
    cdef readonly object __func__
    cdef readonly object __self__

    def __getattr__(self, name):
        return getattr(self.__func__, name)


cdef PyObject *call_bound(
    PyObject *callee, PyObject *const *args, size_t count, PyObject *names
) except NULL:
    cdef Bound bound = <Bound>callee
    cdef PyObject *given[MOST]
    cdef Py_ssize_t at, number = PyVectorcall_NARGS(count), named = 0
    if names is not NULL:
        named = len(<tuple>names)
    if number + named >= MOST:
        raise TypeError(f"{bound.__func__!r} takes at most {MOST - 1} arguments")
    given[0] = <PyObject *>bound.__self__
    for at in range(number + named):
        given[at + 1] = args[at]
    return PyObject_Vectorcall(<PyObject *>bound.__func__, given, number + 1, names)


@cython.final
cdef class Method:
    """A method of a class, which is bound by a ``Bound``."""

    cdef object function

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        cdef Bound bound
        if instance is None:
            return self.function
        bound = Bound.__new__(Bound)
        bound._call = call_bound
        bound.__func__ = self.function
        bound.__self__ = instance
        return bound


@cython.final
@cython.freelist(16)
cdef class Entering:
    """A bound ``__aenter__``, and what calling it returns: as a coroutine, to be awaited once."""

    cdef vectorcallfunc _call
    cdef AsyncMethod method
    cdef object lease
    cdef object slow
    cdef int state
    cdef bint called

    @property
    def __self__(self):
        return self.lease

    @property
    def __func__(self):
        return self.method.function

    @property
    def __name__(self):
        return self.method.function.__name__

    @property
    def __qualname__(self):
        return self.method.function.__qualname__

    # As a coroutine has them.

    def __await__(self):
        return self

    def __next__(self):
        return self.proceed(None)

    def send(self, value):
        """Go on until the next suspension."""
        return self.proceed(value)

    def throw(self, *error):
        """Have an error raised where this is suspended."""
        if self.state == OVER:
            raise self.error()
        self.start_slowly()
        going_on = False
        try:
            answer = self.slow.throw(*error)
            going_on = True
            return answer
        finally:
            if not going_on:
                self.state, self.slow = OVER, None

    def close(self):
        """Give up."""
        slow, self.slow, self.state = self.slow, None, OVER
        if slow is not None:
            slow.close()

    @property
    def cr_await(self):
        """What it waits for."""
        return self.slow

    @property
    def cr_frame(self):
        """None: it has no frame of its own."""
        return None

    cdef start_slowly(self):
        if self.state == NEW:
            self.slow = self.method.function(self.lease)
            self.state = UNDER_WAY

    cdef object proceed(self, value):
        cdef PyObject *result = NULL
        cdef PySendResult status = send(self, value, &result)
        answer = <object>result
        Py_DECREF(answer)  # that of ``result``
        if status == PYGEN_NEXT:
            return answer
        raise StopIteration(answer)

    cdef object error(self):
        return RuntimeError(f"cannot reuse already awaited {self.__qualname__}()")


cdef PySendResult send(Entering self, value, PyObject **result) except PYGEN_ERROR:
    """Go on with an ``await``: hand over what was gained at once, or what the coroutine says."""
    cdef PySendResult status
    cdef PyObject *answer
    result[0] = NULL
    if self.state == NEW:
        self.state = OVER
        answer = PyObject_CallOneArg(<PyObject *>self.method.begin, <PyObject *>self.lease)
        if answer != <PyObject *>NotImplemented:
            result[0] = answer
            return PYGEN_RETURN
        Py_XDECREF(answer)
        self.state = NEW
        self.start_slowly()
    elif self.state == OVER:
        raise self.error()
    try:
        status = PyIter_Send(self.slow, value, result)
    except BaseException:
        self.state, self.slow = OVER, None
        raise
    if status == PYGEN_RETURN:
        self.state, self.slow = OVER, None
    return status


cdef PyObject *call_entering(
    PyObject *callee, PyObject *const *args, size_t count, PyObject *names
) except NULL:
    cdef Entering entering = <Entering>callee
    if PyVectorcall_NARGS(count) or names is not NULL:
        raise TypeError(f"{entering.__qualname__}() takes no arguments")
    if entering.called:
        entering = entering.method.bind(entering.lease)
    entering.called = True
    Py_INCREF(entering)
    return <PyObject *>entering


@cython.final
cdef class AsyncMethod:
    """An ``__aenter__``, which is bound, called and awaited as an ``Entering``."""

    cdef object function
    cdef object begin

    def __init__(self, function, begin):
        self.function = function
        self.begin = begin

    def __get__(self, instance, owner):
        return self.function if instance is None else self.bind(instance)

    cdef Entering bind(self, lease):
        cdef Entering entering = Entering.__new__(Entering)
        entering._call = call_entering
        entering.method = self
        entering.lease = lease
        return entering


@cython.final
cdef class Done:
    """What has been done already, for an ``await`` that wants something to wait for."""

    def __await__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        """It is over."""
        raise StopIteration

    def throw(self, error, *more):
        """Raise the error."""
        raise error

    def close(self):
        """Nothing is left to be done."""


cdef PySendResult send_done(Done self, value, PyObject **result) except PYGEN_ERROR:
    Py_INCREF(None)
    result[0] = <PyObject *>None
    return PYGEN_RETURN


def hasten(kind):
    """Have the methods by which ``with`` enters and leaves a lease of this class bound quickly."""
    CENOTE_SET_MEMORY(kind, 0)
    for name in ("__enter__", "__exit__"):
        cenote_set_method(kind, name, Method(kind.__dict__[name]))


def hasten_async(kind):
    """The same for ``async with``; what ``begin`` does not do, ``__aenter__`` does."""
    CENOTE_SET_MEMORY(kind, 1)
    cenote_set_method(
        kind, "__aenter__", AsyncMethod(kind.__dict__["__aenter__"], kind.__dict__["begin"])
    )
    cenote_set_method(kind, "__aexit__", Method(kind.__dict__["__aexit__"]))


cdef Bound a_bound = Bound.__new__(Bound)
cdef Entering an_entering = Entering.__new__(Entering)
cenote_set_vectorcall(Bound, <char *>&a_bound._call - <char *><PyObject *>a_bound)
cenote_set_vectorcall(Entering, <char *>&an_entering._call - <char *><PyObject *>an_entering)
CENOTE_SET_AM_SEND(Entering, <void *>send)
CENOTE_SET_AM_SEND(Done, <void *>send_done)
CENOTE_SET_NEXT(Entering)
CENOTE_SET_NEXT(Done)
