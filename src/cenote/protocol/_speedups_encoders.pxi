# Encoders: arguments to a Request. Part of _speedups.pyx.
#
# Each computes the size of its request, allocates it once, and writes it from left to right. Numbers
# that are out of range are handed to the pure checks, which know how to complain.


# Numbers.

cdef inline int64_t as_flags(object number) except -1:
    cdef int64_t checked
    if isinstance(number, int):
        try:
            checked = number
            if 0 <= checked <= 0xFFFFFFFF:
                return checked
        except OverflowError:
            pass
    check_flags(number)
    return number


cdef inline int64_t as_exptime(object number) except? -1:
    cdef int64_t checked
    if isinstance(number, int):
        try:
            checked = number
            if -0x80000000 <= checked <= 0x7FFFFFFF:
                return checked
        except OverflowError:
            pass
    check_exptime(number)
    return number


cdef inline uint64_t as_u64(str name, object number) except? 0:
    if isinstance(number, int):
        try:
            return number
        except OverflowError:
            pass
    check_u64(name, number)
    return number


cdef inline int width(uint64_t number) noexcept nogil:
    cdef int digits = 1
    while number >= 10000:
        number //= 10000
        digits += 4
    if number >= 1000:
        return digits + 3
    if number >= 100:
        return digits + 2
    if number >= 10:
        return digits + 1
    return digits


cdef inline int signed_width(int64_t number) noexcept nogil:
    return width(<uint64_t>number) if number >= 0 else 1 + width(<uint64_t>-number)


# Writing. Each returns the place behind what it wrote.

cdef inline char *put(char *p, const char *text, Py_ssize_t length) noexcept nogil:
    memcpy(p, text, length)
    return p + length


cdef inline char *put_bytes(char *p, bytes data) noexcept:
    return put(p, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline char *put_number(char *p, uint64_t number) noexcept nogil:
    cdef char *end = p + width(number)
    p = end
    while number >= 10:
        p -= 1
        p[0] = 48 + <char>(number % 10)
        number //= 10
    (p - 1)[0] = 48 + <char>number
    return end


cdef inline char *put_signed(char *p, int64_t number) noexcept nogil:
    if number >= 0:
        return put_number(p, <uint64_t>number)
    p[0] = 45  # -
    return put_number(p + 1, <uint64_t>-number)


cdef inline char *put_crlf(char *p) noexcept nogil:
    p[0] = 13
    p[1] = 10
    return p + 2


# Retrieval.

cdef inline bytes key_line(const char *command, Py_ssize_t length, bytes key):
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, length + PyBytes_GET_SIZE(key) + 2)
    put_crlf(put_bytes(put(PyBytes_AS_STRING(payload), command, length), key))
    return payload


def get(bytes key not None):
    """Ask for one item: `RawItem | None`."""
    return make(key_line("get ", 4, key), GET, key, True, "get")


def gets(bytes key not None):
    """Ask for one item with its cas: `RawItem | None`."""
    return make(key_line("gets ", 5, key), GETS, key, True, "gets")


cdef bytes gat_line(const char *command, Py_ssize_t length, bytes key, int64_t exptime):
    cdef Py_ssize_t size = length + signed_width(exptime) + 1 + PyBytes_GET_SIZE(key) + 2
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
    cdef char *p = put_signed(put(PyBytes_AS_STRING(payload), command, length), exptime)
    put_crlf(put_bytes(put(p, " ", 1), key))
    return payload


def gat(bytes key not None, exptime):
    """Ask for one item and give it a new expiry: `RawItem | None`."""
    return make(gat_line("gat ", 4, key, as_exptime(exptime)), GET, key, True, "gat")


def gats(bytes key not None, exptime):
    """Ask for one item with its cas and give it a new expiry: `RawItem | None`."""
    return make(gat_line("gats ", 5, key, as_exptime(exptime)), GETS, key, True, "gats")


def get_many(keys):
    """Ask for several items: `dict[bytes, RawItem]` of those that exist."""
    return retrieve_many("get", b"get", keys, GET_MANY, GET_LINE)


def gets_many(keys):
    """Ask for several items with their cas: `dict[bytes, RawItem]` of those that exist."""
    return retrieve_many("gets", b"gets", keys, GETS_MANY, GET_LINE)


def gat_many(keys, exptime):
    """Ask for several items and give them a new expiry: `dict[bytes, RawItem]`."""
    return retrieve_many("gat", b"gat %d" % as_exptime(exptime), keys, GET_MANY, GAT_LINE)


def gats_many(keys, exptime):
    """Ask for several items with their cas and give them a new expiry: `dict[bytes, RawItem]`."""
    return retrieve_many("gats", b"gats %d" % as_exptime(exptime), keys, GETS_MANY, GAT_LINE)


cdef Request retrieve_many(str verb, bytes command, object many, int kind, Py_ssize_t limit):
    cdef tuple keys = tuple(many)
    if not keys:
        raise InvalidArgument(f"{verb}: no keys to ask for")
    check_keys(keys)
    cdef Py_ssize_t lines = 0
    cdef Py_ssize_t size = write_lines(NULL, command, keys, limit, &lines)
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
    write_lines(PyBytes_AS_STRING(payload), command, keys, limit, &lines)
    cdef Request request = make(payload, kind, None, True, verb)
    request.keys = keys
    request.count = lines
    return request


cdef Py_ssize_t write_lines(
    char *start, bytes command, tuple keys, Py_ssize_t limit, Py_ssize_t *lines
) noexcept:
    """Write lines of keys, each within `limit`, to `start` (if any); return their bytes."""
    cdef Py_ssize_t opening = PyBytes_GET_SIZE(command), done = 0, line = 0, length
    cdef bytes key
    lines[0] = 0
    for key in keys:
        length = 1 + PyBytes_GET_SIZE(key)
        if line and line + length + 2 > limit:
            if start != NULL:
                put_crlf(start + done)
            done += 2
            line = 0
        if not line:
            if start != NULL:
                put_bytes(start + done, command)
            done += opening
            line = opening
            lines[0] += 1
        if start != NULL:
            put_bytes(put(start + done, " ", 1), key)
        done += length
        line += length
    if start != NULL:
        put_crlf(start + done)
    return done + 2


# Storage.

cdef dict COMMANDS = {verb: command + b" " for verb, command in _encoders.STORE_VERBS.items()}


def store(str verb not None, bytes key not None, bytes value not None, flags, exptime):
    """Store an item by `set`, `add`, `replace`, `append` or `prepend`: `Status`."""
    cdef bytes command = COMMANDS.get(verb)
    if command is None:
        return adopt(_encoders.store(verb, key, value, flags, exptime))  # it refuses
    cdef int64_t bits = as_flags(flags), expiry = as_exptime(exptime)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(value)
    cdef bytes payload = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(command) + PyBytes_GET_SIZE(key) + width(bits)
        + signed_width(expiry) + width(length) + length + 7,
    )
    cdef char *p = put_bytes(PyBytes_AS_STRING(payload), command)
    p = put_number(put(put_bytes(p, key), " ", 1), bits)
    p = put_signed(put(p, " ", 1), expiry)
    p = put_number(put(p, " ", 1), length)
    put_crlf(put_bytes(put_crlf(p), value))
    return make(payload, STORE, key, verb == "set", verb)


def cas(bytes key not None, bytes value not None, flags, exptime, token):
    """Store an item if its cas is still `token`: `Status`."""
    cdef int64_t bits = as_flags(flags), expiry = as_exptime(exptime)
    cdef uint64_t unique = as_u64("token", token)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(value)
    cdef bytes payload = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(key) + width(bits) + signed_width(expiry) + width(length)
        + width(unique) + length + 12,
    )
    cdef char *p = put_bytes(put(PyBytes_AS_STRING(payload), "cas ", 4), key)
    p = put_number(put(p, " ", 1), bits)
    p = put_signed(put(p, " ", 1), expiry)
    p = put_number(put(p, " ", 1), length)
    p = put_number(put(p, " ", 1), unique)
    put_crlf(put_bytes(put_crlf(p), value))
    return make(payload, CAS, key, False, "cas")


# Other commands about one key.

def delete(bytes key not None):
    """Delete an item: `DELETED` or `NOT_FOUND`."""
    return make(key_line("delete ", 7, key), DELETE, key, True, "delete")


def touch(bytes key not None, exptime):
    """Give an item a new expiry: `TOUCHED` or `NOT_FOUND`."""
    cdef int64_t expiry = as_exptime(exptime)
    cdef bytes payload = PyBytes_FromStringAndSize(
        NULL, 6 + PyBytes_GET_SIZE(key) + 1 + signed_width(expiry) + 2
    )
    cdef char *p = put_bytes(put(PyBytes_AS_STRING(payload), "touch ", 6), key)
    put_crlf(put_signed(put(p, " ", 1), expiry))
    return make(payload, TOUCH, key, True, "touch")


cdef bytes delta_line(const char *command, bytes key, uint64_t delta):
    cdef bytes payload = PyBytes_FromStringAndSize(
        NULL, 5 + PyBytes_GET_SIZE(key) + 1 + width(delta) + 2
    )
    cdef char *p = put_bytes(put(PyBytes_AS_STRING(payload), command, 5), key)
    put_crlf(put_number(put(p, " ", 1), delta))
    return payload


def incr(bytes key not None, delta):
    """Add to a number: its new value, or None if there is no such item."""
    return make(delta_line("incr ", key, as_u64("delta", delta)), NUMBER, key, False, "incr")


def decr(bytes key not None, delta):
    """Subtract from a number, down to 0: its new value, or None if there is no such item."""
    return make(delta_line("decr ", key, as_u64("delta", delta)), NUMBER, key, False, "decr")


# Commands about the server: rare, so the pure twin makes them.

cdef Request adopt(object request):
    """Make a request of the pure twin one of ours."""
    return Request(
        request.payload, request.kind, request.key, request.keys, request.count,
        request.idempotent, request.verb, request.opaque, request.echo,
    )


def flush_all(delay=0):
    """Forget every item, now or `delay` seconds from now: `OK`."""
    return adopt(_encoders.flush_all(delay))


def version():
    """Ask for the server's version: `str`."""
    return adopt(_encoders.version())


def stats(*args):
    """Ask for statistics: `dict[str, str]`, empty for `reset` and the like."""
    return adopt(_encoders.stats(*args))


def verbosity(level):
    """Set how much the server logs: `OK`."""
    return adopt(_encoders.verbosity(level))


def cache_memlimit(megabytes):
    """Set how much memory the server may use: `OK`."""
    return adopt(_encoders.cache_memlimit(megabytes))


def config_get(name):
    """Ask for a configuration kept by the service (`cluster`): `str | None`."""
    return adopt(_encoders.config_get(name))


def command(line, *, multiline=False):
    """Send any other command: `list[str]`, its lines. See the pure twin."""
    return adopt(_encoders.command(line, multiline=multiline))


# Meta commands.

cdef struct MetaFlags:
    uint64_t letters  # a bit for each of the letters from A to z
    const char *opaque
    Py_ssize_t opaque_length
    const char *mode
    Py_ssize_t mode_length


cdef inline bint has(const MetaFlags *asked, char letter) noexcept nogil:
    return (asked.letters >> (letter - 64)) & 1


cdef bint scan_flags(bytes flags, MetaFlags *asked) noexcept:
    """Read flag tokens as the pure `read_flags` does; False if it has to complain about them."""
    cdef const char *p = PyBytes_AS_STRING(flags)
    cdef const char *end = p + PyBytes_GET_SIZE(flags)
    cdef const char *token
    asked.letters = 0
    asked.opaque = asked.mode = NULL
    asked.opaque_length = asked.mode_length = 0
    while p < end:
        token = p
        while p < end and <unsigned char>p[0] > 32 and p[0] != 127:
            p += 1
        if p == token or <unsigned char>token[0] > 126 or token[0] == 113:  # q
            return False
        if token[0] >= 64:
            asked.letters |= <uint64_t>1 << (token[0] - 64)
        if token[0] == 79:  # O
            asked.opaque = token + 1
            asked.opaque_length = p - token - 1
        elif token[0] == 77:  # M
            asked.mode = token + 1
            asked.mode_length = p - token - 1
        if p < end and (p[0] != 32 or p + 1 == end):
            return False
        p += 1
    return True


cdef Request meta_request(
    const char *command, bytes key, bytes value, bytes flags, int kind, MetaFlags *asked
):
    """Make a meta request; `value` is None for those without a data block."""
    if not scan_flags(flags, asked):
        read_flags(flags)  # it complains
    cdef Py_ssize_t length = PyBytes_GET_SIZE(flags)
    cdef Py_ssize_t size = 3 + PyBytes_GET_SIZE(key) + (1 + length if length else 0) + 2
    if value is not None:
        size += 1 + width(PyBytes_GET_SIZE(value)) + PyBytes_GET_SIZE(value) + 2
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
    cdef char *p = put_bytes(put(PyBytes_AS_STRING(payload), command, 3), key)
    if value is not None:
        p = put_number(put(p, " ", 1), PyBytes_GET_SIZE(value))
    if length:
        p = put_bytes(put(p, " ", 1), flags)
    p = put_crlf(p)
    if value is not None:
        put_crlf(put_bytes(p, value))
    cdef Request request = make(payload, kind, key, False, "")
    if asked.opaque != NULL:
        request.opaque = PyBytes_FromStringAndSize(asked.opaque, asked.opaque_length)
    if has(asked, 107):  # k
        request.echo |= ECHO_KEY
    if has(asked, 98):  # b
        request.echo |= ECHO_BASE64
    return request


cdef bint is_plain_set(const MetaFlags *asked) noexcept:
    """Tell whether the mode is to set, come what may."""
    if asked.mode_length == 0:
        return True
    if asked.mode_length == 1:
        return asked.mode[0] == 83 or asked.mode[0] == 115  # S, s
    return asked.mode_length == 3 and memcmp(asked.mode, b"set", 3) == 0


def meta_get(bytes key not None, bytes flags not None=b""):
    """Send `mg`: `MetaReply` with `VA`, `HD` or `EN`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("mg ", key, None, flags, META_GET, &asked)
    if has(&asked, 118):  # v
        request.kind = META_VALUE
    request.idempotent = not has(&asked, 78) and not has(&asked, 82)  # N, R
    request.verb = "mg"
    return request


def meta_set(bytes key not None, bytes value not None, bytes flags not None=b""):
    """Send `ms`: `MetaReply` with `HD`, `NS`, `EX` or `NF`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("ms ", key, value, flags, META_SET, &asked)
    request.idempotent = is_plain_set(&asked) and not has(&asked, 67) and not has(&asked, 73)  # C, I
    request.verb = "ms"
    return request


def meta_delete(bytes key not None, bytes flags not None=b""):
    """Send `md`: `MetaReply` with `HD`, `NF` or `EX`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("md ", key, None, flags, META_DELETE, &asked)
    request.idempotent = not has(&asked, 67) and not has(&asked, 73)  # C, I
    request.verb = "md"
    return request


def meta_arithmetic(bytes key not None, bytes flags not None=b""):
    """Send `ma`: `MetaReply` with `VA`, `HD`, `NF`, `NS` or `EX`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("ma ", key, None, flags, META_ARITHMETIC, &asked)
    if has(&asked, 118):  # v
        request.kind = META_NUMBER
    request.verb = "ma"
    return request


def meta_debug(bytes key not None):
    """Send `me`: `MetaReply` with `ME` or `EN`."""
    return adopt(_encoders.meta_debug(key))


def meta_noop():
    """Send `mn`: `MetaReply` with `MN`."""
    return make(b"mn\r\n", META_NOOP, None, True, "mn")


# Batches.

def set_many(items not None, exptime, *, bint meta, bint quiet=True):
    """Store several items `(key, value, flags)`: `BatchReply`. See the pure twin."""
    cdef int64_t expiry = as_exptime(exptime)
    cdef bint silent = meta and quiet
    cdef tuple batch = tuple(items)
    if not batch:
        raise InvalidArgument("set: no items to store")
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, measure_sets(batch, expiry, silent))
    write_sets(PyBytes_AS_STRING(payload), batch, expiry, silent)
    cdef Request request = make(
        payload, QUIET_SETS if silent else SETS, None, True, "ms" if silent else "set"
    )
    request.count = len(batch)
    return request


cdef Py_ssize_t measure_sets(tuple batch, int64_t expiry, bint silent) except -1:
    """Check the items of a batch, and return the bytes it takes."""
    cdef Py_ssize_t size = 4 if silent else 0, index = 0, fixed, length
    cdef uint64_t bits
    cdef object item
    cdef bytes key, value
    if silent:  # "ms ", " ", " q O", two CRLF
        fixed = 12 + (2 + signed_width(expiry) if expiry else 0)
    else:  # "set ", three spaces, two CRLF
        fixed = 11 + signed_width(expiry)
    for item in batch:
        if type(item) is not tuple or len(<tuple>item) != 3:
            raise TypeError("an item must be a tuple of key, value and flags")
        key, value = (<tuple>item)[0], (<tuple>item)[1]
        if key is None or value is None or not isinstance((<tuple>item)[2], int):
            raise TypeError("an item is made of bytes, bytes and an int")
        bits = as_flags((<tuple>item)[2])
        length = PyBytes_GET_SIZE(value)
        size += fixed + PyBytes_GET_SIZE(key) + width(length) + length
        if not silent:
            size += width(bits)
        else:
            size += width(index) + (2 + width(bits) if bits else 0)
        index += 1
    return size


cdef int write_sets(char *p, tuple batch, int64_t expiry, bint silent) except -1:
    """Write what `measure_sets` has checked and measured."""
    cdef Py_ssize_t index = 0
    cdef uint64_t bits
    cdef object item
    cdef bytes key, value
    for item in batch:
        key, value = (<tuple>item)[0], (<tuple>item)[1]
        bits = (<tuple>item)[2]
        p = put_bytes(put(p, "ms ", 3) if silent else put(p, "set ", 4), key)
        if not silent:
            p = put_number(put(p, " ", 1), bits)
            p = put_signed(put(p, " ", 1), expiry)
        p = put_number(put(p, " ", 1), PyBytes_GET_SIZE(value))
        if silent:
            if bits:
                p = put_number(put(p, " F", 2), bits)
            if expiry:
                p = put_signed(put(p, " T", 2), expiry)
            p = put_number(put(p, " q O", 4), index)
        p = put_crlf(put_bytes(put_crlf(p), value))
        index += 1
    if silent:
        put(p, "mn\r\n", 4)
    return 0


def delete_many(keys not None, *, bint meta, bint quiet=True):
    """Delete several items: `BatchReply`, in which `NOT_FOUND` is a failure."""
    cdef tuple batch = tuple(keys)
    cdef bint silent = meta and quiet
    if not batch:
        raise InvalidArgument("delete: no keys to delete")
    check_keys(batch)
    cdef Py_ssize_t size = 4 if silent else 0, index = 0
    cdef bytes key
    for key in batch:
        size += PyBytes_GET_SIZE(key) + (9 + width(index) if silent else 9)
        index += 1
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
    write_deletes(PyBytes_AS_STRING(payload), batch, silent)
    cdef Request request = make(
        payload, QUIET if silent else DELETES, None, True, "md" if silent else "delete"
    )
    request.count = len(batch)
    return request


cdef void write_deletes(char *p, tuple batch, bint silent) noexcept:
    cdef Py_ssize_t index = 0
    cdef bytes key
    for key in batch:
        if silent:
            p = put_bytes(put(p, "md ", 3), key)
            p = put_number(put(p, " q O", 4), index)
        else:
            p = put_bytes(put(p, "delete ", 7), key)
        p = put_crlf(p)
        index += 1
    if silent:
        put(p, "mn\r\n", 4)


def quiet(Request request not None):
    """Make a meta request quiet, and close it by a fence: `BatchReply`. See the pure twin."""
    return adopt(_encoders.quiet(request))
