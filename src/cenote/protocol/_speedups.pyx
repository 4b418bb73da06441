# cython: language_level=3, freethreading_compatible=True, auto_pickle=False
"""The protocol, compiled: the twin of `_native`, name for name.

Strategy: what every request passes through is done here in C, with one allocation a request and one
a value; what is rare (error lines, statistics, admin commands, refusals of arguments) is asked of
the pure modules, which both twins share. `_parser` and `_reader` state the rules of reading: this
one follows them step by step, and a differential test holds it to that.

Pointers into a segment never outlive the call they were given to.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport UINT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from random import SystemRandom as _SystemRandom

from cenote.errors import ConnectionLost, InvalidArgument, ProtocolError
from cenote.protocol import _binary_encoders, _encoders, frames, grammar
from cenote.protocol._reader import MORE as _MORE, ReplyReader as PureReader, text_of
from cenote.protocol._request import check_exptime, check_flags, check_u64, read_flags
from cenote.protocol.echo import same_key
from cenote.protocol.error_lines import error_reply, is_harmless
from cenote.protocol.replies import BatchReply, MetaReply, SaslReply, Status

IMPLEMENTATION = "speedups"

MORE = _MORE

cdef object STORED = Status.STORED
cdef object NOT_STORED = Status.NOT_STORED
cdef object EXISTS = Status.EXISTS
cdef object NOT_FOUND = Status.NOT_FOUND
cdef object DELETED = Status.DELETED
cdef object TOUCHED = Status.TOUCHED
cdef object OK = Status.OK

cdef object new_tuple = tuple.__new__
cdef object ZERO = 0
cdef object CARRY_DATA = grammar.CARRY_DATA

cdef Py_ssize_t MAX_LINE = grammar.MAX_LINE
cdef Py_ssize_t MAX_TEXT_LINE = grammar.MAX_TEXT_LINE
cdef Py_ssize_t MAX_VALUE = grammar.MAX_VALUE
cdef Py_ssize_t GET_LINE = grammar.GET_LINE
cdef Py_ssize_t GAT_LINE = grammar.GAT_LINE

cdef enum:
    EXCERPT = 60
    SCRATCH = 65536
    MAX_QUEUE_GAP = 1024  # answered requests kept before the queue is moved up
    ECHO_KEY = 1
    ECHO_BASE64 = 2

# What comes next.
cdef enum:
    NEXT_LINE = 0
    NEXT_BLOCK = 1
    NEXT_WHOLE = 2  # nothing: the value of a frame has no end but its length
    NEXT_LF = 10  # the end of a block: the byte that is due
    NEXT_CR = 13


@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Request:
    """The bytes of a request and what its reply must look like. See the pure twin."""

    def __init__(
        self,
        bytes payload not None,
        int kind,
        bytes key=None,
        tuple keys=None,
        Py_ssize_t count=1,
        bint idempotent=True,
        str verb="",
        bytes opaque=None,
        int echo=0,
    ):
        check_keys(keys)
        self.payload = payload
        self.kind = kind
        self.key = key
        self.keys = keys
        self.count = count
        self.idempotent = idempotent
        self.verb = verb
        self.opaque = opaque
        self.echo = echo

    def __repr__(self):
        return f"<Request {self.verb} {len(self.payload)} bytes>"


cdef int check_keys(tuple keys) except -1:
    """Refuse what is not bytes: the parser compares keys in C."""
    cdef object key
    if keys is not None:
        for key in keys:
            if type(key) is not bytes:
                raise TypeError(f"a key must be bytes, not {type(key).__name__}")
    return 0


cdef inline Request make(bytes payload, int kind, bytes key, bint idempotent, str verb):
    cdef Request request = Request.__new__(Request)
    request.payload = payload
    request.kind = kind
    request.key = key
    request.count = 1
    request.idempotent = idempotent
    request.verb = verb
    return request


include "_speedups_numbers.pxi"
include "_speedups_encoders.pxi"
include "_speedups_meta.pxi"
include "_speedups_binary.pxi"
include "_speedups_reader.pxi"
include "_speedups_frames.pxi"
include "_speedups_parser.pxi"
