# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""From a key to the number of the server that has it, compiled: the twin of `_placing_native.py`.

The strategy is written there; names and placement are the same. What is different here: hashes run
in C over the key's own bytes, and what depends on the servers alone lies packed in bytes objects.
"""

from array import array

from cenote.cluster.close_call import CLOSE, heavier

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport log
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cenote.protocol._speedups cimport Request

include "_hashes.pxi"

cdef double MARGIN = CLOSE

cdef enum:
    NAME_ON_STACK = 512

IMPLEMENTATION = "speedups"

make_crc_table()


def one_at_a_time(bytes key not None):
    """Bob Jenkins's one-at-a-time hash, over signed bytes as libmemcached has it on x86."""
    return hash_one_at_a_time(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))


ctypedef uint32_t (*KeyHash)(const uint8_t *, size_t)


cdef uint32_t hash_md5_low(const uint8_t *key, size_t size) noexcept:
    cdef uint8_t digest[16]
    hash_md5(key, size, digest)
    return le32(digest)


cdef uint32_t hash_crc_middle(const uint8_t *key, size_t size) noexcept:
    return (hash_crc32(key, size) >> 16) & 0x7FFF


cdef KeyHash key_hash(str name) except NULL:
    if name == "one-at-a-time":
        return hash_one_at_a_time
    if name == "md5":
        return hash_md5_low
    if name == "crc-middle":
        return hash_crc_middle
    if name == "crc32":
        return hash_crc32
    raise KeyError(name)


cdef bytes packed(str kind, numbers):
    return array(kind, numbers).tobytes()


cdef class Placer:
    """Says which of several servers has a key; see `_placing_native.Placer`."""

    def __init__(self, Py_ssize_t count):
        self.count = count
        self.skip = 0

    cpdef Py_ssize_t place(self, bytes key) except -1:
        """Return the number of the server that has `key`."""
        cdef Py_ssize_t size, skip
        if key is None:
            raise TypeError("a key is bytes, not None")
        size = PyBytes_GET_SIZE(key)
        skip = self.skip if self.skip <= size else size
        return self.find(<const uint8_t *>PyBytes_AS_STRING(key) + skip, size - skip)

    cpdef list spread(self, keys):
        """Return, for every server, the positions in `keys` of those that it has."""
        cdef list positions = [[] for _ in range(self.count)]
        cdef Py_ssize_t position = 0
        for key in keys:
            (<list>positions[self.place(key)]).append(position)
            position += 1
        return positions

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        raise NotImplementedError


cdef class Modula(Placer):
    """The hash modulo the number of buckets; see the twin."""

    cdef KeyHash hash
    cdef bytes owners
    cdef Py_ssize_t size

    def __init__(self, Py_ssize_t count, str hash_name not None, owners):
        Placer.__init__(self, count)
        self.hash = key_hash(hash_name)
        self.owners = packed("i", owners)
        self.size = len(owners)

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        return (<const int *>PyBytes_AS_STRING(self.owners))[self.hash(text, size) % self.size]


cdef class Ring(Placer):
    """Points on a circle of 32 bits, each of a server; see the twin."""

    cdef KeyHash hash
    cdef bytes points
    cdef bytes owners
    cdef Py_ssize_t size
    cdef bint before

    def __init__(self, Py_ssize_t count, str hash_name not None, points, owners, *, before=False):
        Placer.__init__(self, count)
        self.hash = key_hash(hash_name)
        self.points = packed("I", points)
        self.owners = packed("i", owners)
        self.size = len(owners)
        self.before = before

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef uint32_t number = self.hash(text, size)
        cdef const uint32_t *points = <const uint32_t *>PyBytes_AS_STRING(self.points)
        cdef Py_ssize_t low = 0, high = self.size, middle
        while low < high:
            middle = (low + high) >> 1
            if points[middle] < number or (self.before and points[middle] == number):
                low = middle + 1
            else:
                high = middle
        if self.before:
            low = (low if low else self.size) - 1
        elif low == self.size:
            low = 0
        return (<const int *>PyBytes_AS_STRING(self.owners))[low]


cdef class WideRing(Placer):
    """Points on a circle of 128 bits; see the twin."""

    cdef bytes points
    cdef bytes owners
    cdef Py_ssize_t size

    def __init__(self, Py_ssize_t count, points, owners):
        Placer.__init__(self, count)
        self.points = packed("Q", [half for p in points for half in (p >> 64, p & (2**64 - 1))])
        self.owners = packed("i", owners)
        self.size = len(owners)

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef uint8_t digest[16]
        cdef uint64_t upper, lower
        cdef const uint64_t *points = <const uint64_t *>PyBytes_AS_STRING(self.points)
        cdef Py_ssize_t low = 0, high = self.size, middle
        hash_md5(text, size, digest)
        upper, lower = be64(digest), be64(digest + 8)
        while low < high:
            middle = (low + high) >> 1
            if points[2 * middle] > upper or (
                points[2 * middle] == upper and points[2 * middle + 1] > lower
            ):
                high = middle
            else:
                low = middle + 1
        if low == self.size:
            low = 0
        return (<const int *>PyBytes_AS_STRING(self.owners))[low]


cdef class Rendezvous(Placer):
    """Highest random weight; see the twin."""

    cdef bytes seeds
    cdef bytes owners
    cdef bytes weights

    def __init__(self, names, weights=None):
        Placer.__init__(self, len(names))
        by_name = sorted(range(len(names)), key=names.__getitem__)
        self.seeds = packed("Q", [
            hash_murmur64(<const uint8_t *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            for name in [names[number] for number in by_name]
        ])
        self.owners = packed("i", by_name)
        self.weights = None if weights is None else packed("d", [weights[n] for n in by_name])

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef uint64_t hashed = hash_murmur64(text, size)
        cdef Py_ssize_t best
        if self.weights is None:
            best = self.highest(hashed)
        else:
            best = self.heaviest(hashed)
        return (<const int *>PyBytes_AS_STRING(self.owners))[best]

    cdef Py_ssize_t highest(self, uint64_t hashed) noexcept:
        cdef const uint64_t *seeds = <const uint64_t *>PyBytes_AS_STRING(self.seeds)
        cdef uint64_t draw, high = 0
        cdef Py_ssize_t index, best = 0
        for index in range(self.count):
            draw = fmix64(hashed ^ seeds[index])
            if draw >= high:
                high, best = draw, index
        return best

    cdef Py_ssize_t heaviest(self, uint64_t hashed) except -1:
        cdef const uint64_t *seeds = <const uint64_t *>PyBytes_AS_STRING(self.seeds)
        cdef const double *weights = <const double *>PyBytes_AS_STRING(self.weights)
        cdef double score, high = 0.0
        cdef uint64_t draw, best_draw = 0
        cdef Py_ssize_t index, best = 0
        for index in range(self.count):
            draw = fmix64(hashed ^ seeds[index])
            score = weights[index] / -log((<double>(draw >> 12) + 0.5) * 2.0**-52)
            if index and score <= high * (1 + MARGIN) and (
                score < high * (1 - MARGIN)
                or heavier(weights[best], best_draw, weights[index], draw)
            ):
                continue
            high, best, best_draw = score, index, draw
        return best


cdef class PymemcacheRendezvous(Placer):
    """pymemcache's rendezvous; see the twin."""

    cdef bytes owners
    cdef bytes states
    cdef bytes tails
    cdef bytes sizes

    def __init__(self, names):
        Placer.__init__(self, len(names))
        by_name = sorted(range(len(names)), key=names.__getitem__)
        self.owners = packed("i", by_name)
        starts = [low_bytes(f"{names[number]}-".encode()) for number in by_name]
        states, tails, sizes = [], [], []
        for start in starts:
            state = 0
            for at in range(0, len(start) & ~3, 4):
                state = murmur32_word(state, int.from_bytes(start[at : at + 4], "little"))
            states.append(state)
            tails.append(int.from_bytes(start[len(start) & ~3 :], "little"))
            sizes.append(len(start))
        self.states, self.tails = packed("I", states), packed("I", tails)
        self.sizes = packed("I", sizes)

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef Py_ssize_t at
        cdef bytes low
        for at in range(size):
            if text[at] >= 0x80:
                low = low_bytes((<const char *>text)[:size])
                return self.draw(<const uint8_t *>PyBytes_AS_STRING(low), PyBytes_GET_SIZE(low))
        return self.draw(text, size)

    cdef Py_ssize_t draw(self, const uint8_t *text, Py_ssize_t size) noexcept:
        cdef const uint32_t *states = <const uint32_t *>PyBytes_AS_STRING(self.states)
        cdef const uint32_t *tails = <const uint32_t *>PyBytes_AS_STRING(self.tails)
        cdef const uint32_t *sizes = <const uint32_t *>PyBytes_AS_STRING(self.sizes)
        cdef uint32_t draw, high = 0, start
        cdef Py_ssize_t index, best = 0
        for index in range(self.count):
            start = sizes[index]
            draw = murmur32_on(
                states[index], tails[index], start & 3, text, size, start + <uint32_t>size
            )
            if draw >= high:
                high, best = draw, index
        return (<const int *>PyBytes_AS_STRING(self.owners))[best]


cdef bytes low_bytes(bytes key):
    """The low byte of each character of a key: what pymemcache hashes."""
    if key.isascii():
        return key
    return bytes([ord(character) & 0xFF for character in key.decode("utf-8", "surrogateescape")])


cdef class EmcacheRendezvous(Placer):
    """emcache's rendezvous, its bug included; see the twin."""

    cdef tuple names
    cdef bytes ranks

    def __init__(self, names):
        Placer.__init__(self, len(names))
        self.names = tuple(names)
        self.ranks = packed("I", [
            score_of(hash_murmur64(<const uint8_t *>PyBytes_AS_STRING(n), PyBytes_GET_SIZE(n)))
            for n in self.names
        ])

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef const uint32_t *ranks = <const uint32_t *>PyBytes_AS_STRING(self.ranks)
        cdef cenote_murmur begun
        cdef uint32_t score, high = 0
        cdef size_t taken
        cdef Py_ssize_t index, best = 0
        begun.h1 = begun.h2 = 0
        taken = murmur_blocks(&begun, text, size)
        for index in range(self.count):
            score = self.score(begun, text + taken, size - taken, <bytes>self.names[index], size)
            if index and (score < high or (score == high and ranks[index] <= ranks[best])):
                continue
            high, best = score, index
        return best

    cdef uint32_t score(
        self, cenote_murmur begun, const uint8_t *rest, size_t left, bytes name, Py_ssize_t size
    ) except? 0:
        """The score of a key, all but the `left` last bytes of which are in `begun`, and a name."""
        cdef uint8_t buffer[16 + NAME_ON_STACK + 16]
        cdef uint8_t *end = buffer
        cdef size_t length = PyBytes_GET_SIZE(name), taken
        cdef bytes both
        if length <= <size_t>NAME_ON_STACK:
            memcpy(buffer, rest, left)
            memcpy(buffer + left, PyBytes_AS_STRING(name), length)
            memset(buffer + left + length, 0, 16)
        else:
            both = (<const char *>rest)[:left] + name + bytes(16)
            end = <uint8_t *>PyBytes_AS_STRING(both)
        taken = murmur_blocks(&begun, end, left + length)
        return score_of(murmur_end(begun, end + taken, size + length))


cdef class Custom(Placer):
    """A router of the user's; see the twin."""

    cdef object choose
    cdef object refusal

    def __init__(self, choose, Py_ssize_t count, refusal):
        Placer.__init__(self, count)
        self.choose = choose
        self.refusal = refusal

    cdef Py_ssize_t find(self, const uint8_t *text, Py_ssize_t size) except -1:
        cdef bytes key = (<const char *>text)[:size]
        number = self.choose(key)
        if type(number) is not int or not 0 <= number < self.count:
            raise self.refusal(key, number)
        return number


cdef class Routes:
    """How every server of one topology is asked; see the twin.

    `ways` are what their requests are methods of, for whoever can call that without the bound
    method between.
    """

    def __init__(self, Placer placer, requests):
        self.placer = placer
        self.requests = tuple(requests)
        self.ways = tuple([getattr(request, "__self__", None) for request in self.requests])

    cdef Py_ssize_t number(self, Request request) except -1:
        """The number of the server that has the key of `request`."""
        return 0 if self.placer is None else self.placer.place(request.key)


cdef class Crossing:
    """Hands each request on to the server that has its key; see the twin.

    Threads read `routes` while another replaces them: each takes a reference of its own.
    """

    def __init__(self, Routes routes not None):
        self.routes = routes

    def request(self, Request request not None, deadline):
        """Send a request to the server that has its key; what that returns."""
        cdef Routes routes = self.routes
        return (routes.requests[routes.number(request)])(request, deadline)
