# Encoders of meta commands and of batches. Part of _speedups.pyx.


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
        if p == token or <unsigned char>token[0] > 126 or token[0] == c'q':
            return False
        if token[0] >= 64:
            asked.letters |= <uint64_t>1 << (token[0] - 64)
        if token[0] == c'O':
            asked.opaque = token + 1
            asked.opaque_length = p - token - 1
        elif token[0] == c'M':
            asked.mode = token + 1
            asked.mode_length = p - token - 1
        if p < end and (p[0] != c' ' or p + 1 == end):
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
    if has(asked, c'k'):
        request.echo |= ECHO_KEY
    if has(asked, c'b'):
        request.echo |= ECHO_BASE64
    return request


cdef bint is_plain_set(const MetaFlags *asked) noexcept:
    """Tell whether the mode is to set, come what may."""
    if asked.mode_length == 0:
        return True
    if asked.mode_length == 1:
        return asked.mode[0] == c'S' or asked.mode[0] == c's'
    return asked.mode_length == 3 and memcmp(asked.mode, b"set", 3) == 0


cdef bint is_conditional(const MetaFlags *asked) noexcept:
    """Tell whether the outcome depends on the item's cas, or changes it for those who wait."""
    return has(asked, c'C') or has(asked, c'I')


def meta_get(bytes key not None, bytes flags not None=b""):
    """Send `mg`: `MetaReply` with `VA`, `HD` or `EN`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("mg ", key, None, flags, META_GET, &asked)
    if has(&asked, c'v'):
        request.kind = META_VALUE
    request.idempotent = not has(&asked, c'N') and not has(&asked, c'R')
    request.verb = "mg"
    return request


def meta_set(bytes key not None, bytes value not None, bytes flags not None=b""):
    """Send `ms`: `MetaReply` with `HD`, `NS`, `EX` or `NF`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("ms ", key, value, flags, META_SET, &asked)
    request.idempotent = is_plain_set(&asked) and not is_conditional(&asked)
    request.verb = "ms"
    return request


def meta_delete(bytes key not None, bytes flags not None=b""):
    """Send `md`: `MetaReply` with `HD`, `NF` or `EX`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("md ", key, None, flags, META_DELETE, &asked)
    request.idempotent = not is_conditional(&asked)
    request.verb = "md"
    return request


def meta_arithmetic(bytes key not None, bytes flags not None=b""):
    """Send `ma`: `MetaReply` with `VA`, `HD`, `NF`, `NS` or `EX`."""
    cdef MetaFlags asked
    cdef Request request = meta_request("ma ", key, None, flags, META_ARITHMETIC, &asked)
    if has(&asked, c'v'):
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
    cdef uint64_t bits = 0
    cdef object item, known = batch  # the flags looked at last: they tend to be alike
    cdef bytes key, value
    if silent:  # "ms ", " ", " q O", two CRLF
        fixed = 12 + (2 + signed_width(expiry) if expiry else 0)
    else:  # "set ", three spaces, two CRLF
        fixed = 11 + signed_width(expiry)
    for item in batch:
        if type(item) is not tuple or len(<tuple>item) != 3:
            raise TypeError("an item must be a tuple of key, value and flags")
        key, value = (<tuple>item)[0], (<tuple>item)[1]
        if key is None or value is None:
            raise TypeError("an item is made of bytes, bytes and an int")
        if (<tuple>item)[2] is not known:
            known = (<tuple>item)[2]
            if not isinstance(known, int):
                raise TypeError("an item is made of bytes, bytes and an int")
            bits = as_flags(known)
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
