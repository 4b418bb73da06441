# Numbers checked, measured and written. Part of _speedups.pyx.
#
# What is out of range is handed to the pure checks, which know how to complain.


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
        p[0] = c'0' + <char>(number % 10)
        number //= 10
    (p - 1)[0] = c'0' + <char>number
    return end


cdef inline char *put_signed(char *p, int64_t number) noexcept nogil:
    if number >= 0:
        return put_number(p, <uint64_t>number)
    p[0] = c'-'
    return put_number(p + 1, <uint64_t>-number)


cdef inline char *put_crlf(char *p) noexcept nogil:
    p[0] = c'\r'
    p[1] = c'\n'
    return p + 2
