# Encoders of classic commands. Part of _speedups.pyx.
#
# Each computes the size of its request, allocates it once, and writes it from left to right.


# Retrieval.

cdef inline bytes key_line(const char *command, Py_ssize_t length, bytes key):
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, length + PyBytes_GET_SIZE(key) + 2)
    put_crlf(put_bytes(put(PyBytes_AS_STRING(payload), command, length), key))
    return payload


cpdef Request get(bytes key):
    """Ask for one item: `RawItem | None`."""
    if key is None:  # a typed argument may be, in a function that C can call
        raise TypeError("get takes a key of bytes, not None")
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


cpdef Request store(str verb, bytes key, bytes value, flags, exptime):
    """Store an item by `set`, `add`, `replace`, `append` or `prepend`: `Status`."""
    if verb is None or key is None or value is None:
        raise TypeError("store takes a verb, and a key and a value of bytes, not None")
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
