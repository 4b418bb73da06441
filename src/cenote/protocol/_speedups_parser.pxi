# The incremental reply parser. Part of _speedups.pyx; the rules are those of _parser.py and _reader.py.


cdef inline bint same(const char *text, Py_ssize_t length, const char *word, Py_ssize_t size) noexcept:
    return length == size and memcmp(text, word, size) == 0


cdef const char *read_number(const char *p, const char *end, int most, uint64_t *number) noexcept:
    """Read one to `most` digits; return the place behind them, NULL if there is no such number."""
    cdef const char *start = p
    cdef uint64_t total = 0, digit
    while p < end and 48 <= p[0] <= 57:
        digit = p[0] - 48
        if total > (UINT64_MAX - digit) // 10:
            return NULL
        total = total * 10 + digit
        p += 1
    number[0] = total
    return p if 0 < p - start <= most else NULL


cdef inline const char *read_field(
    const char *p, const char *end, int most, uint64_t *number
) noexcept:
    """Read a space and a number."""
    if p == NULL or p >= end or p[0] != 32:
        return NULL
    return read_number(p + 1, end, most, number)


cdef inline Py_ssize_t line_limit(int kind) noexcept:
    if kind == VERSION or kind == STATS or kind == LINE or kind == LINES:
        return MAX_TEXT_LINE
    return MAX_LINE


cdef object status_of(int kind, const char *line, Py_ssize_t length):
    """Return the status that a line stands for as the answer to this kind, or None."""
    if kind == STORE or kind == CAS or kind == SETS:
        if same(line, length, "STORED", 6):
            return STORED
        if same(line, length, "NOT_STORED", 10):
            return NOT_STORED
        if kind == CAS and same(line, length, "EXISTS", 6):
            return EXISTS
        if kind == CAS and same(line, length, "NOT_FOUND", 9):
            return NOT_FOUND
        return None
    if kind == OK_LINE:
        return OK if same(line, length, "OK", 2) else None
    if same(line, length, "NOT_FOUND", 9):
        return NOT_FOUND
    if kind == TOUCH:
        return TOUCHED if same(line, length, "TOUCHED", 7) else None
    return DELETED if same(line, length, "DELETED", 7) else None


cdef str code_of(int kind, const char *line, Py_ssize_t length):
    """Return the return code that begins a line, if this kind of meta command allows it, or None."""
    if length < 2 or (length > 2 and line[2] != 32):
        return None
    if line[0] == 86 and line[1] == 65:  # VA
        return "VA" if kind == META_VALUE or kind == META_NUMBER else None
    if line[0] == 72 and line[1] == 68:  # HD
        if kind == META_GET or kind == META_SET or kind == META_DELETE or kind == META_ARITHMETIC:
            return "HD"
        return None
    if line[0] == 69 and line[1] == 78:  # EN
        return "EN" if kind == META_GET or kind == META_VALUE else None
    if line[0] == 77 and line[1] == 78:  # MN
        return "MN" if kind == META_NOOP else None
    if kind == META_GET or kind == META_VALUE or kind == META_NOOP:
        return None
    if line[0] == 78 and line[1] == 70:  # NF
        return "NF"
    if line[0] == 69 and line[1] == 88:  # EX
        return "EX"
    if line[0] == 78 and line[1] == 83:  # NS
        return None if kind == META_DELETE else "NS"
    return None


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
cdef class ReplyParser:
    """Turns the bytes of one connection into the replies to the requests sent on it, in order.

    Not thread-safe: one conversation, one parser, one driver at a time.

    Args:
        max_value: Bytes; a longer data block is a `ProtocolError`.
    """

    def __cinit__(self, Py_ssize_t max_value=<Py_ssize_t>1 << 30):
        self.max_value = max_value
        self.is_usable = True
        self.rest = []
        self.forget()
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

    def expect(self, Request request not None):
        """Say that `request` is being sent: its reply is due after those before it."""
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
            self.received(received)
            return []
        if scratch is None:
            raise ValueError("buffer_updated() without get_buffer()")
        if not 0 <= received <= PyByteArray_GET_SIZE(scratch):
            raise ValueError("buffer_updated() with more than get_buffer() gave room for")
        replies = self.feed_all(PyByteArray_AS_STRING(scratch), received)
        if self.head is None:
            self.scratch = None
        return replies

    cdef char *room(self, Py_ssize_t *size) except? NULL:
        if self.next != NEXT_BLOCK:
            return NULL
        if self.block is None:
            self.block = PyBytes_FromStringAndSize(NULL, self.due)
        size[0] = self.due - self.filled
        return PyBytes_AS_STRING(self.block) + self.filled

    cdef int received(self, Py_ssize_t count) except -1:
        if self.block is None or not 0 <= count <= self.due - self.filled:
            raise ValueError("more was received than there is room for")
        self.count_block(count)
        return 0

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

    cdef void forget(self) noexcept:
        """Begin with the next reply."""
        self.open = False
        self.in_part = False
        self.due = -1
        self.index = 0
        self.cursor = 0
        self.item_key = None
        self.partial = None
        self.wanted = None
        self.error = None
        self.reader = None

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
        """Believe nothing any more."""
        self.is_usable = False
        self.release()

    cdef object broken(self, str what, const char *excerpt, Py_ssize_t length):
        cdef bytes shown = excerpt[:min(length, EXCERPT)]
        cdef str verb = self.head.verb if self.head is not None else "idle"
        self.distrust()
        return ProtocolError(
            f"{verb}: the server sent {what}: {shown!r}; this connection can not be used any more"
        )

    cdef object unasked(self, const char *data, Py_ssize_t size):
        cdef str what = "bytes that nobody asked for" if self.is_usable else "bytes after it lost step"
        return self.broken(what, data, size)

    cdef object unexpected(self, const char *line, Py_ssize_t length):
        return self.broken("a line that does not answer this command", line, length)

    cdef object refusal(self, const char *line, Py_ssize_t length):
        """Return the error that a line stands for, or raise because it is none."""
        cdef bytes text = line[:length]
        error = error_reply(text, self.head.verb)
        if error is None:
            raise self.unexpected(line, length)
        if not is_harmless(text, data_sent=self.head.kind in CARRY_DATA):
            self.distrust()
        return error

    # Lines and blocks.

    cdef object parse(self, const char *data, Py_ssize_t size, Py_ssize_t *used):
        cdef Py_ssize_t position = 0
        cdef object reply
        while position < size:
            if self.head is None or not self.is_usable:
                raise self.unasked(data + position, size - position)
            if self.next == NEXT_LINE:
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
        cdef const char *stop = <const char *>memchr(line, 10, length)
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
        if length > 1 and line[length - 2] == 13:
            length -= 2
        elif self.head.kind == LINES:  # memcached ends the lines of its dumps by LF alone
            length -= 1
        else:
            raise self.broken("a line that does not end with CRLF", line, length)
        self.open = True
        reply = self.line(line, length)
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
            if start[self.due] == 13 and start[self.due + 1] == 10:
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
            self.next = NEXT_CR

    cdef object end_block(self, bytes block):
        cdef int kind = self.head.kind
        self.block = None
        self.filled = 0
        self.next = NEXT_LINE
        self.due = -1
        if kind <= GETS:
            self.partial = (block, self.item_flags, self.item_cas)
            return MORE
        if kind <= GETS_MANY:
            (<dict>self.partial)[self.item_key] = (block, self.item_flags, self.item_cas)
            return MORE
        if self.reader is not None:
            return self.rare(self.reader._block, block)
        status, _, flags = self.partial
        return new_tuple(MetaReply, (status, block, flags))

    cdef int announce(self, uint64_t size, const char *line, Py_ssize_t length) except -1:
        """Make a data block due."""
        if size > <uint64_t>self.max_value:
            raise self.broken(f"a data block over the limit of {self.max_value} bytes", line, length)
        self.due = <Py_ssize_t>size
        return 0

    # What a line means.

    cdef object line(self, const char *line, Py_ssize_t length):
        cdef int kind = self.head.kind
        if kind <= GETS:
            return self.item_line(line, length)
        if kind <= GETS_MANY:
            return self.items_line(line, length)
        if kind <= OK_LINE:
            return self.status_line(line, length)
        if kind == NUMBER:
            return self.number_line(line, length)
        if kind == SETS or kind == DELETES:
            return self.batch_line(line, length)
        if kind == QUIET_SETS or kind == QUIET:
            return self.quiet_line(line, length)
        if META_GET <= kind <= META_NOOP and kind != META_DEBUG:
            return self.meta_line(line, length)
        if self.reader is None:
            self.reader = ReplyReader(self.max_value)
        return self.rare(self.reader._line, line[:length])

    cdef object rare(self, object method, bytes data):
        """Take the pure reader's word for a line or block of a rare grammar."""
        try:
            progress = method(self.head, data)
        except ProtocolError:
            self.distrust()
            raise
        self.due = self.reader._due
        if not self.reader._usable:
            self.distrust()
        return progress

    # Items: VALUE lines with their blocks, then END.

    cdef object item_line(self, const char *line, Py_ssize_t length):
        if same(line, length, "END", 3):
            return self.partial
        if length < 6 or memcmp(line, b"VALUE ", 6) != 0:
            return self.refused_part(line, length)
        if self.in_part:
            raise self.broken("a second item", line, length)
        self.value_line(line, length, self.head.kind == GETS)
        return MORE

    cdef object items_line(self, const char *line, Py_ssize_t length):
        if same(line, length, "END", 3):
            return self.part_done()
        if length < 6 or memcmp(line, b"VALUE ", 6) != 0:
            return self.refused_part(line, length)
        if self.partial is None:
            self.partial = {}
        self.value_line(line, length, self.head.kind == GETS_MANY)
        return MORE

    cdef int value_line(self, const char *line, Py_ssize_t length, bint with_cas) except -1:
        cdef const char *key = line + 6
        cdef const char *end = line + length
        cdef const char *p = <const char *>memchr(key, 32, length - 6)
        cdef Py_ssize_t key_length = p - key
        cdef uint64_t size = 0
        self.item_cas = 0
        p = read_field(read_field(p, end, 20, &self.item_flags), end, 10, &size)
        if with_cas:
            p = read_field(p, end, 20, &self.item_cas)
        if p != end or key_length == 0:
            raise self.unexpected(line, length)
        self.item_key = self.asked_key(key, key_length)
        if self.item_key is None:
            raise self.broken("the item of a key not asked for", line, length)
        self.announce(size, line, length)
        self.in_part = True
        return 0

    cdef bytes asked_key(self, const char *key, Py_ssize_t length):
        """Return the key that was asked for in these bytes, or None.

        Items come in the order of the keys, some missing, as a rule: the next one asked for is looked
        for onwards from the last. Once that fails, all keys are looked up in a dict.
        """
        cdef bytes asked = self.head.key
        cdef tuple keys = self.head.keys
        if keys is None:
            return asked if asked is not None and same(
                key, length, PyBytes_AS_STRING(asked), PyBytes_GET_SIZE(asked)
            ) else None
        while self.cursor < len(keys):
            asked = <bytes>keys[self.cursor]
            self.cursor += 1
            if same(key, length, PyBytes_AS_STRING(asked), PyBytes_GET_SIZE(asked)):
                return asked
        if self.wanted is None:
            self.wanted = dict(zip(keys, keys))
        return self.wanted.get(key[:length])

    cdef object refused_part(self, const char *line, Py_ssize_t length):
        """Take an error line in the place of a part; behind an item it is not to be trusted."""
        error = self.refusal(line, length)
        if self.in_part:
            self.distrust()
        if self.error is None:
            self.error = error
        return self.part_done() if self.is_usable else self.error

    cdef object part_done(self):
        self.index += 1
        self.in_part = False
        if self.index < self.head.count:
            return MORE
        if self.error is not None:
            return self.error
        if self.partial is None and self.head.kind >= GET_MANY:
            return {}
        return self.partial

    # One line.

    cdef object status_line(self, const char *line, Py_ssize_t length):
        status = status_of(self.head.kind, line, length)
        return self.refusal(line, length) if status is None else status

    cdef object number_line(self, const char *line, Py_ssize_t length):
        cdef uint64_t number = 0
        if length and 48 <= line[0] <= 57:
            if read_number(line, line + length, 20, &number) != line + length:
                raise self.unexpected(line, length)
            return number
        return None if same(line, length, "NOT_FOUND", 9) else self.refusal(line, length)

    # Meta commands.

    cdef object meta_line(self, const char *line, Py_ssize_t length):
        cdef str status = code_of(self.head.kind, line, length)
        cdef const char *end = line + length
        cdef const char *p = line + 2
        cdef bint with_block = status == "VA"
        cdef uint64_t size = 0
        if status is None:
            return self.refusal(line, length)
        if with_block:
            p = read_field(p, end, 10, &size)
            if p == NULL or (p < end and p[0] != 32):
                raise self.unexpected(line, length)
        cdef dict flags = self.meta_flags(p, end, line)
        self.check_echo(status == "EN", flags, line, length)
        reply = new_tuple(MetaReply, (status, None, flags))
        if not with_block:
            return reply
        self.partial = reply
        self.announce(size, line, length)
        return MORE

    cdef dict meta_flags(self, const char *p, const char *end, const char *line):
        """Read the returned flags from `p`, each behind a space; one more space may end the line."""
        cdef dict flags = {}
        cdef const char *token
        if end > p and (end - 1)[0] == 32:
            end -= 1
        while p < end:
            p += 1
            token = p
            while p < end and p[0] != 32:
                p += 1
            if p == token:
                raise self.unexpected(line, end - line)
            flags[chr(<unsigned char>token[0])] = PyBytes_FromStringAndSize(
                token + 1, p - token - 1
            )
        return flags

    cdef int check_echo(self, bint miss, dict flags, const char *line, Py_ssize_t length) except -1:
        """Hold the reply's key and opaque against the request's; a miss may repeat neither."""
        cdef Request head = self.head
        opaque, key = flags.get("O"), flags.get("k")
        if opaque != head.opaque and not (opaque is None and miss):
            raise self.broken("another request's opaque", line, length)
        if not head.echo & ECHO_KEY or (key is None and miss):
            return 0
        if head.echo == ECHO_KEY and key == head.key and "b" not in flags:
            return 0
        if key is None or not same_key(head.key, bool(head.echo & ECHO_BASE64), key, "b" in flags):
            raise self.broken("another key's reply", line, length)
        return 0

    # Batches.

    cdef object batch_line(self, const char *line, Py_ssize_t length):
        """Read the answer to the next item of a batch that is answered one by one."""
        if self.partial is None:
            self.partial = BatchReply()
        status = status_of(self.head.kind, line, length)
        if status is None:
            status = self.refusal(line, length)
            if not self.is_usable:
                return status
        if status is not STORED and status is not DELETED:
            self.partial.failures[self.index] = status
        self.index += 1
        return MORE if self.index < self.head.count else self.partial

    cdef object quiet_line(self, const char *line, Py_ssize_t length):
        """Read a line of a quiet run: a failure that names its item, an error, or the fence."""
        if self.partial is None:
            self.partial = BatchReply()
        if same(line, length, "MN", 2):
            return self.partial
        code = line[:2] if length == 2 or length > 2 and line[2] == 32 else b""
        if code == b"HD":
            self.batch_index(line, length)
            return MORE
        status = BATCH_STATUSES.get(code)
        if status is not None:
            self.partial.failures[self.batch_index(line, length)] = status
            return MORE
        error = self.refusal(line, length)
        if same(line, length, "ERROR", 5):  # the server may not know the fence either
            self.distrust()
        self.partial.unplaced.append(error)
        return MORE if self.is_usable else error

    cdef Py_ssize_t batch_index(self, const char *line, Py_ssize_t length) except -1:
        cdef uint64_t index = 0
        cdef bytes opaque = self.meta_flags(line + 2, line + length, line).get("O", b"")
        cdef const char *start = PyBytes_AS_STRING(opaque)
        cdef const char *end = start + PyBytes_GET_SIZE(opaque)
        if read_number(start, end, 9, &index) != end or index >= <uint64_t>self.head.count:
            raise self.broken("the answer to no item of this batch", line, length)
        return <Py_ssize_t>index


cdef dict BATCH_STATUSES = {code.encode(): status for code, status in grammar.BATCH_STATUSES.items()}
