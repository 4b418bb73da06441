# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""``get`` and ``set`` for asyncio, compiled: the twin of ``hot_aio.py``, name for name.

Strategy: from the key to what is awaited all is C calling C. Where requests go straight to their
server, the `Lanes` there are called without the bound method between. Docstrings and annotations
are those of the pure twin.
"""

import time

from cenote.client.hot_aio import AsyncHot as PureHot
from cenote.client.routed import Key
from cenote.client.ttl import exptime
from cenote.client.values import BYTES
from cenote.protocol import STORED, binary

from cpython.bytes cimport PyBytes_GET_SIZE

from cenote._clock cimport monotonic
from cenote.cluster._placing cimport Routes
from cenote.node._lane_aio_c cimport Lanes
from cenote.protocol._speedups cimport (
    binary_get,
    binary_store,
    get as get_request,
    store as store_request,
)

cdef object _Key = Key
cdef object _STORED = STORED
cdef object _NEVER = 0
cdef object _PLAIN_FLAGS = BYTES


cdef class AsyncHot:
    __doc__ = PureHot.__doc__

    def __init__(self, encoder, serde, double timeout, request, protocol):
        self._encoder = encoder
        self._dumps = serde.dumps
        self._loads = serde.loads
        self._verbatim = serde.verbatim
        self._takes_bytes = serde.takes_bytes
        self._timeout = timeout
        self._request = request
        self._protocol = protocol
        self._binary = protocol is binary
        way = getattr(request, "__self__", None)
        if type(way) is Crossing and request == way.request:
            self._crossing = way

    async def get(self, key, default=None):
        cdef double deadline = monotonic() + self._timeout
        cdef bytes wire = self._encoder.wire(key)
        cdef tuple item = await self._ask(
            binary_get(wire) if self._binary else get_request(wire), deadline, key
        )
        if item is None:
            return default
        if PyBytes_GET_SIZE(<bytes>item[0]) and item[1] == self._verbatim:
            return item[0]
        return await self._read(item, key, wire, deadline, default)

    async def set(self, key, value, ttl=None, *, noreply=False):
        cdef double deadline
        if noreply:
            return await self._store("set", key, value, ttl, noreply)
        deadline = monotonic() + self._timeout
        if type(value) is bytes and self._takes_bytes:
            data, flags = value, _PLAIN_FLAGS
        else:
            data, flags = self._dumps(value)
        expiry = _NEVER if ttl is None else exptime(ttl, time.time)
        wire = self._encoder.wire(key)
        if self._binary:
            request = binary_store("set", wire, data, flags, expiry)
        else:
            request = store_request("set", wire, data, flags, expiry)
        return await self._ask(request, deadline, key) is _STORED

    cdef object _ask(self, Request request, double deadline, object key):
        cdef Routes routes
        cdef Py_ssize_t number
        if type(key) is _Key:
            return self._at(key)(request, deadline)
        if self._crossing is not None:
            routes = self._crossing.routes
            number = routes.number(request)
            way = routes.ways[number]
            if type(way) is Lanes:
                return (<Lanes>way).request(request, deadline)
            return (routes.requests[number])(request, deadline)
        return self._request(request, deadline)


for _name in ("get", "set"):
    vars(AsyncHot)[_name].__doc__ = vars(PureHot)[_name].__doc__
    vars(AsyncHot)[_name].__annotations__ = vars(PureHot)[_name].__annotations__
