# What lines and data blocks mean. Part of _speedups.pyx; the rules are those of _reader.py, and
# what is rare is asked of it.


cdef inline bint same(
    const char *text, Py_ssize_t length, const char *word, Py_ssize_t size
) noexcept:
    return length == size and memcmp(text, word, size) == 0


cdef const char *read_number(const char *p, const char *end, int most, uint64_t *number) noexcept:
    """Read one to `most` digits; return the place behind them, NULL if there is no such number."""
    cdef const char *start = p
    cdef uint64_t total = 0, digit
    while p < end and c'0' <= p[0] <= c'9':
        digit = p[0] - c'0'
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
    if p == NULL or p >= end or p[0] != c' ':
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
    """Return the return code that begins a line, or None if this kind does not allow it."""
    if length < 2 or (length > 2 and line[2] != c' '):
        return None
    if line[0] == c'V' and line[1] == c'A':
        return "VA" if kind == META_VALUE or kind == META_NUMBER else None
    if line[0] == c'H' and line[1] == c'D':
        if kind == META_GET or kind == META_SET or kind == META_DELETE or kind == META_ARITHMETIC:
            return "HD"
        return None
    if line[0] == c'E' and line[1] == c'N':
        return "EN" if kind == META_GET or kind == META_VALUE else None
    if line[0] == c'M' and line[1] == c'N':
        return "MN" if kind == META_NOOP else None
    if kind == META_GET or kind == META_VALUE or kind == META_NOOP:
        return None
    if line[0] == c'N' and line[1] == c'F':
        return "NF"
    if line[0] == c'E' and line[1] == c'X':
        return "EX"
    if line[0] == c'N' and line[1] == c'S':
        return None if kind == META_DELETE else "NS"
    return None


cdef object plain_reply(Request request, const char *data, Py_ssize_t size):
    """Return the reply, if these bytes are exactly that and a good one, else MORE: see plain.py."""
    cdef const char *end = data + size
    cdef const char *p = data + 6
    cdef Py_ssize_t length
    cdef uint64_t flags = 0, room = 0
    if STORE <= request.kind <= OK_LINE:
        if size < 2 or data[size - 2] != c'\r' or data[size - 1] != c'\n':
            return MORE
        status = status_of(request.kind, data, size - 2)
        return MORE if status is None else status
    if request.kind != GET or request.key is None:
        return plain_frame(request, data, size) if request.kind >= FRAMES else MORE
    length = PyBytes_GET_SIZE(request.key)
    if size < length + 19:  # the shortest item: VALUE, key, two digits, three lines' ends, END
        return None if same(data, size, "END\r\n", 5) else MORE
    if memcmp(data, b"VALUE ", 6) != 0 or memcmp(p, PyBytes_AS_STRING(request.key), length) != 0:
        return MORE
    p = read_field(read_field(p + length, end, 10, &flags), end, 10, &room)
    if p == NULL or <uint64_t>(end - p) != room + 9:
        return MORE
    if p[0] != c'\r' or p[1] != c'\n' or memcmp(end - 7, b"\r\nEND\r\n", 7) != 0:
        return MORE
    return (PyBytes_FromStringAndSize(p + 2, <Py_ssize_t>room), flags if flags else ZERO, ZERO)


def at_a_glance(Request request not None, bytes data not None):
    """Return what `plain_reply` makes of `data`: tests hold the twins together."""
    return plain_reply(request, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef class ReplyReader:
    """The reply at the head of the queue, as far as it has been read. See the pure twin."""

    def __cinit__(self, Py_ssize_t max_value=MAX_VALUE):
        self.max_value = max_value
        self.is_usable = True
        self.forget()

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

    # When the peer breaks the protocol.

    cdef void distrust(self) noexcept:
        """Believe nothing any more."""
        self.is_usable = False

    cdef object broken(self, str what, const char *excerpt, Py_ssize_t length):
        cdef bytes shown = excerpt[:min(length, EXCERPT)]
        cdef str verb = self.head.verb if self.head is not None else "idle"
        self.distrust()
        return ProtocolError(
            f"{verb}: the server sent {what}: {shown!r}; this connection can not be used any more"
        )

    cdef object unexpected(self, const char *line, Py_ssize_t length):
        return self.broken("a line that does not answer this command", line, length)

    cdef object refusal(self, const char *line, Py_ssize_t length):
        """Return the error that a line stands for, or raise because it is none."""
        cdef bytes text = line[:length]
        error = error_reply(text, self.head)
        if error is None:
            raise self.unexpected(line, length)
        if not is_harmless(text, data_sent=self.head.kind in CARRY_DATA):
            self.distrust()
        return error

    cdef int announce(self, uint64_t size, const char *line, Py_ssize_t length) except -1:
        """Make a data block due."""
        if size > <uint64_t>self.max_value:
            raise self.broken(
                f"a data block over the limit of {self.max_value} bytes", line, length
            )
        self.due = <Py_ssize_t>size
        return 0

    # What a line means.

    cdef object take_line(self, const char *line, Py_ssize_t length):
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
            self.reader = PureReader(self.max_value)
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

    cdef object take_block(self, bytes block):
        """Read the data block that the last line announced."""
        cdef int kind = self.head.kind
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
        cdef const char *p = <const char *>memchr(key, c' ', length - 6)
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

        Items come in the order of the keys, some missing, as a rule: each is looked for onwards
        from the last. Once that fails, all keys are looked up in a dict.
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
        if length and c'0' <= line[0] <= c'9':
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
            if p == NULL or (p < end and p[0] != c' '):
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
        """Read the returned flags from `p`, each behind a space; one more may end the line."""
        cdef dict flags = {}
        cdef const char *token
        if end > p and (end - 1)[0] == c' ':
            end -= 1
        while p < end:
            p += 1
            token = p
            while p < end and p[0] != c' ':
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
        code = line[:2] if length == 2 or length > 2 and line[2] == c' ' else b""
        if code == b"HD":
            self.batch_index(line, length)
            return MORE
        status = BATCH_STATUSES.get(code)
        if status is not None:
            self.partial.failures[self.batch_index(line, length)] = status
            return MORE
        cdef bint unknown = same(line, length, "ERROR", 5)
        error = self.refusal(line, length)  # which may free the line
        if unknown:  # the server may not know the fence either
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


cdef dict BATCH_STATUSES = {
    code.encode(): status for code, status in grammar.BATCH_STATUSES.items()
}
