# What frames mean. Part of _speedups.pyx; the rules are those of _frame_reader.py and
# plain_frames.py.

cdef dict OUTCOMES = frames.OUTCOMES
cdef dict CAS_OUTCOMES = frames.CAS_OUTCOMES
cdef dict SASL_STEPS = frames.SASL_STEPS

cdef enum:
    SUCCESS = 0x0000
    KEY_ENOENT = 0x0001
    FENCE = -1  # the place of the frame that closes a run


cdef inline bint is_run(int kind) noexcept:
    return kind == FRAME_GET_MANY or kind == FRAME_GETS_MANY or kind == FRAME_QUIET


cdef object plain_frame(Request request, const char *data, Py_ssize_t size):
    """Return the reply, if these bytes are exactly that and a good one, else MORE."""
    cdef const char *asked = PyBytes_AS_STRING(request.payload)
    cdef int kind = request.kind, status
    cdef Py_ssize_t key, extras
    if (
        size < HEADER_SIZE or <unsigned char>data[0] != ANSWERS or data[1] != asked[1]
        or data[5] != 0 or memcmp(data + 12, asked + 12, 4) != 0
        or <Py_ssize_t>get_u32(data + 8) != size - HEADER_SIZE
    ):
        return MORE
    key, extras, status = get_u16(data + 2), <unsigned char>data[4], get_u16(data + 6)
    if kind == FRAME_GET or kind == FRAME_GETS:
        return plain_item(request, data, size, key, extras, status)
    if status == SUCCESS and key == 0:
        if kind == FRAME_STATUS and size == HEADER_SIZE + extras:
            return known_outcome(<dict>OUTCOMES.get(<unsigned char>data[1]), status)
        if kind == FRAME_CAS and size == HEADER_SIZE + extras:
            return STORED
        if kind == FRAME_NUMBER and size == HEADER_SIZE + 8 and extras == 0:
            return get_u64(data + HEADER_SIZE)
    return MORE


cdef inline object known_outcome(dict outcomes, int status):
    if outcomes is None:
        return MORE
    found = outcomes.get(status)
    return MORE if found is None else found


cdef object plain_item(
    Request request, const char *data, Py_ssize_t size, Py_ssize_t key, Py_ssize_t extras, int status
):
    cdef Py_ssize_t start = HEADER_SIZE + extras
    cdef uint32_t flags
    if (
        key != PyBytes_GET_SIZE(request.key) or start + key > size
        or memcmp(data + start, PyBytes_AS_STRING(request.key), key) != 0
    ):
        return MORE
    if status == SUCCESS and extras == 4:
        flags = get_u32(data + HEADER_SIZE)
        return (
            PyBytes_FromStringAndSize(data + start + key, size - start - key),
            flags if flags else ZERO,
            get_u64(data + 16) if request.kind == FRAME_GETS else ZERO,
        )
    return None if status == KEY_ENOENT and extras == 0 and start + key == size else MORE


cdef class FrameReader(ReplyReader):
    """The frame being read, of the reply at the head of the queue. See the pure twin."""

    cdef int take_header(self, const char *data) except -1:
        """Prove that a header answers the request at the head; its lengths can be true."""
        cdef Request head = self.head
        cdef const char *asked = PyBytes_AS_STRING(head.payload)
        cdef uint32_t place = get_u32(data + 12) - get_u32(asked + 12)
        cdef Py_ssize_t size = get_u32(data + 8)
        cdef bint proved
        if <unsigned char>data[0] != ANSWERS or data[5] != 0:
            raise self.broken("what is no frame of the binary protocol", data, HEADER_SIZE)
        self.status = get_u16(data + 6)
        self.key_size = get_u16(data + 2)
        self.extras_size = <unsigned char>data[4]
        self.place = place
        if not is_run(head.kind):
            proved = place == 0 and data[1] == asked[1]
        elif data[1] == OP_NOOP:
            proved = place == head.count
            self.place = FENCE
        else:  # quiet commands are answered in their order, each once
            proved = self.index <= place < head.count and data[1] == asked[1]
            self.index = <Py_ssize_t>place + 1
        if not proved:
            raise self.broken("a frame that does not answer this command", data, HEADER_SIZE)
        size -= self.key_size + self.extras_size
        if size < 0:
            raise self.broken("a frame shorter than its parts", data, HEADER_SIZE)
        if size > self.limit():
            raise self.broken(
                "a frame longer than such a reply can be", data, HEADER_SIZE
            )
        self.value_size = size
        self.item_cas = get_u64(data + 16)
        return 0

    cdef Py_ssize_t limit(self) noexcept:
        """Return how many bytes of value a frame may have."""
        if self.head.kind <= FRAME_GETS_MANY and self.status == SUCCESS:
            return self.max_value
        return MAX_TEXT_LINE

    cdef int take_parts(self, const char *data) except -1:
        """Take the extras and the key of the frame; the value, if any, is due."""
        cdef int kind = self.head.kind
        if kind <= FRAME_GETS_MANY and self.place != FENCE:
            self.check_key(data, data + self.extras_size)
        elif kind == FRAME_STATS:
            self.item_key = PyBytes_FromStringAndSize(data + self.extras_size, self.key_size)
        self.due = self.value_size
        self.open = True
        return 0

    cdef int check_key(self, const char *extras, const char *key) except -1:
        cdef bytes asked = self.head.key
        cdef bint same_key
        if self.head.keys is not None:
            asked = <bytes>self.head.keys[self.place]
        same_key = asked is not None and same(
            key, self.key_size, PyBytes_AS_STRING(asked), PyBytes_GET_SIZE(asked)
        )
        if self.status == SUCCESS:
            if not same_key or self.extras_size != 4:
                raise self.broken("another key's item", key, self.key_size)
            self.item_flags = get_u32(extras)
            self.item_key = asked
        elif self.key_size and not same_key:
            raise self.broken("another key's reply", key, self.key_size)
        return 0

    cdef object take_frame(self, bytes value):
        """Read a frame whose value is complete."""
        cdef int kind = self.head.kind
        self.due = -1
        if kind <= FRAME_GETS and self.status == SUCCESS:
            return self.item_of(value)
        if is_run(kind):
            return self.fence(value) if self.place == FENCE else self.run_frame(value)
        if kind == FRAME_STATS:
            return self.stat_frame(value)
        if kind == FRAME_SASL and self.status in SASL_STEPS:
            return SaslReply(SASL_STEPS[self.status], value)
        return self.success(value) if self.status == SUCCESS else self.failure(value)

    cdef tuple item_of(self, bytes value):
        cdef int kind = self.head.kind
        cdef object cas = ZERO
        if kind == FRAME_GETS or kind == FRAME_GETS_MANY:
            cas = self.item_cas
        return (value, self.item_flags if self.item_flags else ZERO, cas)

    cdef object success(self, bytes value):
        cdef int kind = self.head.kind
        if kind == FRAME_NUMBER:
            if len(value) != 8:
                raise self.broken("what is no number", PyBytes_AS_STRING(value), len(value))
            return get_u64(PyBytes_AS_STRING(value))
        if kind == FRAME_TEXT:
            return text_of(value)
        if value:
            raise self.broken(
                "a value where there is none", PyBytes_AS_STRING(value), len(value)
            )
        return self.outcome()

    cdef object failure(self, bytes value):
        cdef int kind = self.head.kind
        if self.status == KEY_ENOENT and (kind <= FRAME_GETS or kind == FRAME_NUMBER):
            return None
        outcome = self.outcome()
        return self.refused(value) if outcome is None else outcome

    cdef object outcome(self):
        cdef int kind = self.head.kind
        if kind == FRAME_CAS:
            return CAS_OUTCOMES.get(self.status)
        if kind != FRAME_STATUS and kind != FRAME_QUIET:
            return None
        return OUTCOMES.get(<unsigned char>self.head.payload[1], {}).get(self.status)

    cdef object refused(self, bytes text):
        if not is_in_step(self.status):
            self.distrust()
        return frame_error(self.status, text, self.head)

    # Replies of several frames.

    cdef object run_frame(self, bytes value):
        """Read the answer to one item of a run."""
        if self.head.kind != FRAME_QUIET:
            return self.found_frame(value)
        if self.status == SUCCESS:
            return MORE
        failure = self.outcome()
        if failure is None:
            failure = self.refused(value)
        if not self.is_usable:
            return failure
        if self.partial is None:
            self.partial = BatchReply()
        self.partial.failures[self.place] = failure
        return MORE

    cdef object found_frame(self, bytes value):
        if self.status == SUCCESS:
            if self.partial is None:
                self.partial = {}
            (<dict>self.partial)[self.item_key] = self.item_of(value)
        elif self.status != KEY_ENOENT:
            error = self.refused(value)
            if not self.is_usable:
                return error
            if self.error is None:
                self.error = error
        return MORE

    cdef object fence(self, bytes value):
        if self.status != SUCCESS:
            return self.refused(value)
        if value:
            raise self.broken(
                "a value where there is none", PyBytes_AS_STRING(value), len(value)
            )
        if self.error is not None:
            return self.error
        if self.partial is not None:
            return self.partial
        return BatchReply() if self.head.kind == FRAME_QUIET else {}

    cdef object stat_frame(self, bytes value):
        if self.partial is None:
            self.partial = {}
        if self.status == SUCCESS and (self.key_size or value):
            (<dict>self.partial)[text_of(self.item_key)] = text_of(value)
            return MORE
        if self.status == SUCCESS:
            return self.partial
        if self.status == KEY_ENOENT:
            return frame_error(NOT_SUPPORTED, value, self.head)
        return self.refused(value)


cdef object is_in_step = frames.is_in_step
cdef object frame_error = frames.frame_error
cdef int NOT_SUPPORTED = frames.NOT_SUPPORTED
