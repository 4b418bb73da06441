# Encoders of the binary protocol. Part of _speedups.pyx; the rules are those of _binary_encoders.py,
# and what is rare is made there.

cdef extern from *:
    """
    #include <stdint.h>
    static uint32_t cenote_numbers = 0;
    static inline uint32_t cenote_opaque(void) {
        /* Even numbers: the pure twin, which makes the rarer requests, has the odd ones. */
        return __atomic_fetch_add(&cenote_numbers, 2, __ATOMIC_RELAXED) * 0x9E3779B1u;
    }
    """
    uint32_t cenote_numbers
    uint32_t next_opaque "cenote_opaque"() noexcept nogil

cenote_numbers = 2 * _SystemRandom().getrandbits(31)

cdef enum:
    HEADER_SIZE = 24
    ASKS = 0x80
    ANSWERS = 0x81
    OP_SET = 0x01
    OP_DELETE = 0x04
    OP_NOOP = 0x0A
    OP_GETK = 0x0C
    OP_GETKQ = 0x0D
    OP_APPEND = 0x0E
    OP_PREPEND = 0x0F
    OP_SETQ = 0x11
    OP_DELETEQ = 0x14
    OP_TOUCH = 0x1C
    OP_GATK = 0x23
    OP_GATKQ = 0x24
    PAST = 30 * 24 * 60 * 60 + 1  # a moment in 1970

cdef uint64_t NEVER_ISSUED = UINT64_MAX

cdef dict STORE_OPCODES = frames.STORE_OPCODES


# Numbers in network order.

cdef inline char *put_u16(char *p, uint32_t number) noexcept nogil:
    p[0] = <char>(number >> 8)
    p[1] = <char>number
    return p + 2


cdef inline char *put_u32(char *p, uint32_t number) noexcept nogil:
    return put_u16(put_u16(p, number >> 16), number)


cdef inline char *put_u64(char *p, uint64_t number) noexcept nogil:
    return put_u32(put_u32(p, <uint32_t>(number >> 32)), <uint32_t>number)


cdef inline uint32_t get_u16(const char *p) noexcept nogil:
    return (<uint32_t><unsigned char>p[0] << 8) | <unsigned char>p[1]


cdef inline uint32_t get_u32(const char *p) noexcept nogil:
    return (get_u16(p) << 16) | get_u16(p + 2)


cdef inline uint64_t get_u64(const char *p) noexcept nogil:
    return (<uint64_t>get_u32(p) << 32) | get_u32(p + 4)


cdef inline uint32_t as_expiry(object exptime) except? 0xFFFFFFFF:
    """Check an expiry; as the protocol has it, unsigned: what has passed is a moment."""
    cdef int64_t checked = as_exptime(exptime)
    return <uint32_t>checked if checked >= 0 else PAST


# Frames.

cdef inline char *put_header(
    char *p, int opcode, Py_ssize_t key, int extras, Py_ssize_t value, uint32_t opaque, uint64_t cas
) noexcept nogil:
    p[0] = <char>ASKS
    p[1] = <char>opcode
    put_u16(p + 2, <uint32_t>key)
    p[4] = <char>extras
    p[5] = p[6] = p[7] = 0
    put_u32(p + 8, <uint32_t>(extras + key + value))
    put_u32(p + 12, opaque)
    return put_u64(p + 16, cas)


cdef int check_key(bytes key) except -1:
    """Refuse a key whose length does not fit its field."""
    if PyBytes_GET_SIZE(key) > 0xFFFF:
        raise InvalidArgument("a key must be shorter than 64 KB")
    return 0


cdef Request frame_of(
    int opcode, bytes key, const char *extras, int size, bytes value, uint64_t cas, int kind,
    bint idempotent, str verb
):
    """Make a request of one frame; `extras` are copied, `value` may be None."""
    cdef Py_ssize_t length = 0 if value is None else PyBytes_GET_SIZE(value)
    check_key(key)
    cdef bytes payload = PyBytes_FromStringAndSize(
        NULL, HEADER_SIZE + size + PyBytes_GET_SIZE(key) + length
    )
    cdef char *p = put_header(
        PyBytes_AS_STRING(payload), opcode, PyBytes_GET_SIZE(key), size, length, next_opaque(), cas
    )
    p = put_bytes(put(p, extras, size), key)
    if length:
        put_bytes(p, value)
    return make(payload, kind, key, idempotent, verb)


# Retrieval.

cpdef Request binary_get(bytes key):
    """Ask for one item: `RawItem | None`."""
    if key is None:
        raise TypeError("get takes a key of bytes, not None")
    return frame_of(OP_GETK, key, "", 0, None, 0, FRAME_GET, True, "get")


def binary_gets(bytes key not None):
    """Ask for one item with its cas: `RawItem | None`."""
    return frame_of(OP_GETK, key, "", 0, None, 0, FRAME_GETS, True, "gets")


def binary_gat(bytes key not None, exptime):
    """Ask for one item and give it a new expiry: `RawItem | None`."""
    cdef char[4] extras
    put_u32(extras, as_expiry(exptime))
    return frame_of(OP_GATK, key, extras, 4, None, 0, FRAME_GET, True, "gat")


def binary_gats(bytes key not None, exptime):
    """Ask for one item with its cas and give it a new expiry: `RawItem | None`."""
    cdef char[4] extras
    put_u32(extras, as_expiry(exptime))
    return frame_of(OP_GATK, key, extras, 4, None, 0, FRAME_GETS, True, "gats")


def binary_get_many(keys):
    """Ask for several items: `dict[bytes, RawItem]` of those that exist."""
    return retrieve_run("get", OP_GETKQ, keys, 0, 0, FRAME_GET_MANY)


def binary_gets_many(keys):
    """Ask for several items with their cas: `dict[bytes, RawItem]` of those that exist."""
    return retrieve_run("gets", OP_GETKQ, keys, 0, 0, FRAME_GETS_MANY)


def binary_gat_many(keys, exptime):
    """Ask for several items and give them a new expiry: `dict[bytes, RawItem]`."""
    return retrieve_run("gat", OP_GATKQ, keys, 4, as_expiry(exptime), FRAME_GET_MANY)


def binary_gats_many(keys, exptime):
    """Ask for several items with their cas and give them a new expiry: `dict[bytes, RawItem]`."""
    return retrieve_run("gats", OP_GATKQ, keys, 4, as_expiry(exptime), FRAME_GETS_MANY)


cdef Request retrieve_run(str verb, int opcode, object many, int size, uint32_t expiry, int kind):
    cdef tuple keys = tuple(many)
    if not keys:
        raise InvalidArgument(f"{verb}: no keys to ask for")
    cdef Request request = make(keys_run(opcode, keys, size, expiry), kind, None, True, verb)
    request.keys = keys
    request.count = len(keys)
    return request


cdef bytes keys_run(int opcode, tuple keys, int size, uint32_t expiry):
    """Return a frame for each key, with the expiry as extras if they have a size, and the fence."""
    cdef Py_ssize_t total = HEADER_SIZE * (len(keys) + 1) + size * len(keys)
    cdef uint32_t opaque = next_opaque()
    cdef bytes key, payload
    cdef char *p
    check_keys(keys)
    for key in keys:
        check_key(key)
        total += PyBytes_GET_SIZE(key)
    payload = PyBytes_FromStringAndSize(NULL, total)
    p = PyBytes_AS_STRING(payload)
    for key in keys:
        p = put_header(p, opcode, PyBytes_GET_SIZE(key), size, 0, opaque, 0)
        if size:
            p = put_u32(p, expiry)
        p = put_bytes(p, key)
        opaque += 1
    put_header(p, OP_NOOP, 0, 0, 0, opaque, 0)
    return payload


# Storage.

cpdef Request binary_store(str verb, bytes key, bytes value, flags, exptime):
    """Store an item by `set`, `add`, `replace`, `append` or `prepend`: `Status`."""
    cdef char[8] extras
    cdef int opcode
    if verb is None or key is None or value is None:
        raise TypeError("store takes a verb, and a key and a value of bytes, not None")
    known = STORE_OPCODES.get(verb)
    if known is None:
        return adopt(_binary_encoders.store(verb, key, value, flags, exptime))  # it refuses
    opcode = known
    put_u32(put_u32(extras, <uint32_t>as_flags(flags)), as_expiry(exptime))
    return frame_of(
        opcode, key, extras, 0 if opcode == OP_APPEND or opcode == OP_PREPEND else 8, value, 0,
        FRAME_STATUS, opcode == OP_SET, verb,
    )


def binary_cas(bytes key not None, bytes value not None, flags, exptime, token):
    """Store an item if its cas is still `token`: `Status`. See the pure twin."""
    cdef char[8] extras
    cdef uint64_t unique = as_u64("token", token)
    put_u32(put_u32(extras, <uint32_t>as_flags(flags)), as_expiry(exptime))
    return frame_of(
        OP_SET, key, extras, 8, value, unique if unique else NEVER_ISSUED, FRAME_CAS, False, "cas"
    )


# Other commands about one key.

def binary_delete(bytes key not None):
    """Delete an item: `DELETED` or `NOT_FOUND`."""
    return frame_of(OP_DELETE, key, "", 0, None, 0, FRAME_STATUS, True, "delete")


def binary_touch(bytes key not None, exptime):
    """Give an item a new expiry: `TOUCHED` or `NOT_FOUND`."""
    cdef char[4] extras
    put_u32(extras, as_expiry(exptime))
    return frame_of(OP_TOUCH, key, extras, 4, None, 0, FRAME_STATUS, True, "touch")


def binary_incr(bytes key not None, delta, initial=None, exptime=0):
    """Add to a number: its new value, or None if there is no such item. See the pure twin."""
    return adopt(_binary_encoders.incr(key, delta, initial, exptime))


def binary_decr(bytes key not None, delta, initial=None, exptime=0):
    """Subtract from a number, down to 0; otherwise as `incr`."""
    return adopt(_binary_encoders.decr(key, delta, initial, exptime))


# Commands about the server, and authentication.

def binary_flush_all(delay=0):
    """Forget every item, now or `delay` seconds from now: `OK`."""
    return adopt(_binary_encoders.flush_all(delay))


def binary_version():
    """Ask for the server's version: `str`."""
    return adopt(_binary_encoders.version())


def binary_noop():
    """Make a round trip: `OK`."""
    return adopt(_binary_encoders.noop())


def binary_stats(*args):
    """Ask for statistics: `dict[str, str]`, empty for `reset` and the like."""
    return adopt(_binary_encoders.stats(*args))


def binary_sasl_mechanisms():
    """Ask which SASL mechanisms there are: `str`, their names between spaces."""
    return adopt(_binary_encoders.sasl_mechanisms())


def binary_sasl_auth(mechanism, data):
    """Begin to authenticate: `SaslReply`."""
    return adopt(_binary_encoders.sasl_auth(mechanism, data))


def binary_sasl_step(mechanism, data):
    """Go on with it: `SaslReply`."""
    return adopt(_binary_encoders.sasl_step(mechanism, data))


# Batches.

def binary_set_many(items not None, exptime, *, bint meta=False, bint quiet=True):
    """Store several items `(key, value, flags)`: `BatchReply`. See the pure twin."""
    cdef uint32_t expiry = as_expiry(exptime)
    cdef tuple batch = tuple(items)
    if not batch:
        raise InvalidArgument("set: no items to store")
    cdef Request request = make(sets_run(batch, expiry), FRAME_QUIET, None, True, "set")
    request.count = len(batch)
    return request


cdef bytes sets_run(tuple batch, uint32_t expiry):
    """Return a frame for each item of a batch, and the fence."""
    cdef uint32_t opaque = next_opaque()
    cdef bytes key, value
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, measure_frames(batch))
    cdef char *p = PyBytes_AS_STRING(payload)
    for item in batch:
        key, value = (<tuple>item)[0], (<tuple>item)[1]
        p = put_header(
            p, OP_SETQ, PyBytes_GET_SIZE(key), 8, PyBytes_GET_SIZE(value), opaque, 0
        )
        p = put_u32(put_u32(p, <uint32_t>(<uint64_t>(<tuple>item)[2])), expiry)
        p = put_bytes(put_bytes(p, key), value)
        opaque += 1
    put_header(p, OP_NOOP, 0, 0, 0, opaque, 0)
    return payload


cdef Py_ssize_t measure_frames(tuple batch) except -1:
    """Check the items of a batch, and return the bytes that their frames and the fence take."""
    cdef Py_ssize_t size = HEADER_SIZE + (HEADER_SIZE + 8) * len(batch)
    measure_sets(batch, 0, True)  # it checks their types and flags
    for item in batch:
        check_key((<tuple>item)[0])
        size += PyBytes_GET_SIZE(<bytes>(<tuple>item)[0]) + PyBytes_GET_SIZE(
            <bytes>(<tuple>item)[1]
        )
    return size


def binary_delete_many(keys not None, *, bint meta=False, bint quiet=True):
    """Delete several items: `BatchReply`, in which `NOT_FOUND` is a failure. See the pure twin."""
    cdef tuple batch = tuple(keys)
    if not batch:
        raise InvalidArgument("delete: no keys to delete")
    cdef Request request = make(
        keys_run(OP_DELETEQ, batch, 0, 0), FRAME_QUIET, None, True, "delete"
    )
    request.count = len(batch)
    return request


def binary_quiet(Request request not None):
    """Make a request that writes quiet, and close it by a fence: `BatchReply`."""
    return adopt(_binary_encoders.quiet(request))
