# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""Keys of plain ASCII, checked and copied in one scan: the compiled twin of ``keys.KeyEncoder``.

Strategy: only what is certainly fit for the wire is dealt with here. Every other key goes to the
pure encoder, which has the rules and the words for the errors.
"""

from cenote.client.keys import KeyEncoder as PureEncoder, MAX_KEY_BYTES

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL


cdef class KeyEncoder:
    __doc__ = PureEncoder.__doc__

    def __init__(self, prefix="", long_keys="raise"):
        encoder = PureEncoder(prefix, long_keys)
        self._carefully = encoder.wire
        self._prefix = encoder.prefix
        self._room = MAX_KEY_BYTES - len(self._prefix)
        self.route = encoder.route

    @property
    def prefix(self):
        """What is put before every key."""
        return self._prefix

    cpdef bytes wire(self, key):
        """Return the wire key; see the pure twin."""
        cdef Py_ssize_t size = 0, index, before = PyBytes_GET_SIZE(self._prefix)
        cdef const char *text
        cdef bytes wire
        if type(key) is not str or not PyUnicode_IS_COMPACT_ASCII(key):
            return self._carefully(key)
        text = PyUnicode_AsUTF8AndSize(key, &size)  # of ASCII: its own memory, no copy
        if not 0 < size <= self._room:
            return self._carefully(key)
        for index in range(size):
            if text[index] <= 32 or text[index] == 127:
                return self._carefully(key)
        wire = PyBytes_FromStringAndSize(NULL, before + size)
        memcpy(PyBytes_AS_STRING(wire), PyBytes_AS_STRING(self._prefix), before)
        memcpy(PyBytes_AS_STRING(wire) + before, text, size)
        return wire

    def wires(self, keys):
        """Return the wire keys of ``keys``, in the same order; see the pure twin."""
        return [self.wire(key) for key in keys]
