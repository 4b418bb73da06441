# How bytes become lines and data blocks. Part of _speedups.pyx; the rules are those of _parser.py.


@cython.final
@cython.internal
cdef class Room:
    """Lends the unfilled rest of a data block to whoever receives into it."""

    cdef bytes block
    cdef char *start
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.size, 0, flags)


@cython.final
cdef class ReplyParser(FrameReader):
    """Turns the bytes of one connection into the replies to the requests sent on it, in order.

    Not thread-safe: one conversation, one parser, one driver at a time.

    Args:
        max_value: Bytes; a longer data block is a `ProtocolError`.
    """

    def __cinit__(self, Py_ssize_t max_value=MAX_VALUE):
        self.rest = []
        self.release()

    def __dealloc__(self):
        PyMem_Free(self.carry)

    # What a driver asks.

    @property
    def pending(self):
        """How many requests wait for their reply."""
        return self.waiting()

    @property
    def usable(self):
        """Whether the conversation is in step; once False, False for ever."""
        return self.is_usable

    @property
    def started(self):
        """Whether some byte of the reply at the head has arrived."""
        return self.has_started()

    @property
    def clean(self):
        """Whether the connection is proved to be between two conversations."""
        return self.is_clean()

    cdef Py_ssize_t waiting(self) noexcept:
        return len(self.rest) - self.front + (self.head is not None)

    cdef bint is_clean(self) noexcept:
        return self.is_usable and self.head is None

    cdef bint has_started(self) noexcept:
        return self.open or self.carried > 0

    # What a driver tells.

    cpdef expect(self, Request request):
        """Say that `request` is being sent: its reply is due after those before it."""
        if request is None:
            raise TypeError("a request must be a Request, not None")
        self.push(request)

    cdef int push(self, Request request) except -1:
        if self.head is None:
            self.head = request
        else:
            self.rest.append(request)
        return 0

    cdef void pop(self) noexcept:
        """The reply at the head is complete."""
        cdef Py_ssize_t length = len(self.rest)
        if self.front == length:
            self.head = None
        else:
            self.head = self.rest[self.front]
            self.rest[self.front] = None
            self.front += 1
            if self.front == length:
                self.rest.clear()
                self.front = 0
            elif self.front >= MAX_QUEUE_GAP and self.front * 2 >= length:
                del self.rest[:self.front]
                self.front = 0
        self.forget()

    def feed(self, data):
        """Take bytes as they arrived, and return the replies they complete. See the pure twin."""
        cdef Py_buffer view
        if type(data) is bytes:
            return self.feed_all(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.feed_all(<const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef list feed_all(self, const char *data, Py_ssize_t size):
        cdef list replies = []
        cdef Py_ssize_t used = 0
        cdef object reply
        while size > 0:
            reply = self.parse(data, size, &used)
            if reply is not MORE:
                replies.append(reply)
                if not self.is_usable:
                    break
            data += used
            size -= used
        return replies

    def get_buffer(self, Py_ssize_t sizehint=-1):
        """Return room for the next bytes: the rest of the block being read, if there is one."""
        cdef Py_ssize_t size = 0
        cdef char *start = self.room(&size)
        if start != NULL:
            room = Room()
            (<Room>room).block = self.block
            (<Room>room).start = start
            (<Room>room).size = size
            return memoryview(room)
        if self.scratch is None:
            self.scratch = bytearray(max(sizehint, SCRATCH))
        return memoryview(self.scratch)

    def buffer_updated(self, Py_ssize_t received):
        """Take the bytes written to the room last given by `get_buffer`; see `feed`."""
        cdef bytearray scratch = self.scratch
        if self.next == NEXT_BLOCK:
            reply = self.received(received)
            if self.head is None:
                self.scratch = None
            return [] if reply is MORE else [reply]
        if scratch is None or not 0 <= received <= PyByteArray_GET_SIZE(scratch):
            raise ValueError("more was received than get_buffer() gave room for")
        replies = self.feed_all(PyByteArray_AS_STRING(scratch), received)
        if self.head is None:
            self.scratch = None
        return replies

    cdef char *room(self, Py_ssize_t *size) except? NULL:
        """Return where the rest of a data block belongs, or NULL if a line comes next."""
        if self.next != NEXT_BLOCK:
            return NULL
        if self.block is None:
            self.block = PyBytes_FromStringAndSize(NULL, self.due)
        size[0] = self.due - self.filled
        return PyBytes_AS_STRING(self.block) + self.filled

    cdef object received(self, Py_ssize_t count):
        """Count what was received into the room; return the reply that it completes, or `MORE`."""
        cdef object reply = MORE
        if self.block is None or not 0 <= count <= self.due - self.filled:
            raise ValueError("more was received than there is room for")
        self.count_block(count)
        if self.next == NEXT_WHOLE:
            reply = self.end_value(self.block)
            if reply is not MORE:
                self.pop()
        return reply

    def eof(self):
        """Say that the peer has closed the connection.

        Raises:
            ConnectionLost: Replies were due, or the conversation was out of step.
        """
        if self.is_clean():
            return
        cdef bint started = self.has_started()
        self.distrust()
        raise ConnectionLost(
            f"the server closed the connection with {self.waiting()} replies due"
            f"{', the first of them cut short' if started else ''}",
            replied=started,
        )

    # When the peer breaks the protocol.

    cdef void release(self) noexcept:
        """Hold no memory."""
        self.next = NEXT_LINE
        self.filled = 0
        self.block = None
        self.scratch = None
        self.drop_carry()

    cdef void drop_carry(self) noexcept:
        PyMem_Free(self.carry)
        self.carry = NULL
        self.carried = self.capacity = 0

    cdef void distrust(self) noexcept:
        """Believe nothing any more, and hold no memory."""
        self.is_usable = False
        self.release()

    cdef object unasked(self, const char *data, Py_ssize_t size):
        if self.is_usable:
            return self.broken("bytes that nobody asked for", data, size)
        return self.broken("bytes after it lost step", data, size)

    # Lines and blocks.

    cdef object parse(self, const char *data, Py_ssize_t size, Py_ssize_t *used):
        """Take bytes until one reply is complete, which is returned, or all are taken: `MORE`."""
        cdef Py_ssize_t position = 0
        cdef object reply
        while position < size:
            if self.head is None or not self.is_usable:
                raise self.unasked(data + position, size - position)
            if self.head.kind >= FRAMES:
                reply = self.read_frame(data, size, &position)
            elif self.next == NEXT_LINE:
                reply = self.read_line(data, size, &position)
            else:
                reply = self.read_block(data, size, &position)
            if reply is not MORE:
                self.pop()
                used[0] = position
                return reply
        used[0] = size
        return MORE

    cdef object read_line(self, const char *data, Py_ssize_t size, Py_ssize_t *position):
        cdef const char *line = data + position[0]
        cdef Py_ssize_t limit = line_limit(self.head.kind)
        cdef Py_ssize_t length = min(size - position[0], limit - self.carried)
        cdef const char *stop = <const char *>memchr(line, c'\n', length)
        cdef object reply
        if stop == NULL:
            self.keep(line, length)
            if self.carried >= limit:
                raise self.broken("a line without an end", self.carry, self.carried)
            position[0] = size
            return MORE
        length = stop - line + 1
        position[0] += length
        if self.carried:
            self.keep(line, length)
            line, length = self.carry, self.carried
        if length > 1 and line[length - 2] == c'\r':
            length -= 2
        elif self.head.kind == LINES:  # memcached ends the lines of its dumps by LF alone
            length -= 1
        else:
            raise self.broken("a line that does not end with CRLF", line, length)
        self.open = True
        reply = self.take_line(line, length)
        if self.carry != NULL:
            self.drop_carry()
        if self.due >= 0:
            self.next = NEXT_BLOCK if self.due else NEXT_CR
            self.filled = 0
        return reply

    cdef int keep(self, const char *data, Py_ssize_t size) except -1:
        """Carry a piece of a line over to the next segment."""
        cdef Py_ssize_t wanted = self.carried + size
        cdef void *grown
        if wanted > self.capacity:
            wanted = max(wanted, 2 * self.capacity, 128)
            grown = PyMem_Realloc(self.carry, wanted)
            if grown == NULL:
                raise MemoryError
            self.carry = <char *>grown
            self.capacity = wanted
        memcpy(self.carry + self.carried, data, size)
        self.carried += size
        return 0

    cdef object read_block(self, const char *data, Py_ssize_t size, Py_ssize_t *position):
        cdef const char *start = data + position[0]
        cdef Py_ssize_t length = size - position[0], room
        if not self.filled and self.next != NEXT_LF and length >= self.due + 2:
            if start[self.due] == c'\r' and start[self.due + 1] == c'\n':
                position[0] += self.due + 2
                return self.end_block(PyBytes_FromStringAndSize(start, self.due))
        if self.next == NEXT_BLOCK:
            length = min(length, self.due - self.filled)
            memcpy(self.room(&room), start, length)
            self.count_block(length)
            position[0] += length
            return MORE
        if start[0] != self.next:
            raise self.broken("a data block longer than announced", start, length)
        position[0] += 1
        if self.next == NEXT_CR:
            self.next = NEXT_LF
            return MORE
        return self.end_block(self.block if self.due else b"")

    cdef void count_block(self, Py_ssize_t count) noexcept:
        self.filled += count
        if self.filled == self.due:
            self.next = NEXT_CR if self.head.kind < FRAMES else NEXT_WHOLE

    cdef object end_block(self, bytes block):
        self.block = None
        self.filled = 0
        self.next = NEXT_LINE
        self.due = -1
        return self.take_block(block)

    # Frames.

    cdef object read_frame(self, const char *data, Py_ssize_t size, Py_ssize_t *position):
        """Read a whole frame; or of one that comes in pieces what comes next."""
        cdef const char *start = data + position[0]
        cdef Py_ssize_t left = size - position[0], parts
        if self.next == NEXT_BLOCK:
            return self.read_value(start, left, position)
        if (
            self.carried or left < HEADER_SIZE
            or left - HEADER_SIZE < <Py_ssize_t>get_u32(start + 8)
        ):
            return self.read_front(start, left, position)
        self.take_header(start)
        start += HEADER_SIZE
        self.take_parts(start)
        parts = self.extras_size + self.key_size
        position[0] += HEADER_SIZE + parts + self.value_size
        return self.take_frame(PyBytes_FromStringAndSize(start + parts, self.value_size))

    cdef object read_front(self, const char *data, Py_ssize_t left, Py_ssize_t *position):
        """Read a piece of a header, or of the extras and the key behind it."""
        cdef Py_ssize_t wanted = HEADER_SIZE
        if self.carried >= HEADER_SIZE:
            wanted += self.extras_size + self.key_size
        left = min(left, wanted - self.carried)
        self.keep(data, left)
        position[0] += left
        if self.carried == HEADER_SIZE:
            self.take_header(self.carry)
            wanted = HEADER_SIZE + self.extras_size + self.key_size
        if self.carried < wanted:
            return MORE
        self.take_parts(self.carry + HEADER_SIZE)
        self.drop_carry()
        self.filled = 0
        if not self.due:
            return self.end_value(b"")
        self.next = NEXT_BLOCK
        return MORE

    cdef object read_value(self, const char *data, Py_ssize_t left, Py_ssize_t *position):
        cdef Py_ssize_t room
        if not self.filled and left >= self.due:
            position[0] += self.due
            return self.end_value(PyBytes_FromStringAndSize(data, self.due))
        left = min(left, self.due - self.filled)
        memcpy(self.room(&room), data, left)
        self.count_block(left)
        position[0] += left
        return self.end_value(self.block) if self.next == NEXT_WHOLE else MORE

    cdef object end_value(self, bytes value):
        self.block = None
        self.filled = 0
        self.next = NEXT_LINE
        return self.take_frame(value)
