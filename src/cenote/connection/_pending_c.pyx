# cython: language_level=3, freethreading_compatible=True, auto_pickle=False, binding=False
"""A request under way, compiled: the twin of `pending_aio`, name for name.

Strategy: it is written by hand for two things.

* A slot that Cython does not offer, `am_send`: through it an `await` takes the reply as a plain
  return value. Without it each reply would travel as the value of a `StopIteration`, made, given a
  traceback, and taken apart again.
* A task that is woken asks the future that it is given for its result, and drops that: only the
  `await` inside wants it. Of one of asyncio's own futures it asks that in C, of any other by a
  method's name. So a task is given `OVER`, a future that ended well. What was thrown into the task
  before, a failure or a cancel, now is raised by the `await`.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

import asyncio
import os
from contextvars import copy_context

from cenote._clock cimport monotonic

cdef extern from *:
    """
    /* The function that wakes an asyncio task is its bound method of this name. */
    static int cenote_wakes_task(PyObject *function) {
        static PyMethodDef *known = NULL;
        PyMethodDef *method;
        if (!PyCFunction_CheckExact(function)) return 0;
        method = ((PyCFunctionObject *)function)->m_ml;
        if (method == known) return 1;
        if (method->ml_flags != METH_O || strcmp(method->ml_name, "task_wakeup") != 0) return 0;
        known = method;
        return 1;
    }
    #define CENOTE_SET_AM_SEND(type, function) \\
        (((PyTypeObject *)(type))->tp_as_async->am_send = (sendfunc)(function))
    """
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    void CENOTE_SET_AM_SEND(object type, void *function)
    bint cenote_wakes_task(object function)

cdef extern from "Python.h":
    bint PyExceptionInstance_Check(object)  # of replies only errors are; one flag is looked at
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef object CancelledError = asyncio.CancelledError
cdef object InvalidStateError = asyncio.InvalidStateError


class NoLoop:
    """What a future needs of its loop to be over."""

    def get_debug(self):
        return False


cdef object OVER = asyncio.Future(loop=NoLoop())
OVER.set_result(None)


@cython.final
@cython.freelist(512)
cdef class Pending:
    """A request under way, and what its caller awaits: a future of its reply. See the pure twin."""

    def __init__(self, loop, Request request not None, double began, double deadline):
        self._loop = loop
        self.request = request
        self.began = began
        self.deadline = deadline

    cpdef bint settle(self, reply) except -1:
        """Note the reply, or an error, unless it is too late; True: `wake` must be called."""
        if self.state != WAITING:
            return False
        self.state = FAILED if PyExceptionInstance_Check(reply) else ANSWERED
        self.value = reply
        return self.callback is not None

    cpdef fail(self, error):
        """Note an error and have whoever awaits it called soon."""
        if self.settle(error):
            self._loop.call_soon(wake, [self])

    # As a future has them.

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.state == WAITING:
            self._asyncio_future_blocking = True
            return self
        raise StopIteration(self.outcome())

    def result(self):
        """Return the reply, or raise what it failed with."""
        return self.outcome()

    cdef object outcome(self):
        if self.state == ANSWERED:
            return self.value
        raise self.error()

    cdef object error(self):
        if self.state == FAILED:
            return self.value
        if self.state == WAITING:
            return InvalidStateError("the reply has not come")
        return self._make_cancelled_error()

    def exception(self):
        """Return what it failed with; None: it did not."""
        if self.state == ANSWERED:
            return None
        if self.state == FAILED:
            return self.value
        raise self.error()

    @property  # asyncio asks for this and the next
    def _cancel_message(self):
        return self.value if self.state == CANCELLED else None

    def _make_cancelled_error(self):
        message = self._cancel_message
        return CancelledError() if message is None else CancelledError(message)

    def done(self):
        """Tell whether it is not waited for any more."""
        return self.state != WAITING

    def cancelled(self):
        """Tell whether its caller has left."""
        return self.state == CANCELLED

    def cancel(self, msg=None):
        """Stop waiting; False: it was over already."""
        if self.state != WAITING:
            return False
        self.state = CANCELLED
        self.value = msg
        if self.callback is not None:
            self._loop.call_soon(wake, [self])
        return True

    def add_done_callback(self, fn, *, context=None):
        """Have `fn` called with this once it is over, soon."""
        if context is None:
            context = copy_context()
        if self.state != WAITING:
            self._loop.call_soon(fn, self, context=context)
        elif self.callback is None:
            self.callback = fn
            self.context = context
        elif self.others is None:
            self.others = [(fn, context)]
        else:
            self.others.append((fn, context))

    def remove_done_callback(self, fn):
        """Have `fn` not called; returns how often it would have been."""
        cdef list there = [] if self.callback is None else [(self.callback, self.context)]
        there += self.others or []
        kept = [each for each in there if each[0] != fn]
        self.callback, self.context = kept[0] if kept else (None, None)
        self.others = kept[1:] or None
        return len(there) - len(kept)

    cdef int call(self) except -1:
        """Call whoever awaits it."""
        cdef object callback = self.callback, context = self.context
        cdef list others = self.others
        if callback is None:
            return 0
        self.callback = self.context = self.others = None
        for fn, within in others or ():
            self._loop.call_soon(fn, self, context=within)
        PyContext_Enter(context)
        try:
            callback(OVER if cenote_wakes_task(callback) else self)
        finally:
            PyContext_Exit(context)
        return 0


cdef PySendResult send(Pending self, value, PyObject **result) except PYGEN_ERROR:
    """Go on with an `await`: hand the task this, or the reply to its caller."""
    cdef object answer
    if self.state == WAITING:
        self._asyncio_future_blocking = True
        Py_INCREF(self)
        result[0] = <PyObject *>self
        return PYGEN_NEXT
    result[0] = NULL
    answer = self.outcome()
    Py_INCREF(answer)
    result[0] = <PyObject *>answer
    return PYGEN_RETURN


CENOTE_SET_AM_SEND(Pending, <void *>send)


cdef long forks = 0


def count_fork():
    global forks
    forks += 1


os.register_at_fork(after_in_child=count_fork)


@cython.final
cdef class Origin:
    """Where requests set out: an event loop, in the process it was made in. See the pure twin."""

    def __init__(self, loop):
        self._forks = forks
        self.loop = loop

    cpdef bint inherited(self):
        """Tell whether this is a child that was forked from the loop's process."""
        return self._forks != forks

    cpdef double now(self):
        """Return the time, as deadlines count it."""
        return monotonic()

    cpdef Pending begin(self, Request request, double now, double deadline):
        """Make a request one that is under way."""
        cdef Pending pending = Pending.__new__(Pending)
        pending._loop = self.loop
        pending.request = request
        pending.began = now
        pending.deadline = deadline
        return pending


def wake(list settled not None):
    """Call whoever awaits these; as the event loop does, whatever one of them raises."""
    cdef Pending pending
    settled.reverse()
    try:
        while settled:
            pending = settled.pop()
            try:
                pending.call()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                pending._loop.call_exception_handler(
                    {"message": f"a callback of {pending!r} failed", "exception": error}
                )
    finally:
        if settled:  # the loop is to stop; when it goes on, the others are called
            settled.reverse()
            (<Pending>settled[0])._loop.call_soon(wake, settled)
