# cython: language_level=3
"""What other compiled modules may use of the protocol:

    from cenote.protocol._speedups cimport MORE, ReplyParser, Request

The blocking exchange, in C terms:

    parser.push(request)                # before the first byte is sent
    room = parser.room(&size)           # NULL, or where the rest of a data block belongs
    if room != NULL:
        block = parser.block            # keeps it alive while the GIL is released
        n = recv(fd, room, size)
        reply = parser.received(n)      # the reply, if that was a frame's last byte, or MORE
    else:
        n = recv(fd, buffer, capacity)
        reply = parser.parse(buffer, n, &used)  # the reply, or MORE; `buffer` is not kept

`parse` takes bytes until one reply is complete or all are taken (then `used` is `n`). If `used` is
less, what is left belongs to the next pending request: parse it as well. With nothing pending that
raises ProtocolError, which *is* the check that nothing came unasked, so never drop it. An error
reply is returned, as an instance of CenoteError; look at `is_usable` after one, and if that is
False, drop what is left, and the connection.

At the end of the stream: `parser.eof()`. All of these need the GIL, and one caller at a time.
Between two conversations (`is_clean()`) a parser holds no buffer.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef object MORE  # what `parse` returns while the reply is not complete

# The kinds of `cenote.protocol.grammar`, number for number.
cdef enum Kind:
    GET = 0
    GETS = 1
    GET_MANY = 2
    GETS_MANY = 3
    STORE = 4
    CAS = 5
    DELETE = 6
    TOUCH = 7
    OK_LINE = 8
    NUMBER = 9
    VERSION = 10
    STATS = 11
    CONFIG = 12
    LINE = 13
    LINES = 14
    META_GET = 15
    META_VALUE = 16
    META_SET = 17
    META_DELETE = 18
    META_ARITHMETIC = 19
    META_NUMBER = 20
    META_DEBUG = 21
    META_NOOP = 22
    SETS = 23
    DELETES = 24
    QUIET_SETS = 25
    QUIET = 26
    FRAMES = 27  # the first that is read as frames
    FRAME_GET = 27
    FRAME_GETS = 28
    FRAME_GET_MANY = 29
    FRAME_GETS_MANY = 30
    FRAME_STATUS = 31
    FRAME_CAS = 32
    FRAME_NUMBER = 33
    FRAME_TEXT = 34
    FRAME_STATS = 35
    FRAME_QUIET = 36
    FRAME_SASL = 37


@cython.final
cdef class Request:
    cdef readonly bytes payload
    cdef readonly bytes key
    cdef readonly tuple keys
    cdef readonly str verb
    cdef readonly bytes opaque
    cdef readonly Py_ssize_t count
    cdef readonly int kind
    cdef readonly int echo
    cdef readonly bint idempotent


cpdef Request get(bytes key)
cpdef Request store(str verb, bytes key, bytes value, flags, exptime)
cpdef Request binary_get(bytes key)
cpdef Request binary_store(str verb, bytes key, bytes value, flags, exptime)
cdef object plain_reply(Request request, const char *data, Py_ssize_t size)


cdef class ReplyReader:
    cdef Request head                # whose reply is being read, else None
    cdef Py_ssize_t max_value
    cdef bint is_usable

    # The reply at the head, as far as it has been read.
    cdef bint open                   # some line of it has been read
    cdef bint in_part                # an item has come since the last END
    cdef Py_ssize_t due              # bytes of the block that the last line announced, or -1
    cdef Py_ssize_t index            # parts or lines of it that are complete
    cdef Py_ssize_t cursor           # the next of the keys that is likely to come
    cdef bytes item_key              # what the header of the block due said
    cdef uint64_t item_flags
    cdef uint64_t item_cas
    cdef object partial              # the item, items, batch or meta reply so far
    cdef dict wanted                 # the keys asked for, once they come out of order
    cdef object error                # the first error of a reply in parts
    cdef object reader               # the pure reader, for grammars that are rare

    cdef void forget(self) noexcept
    cdef void distrust(self) noexcept
    cdef object broken(self, str what, const char *excerpt, Py_ssize_t length)
    cdef object unexpected(self, const char *line, Py_ssize_t length)
    cdef object refusal(self, const char *line, Py_ssize_t length)
    cdef int announce(self, uint64_t size, const char *line, Py_ssize_t length) except -1
    cdef object take_line(self, const char *line, Py_ssize_t length)
    cdef object take_block(self, bytes block)
    cdef object item_line(self, const char *line, Py_ssize_t length)
    cdef object items_line(self, const char *line, Py_ssize_t length)
    cdef int value_line(self, const char *line, Py_ssize_t length, bint with_cas) except -1
    cdef bytes asked_key(self, const char *key, Py_ssize_t length)
    cdef object refused_part(self, const char *line, Py_ssize_t length)
    cdef object part_done(self)
    cdef object status_line(self, const char *line, Py_ssize_t length)
    cdef object number_line(self, const char *line, Py_ssize_t length)
    cdef object meta_line(self, const char *line, Py_ssize_t length)
    cdef dict meta_flags(self, const char *p, const char *end, const char *line)
    cdef int check_echo(self, bint miss, dict flags, const char *line, Py_ssize_t length) except -1
    cdef object batch_line(self, const char *line, Py_ssize_t length)
    cdef object quiet_line(self, const char *line, Py_ssize_t length)
    cdef Py_ssize_t batch_index(self, const char *line, Py_ssize_t length) except -1
    cdef object rare(self, object method, bytes data)


cdef class FrameReader(ReplyReader):
    cdef int status                  # what the header of the frame said
    cdef Py_ssize_t key_size
    cdef Py_ssize_t extras_size
    cdef Py_ssize_t value_size
    cdef Py_ssize_t place            # which item of a run it answers

    cdef int take_header(self, const char *data) except -1
    cdef Py_ssize_t limit(self) noexcept
    cdef int take_parts(self, const char *data) except -1
    cdef int check_key(self, const char *extras, const char *key) except -1
    cdef object take_frame(self, bytes value)
    cdef tuple item_of(self, bytes value)
    cdef object success(self, bytes value)
    cdef object failure(self, bytes value)
    cdef object outcome(self)
    cdef object refused(self, bytes text)
    cdef object run_frame(self, bytes value)
    cdef object found_frame(self, bytes value)
    cdef object fence(self, bytes value)
    cdef object stat_frame(self, bytes value)


@cython.final
cdef class ReplyParser(FrameReader):
    cdef bytes block                 # the data block being received in pieces, else None
    cdef Py_ssize_t filled           # bytes of it that have come
    cdef list rest                   # the requests behind the head, from `front` on
    cdef Py_ssize_t front
    cdef int next                    # what comes next: a line, a block, or one byte of its CRLF
    cdef char *carry                 # the line that the end of a segment cut
    cdef Py_ssize_t carried
    cdef Py_ssize_t capacity
    cdef bytearray scratch           # what get_buffer lends

    cpdef expect(self, Request request)
    cdef int push(self, Request request) except -1
    cdef object parse(self, const char *data, Py_ssize_t size, Py_ssize_t *used)
    cdef char *room(self, Py_ssize_t *size) except? NULL
    cdef object received(self, Py_ssize_t count)
    cdef Py_ssize_t waiting(self) noexcept
    cdef bint is_clean(self) noexcept
    cdef bint has_started(self) noexcept

    cdef list feed_all(self, const char *data, Py_ssize_t size)
    cdef object read_line(self, const char *data, Py_ssize_t size, Py_ssize_t *position)
    cdef object read_block(self, const char *data, Py_ssize_t size, Py_ssize_t *position)
    cdef object end_block(self, bytes block)
    cdef object read_frame(self, const char *data, Py_ssize_t size, Py_ssize_t *position)
    cdef object read_front(self, const char *data, Py_ssize_t left, Py_ssize_t *position)
    cdef object read_value(self, const char *data, Py_ssize_t left, Py_ssize_t *position)
    cdef object end_value(self, bytes value)
    cdef int keep(self, const char *data, Py_ssize_t size) except -1
    cdef void count_block(self, Py_ssize_t count) noexcept
    cdef void pop(self) noexcept
    cdef void release(self) noexcept
    cdef void drop_carry(self) noexcept
    cdef object unasked(self, const char *data, Py_ssize_t size)
