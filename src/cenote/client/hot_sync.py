# Generated from src/cenote/client/hot_aio.py by tools/unasync.py; do not edit.
"""``get`` and ``set``: the two commands that services live on.

Strategy: what these two need is held here, and each is a straight line for plain values; whatever
is not plain goes on in ``retrieval`` and ``storage``. Both faces have a compiled twin:
``_hot_aio_c.pyx`` and ``_hot_c.pyx``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cenote.client.routed import Key
from cenote.client.ttl import Ttl, exptime
from cenote.client.values import BYTES
from cenote.protocol import STORED, RawItem
from cenote.runtime.sync import Exchange, monotonic

if TYPE_CHECKING:
    from cenote.client import keys
    from cenote.client.values import Serialisation
    from cenote.protocol.encoders import Encoders


class Hot:
    """The state that every command needs, and the commands that must be fast.

    Args:
        encoder: Makes keys fit for the wire.
        serde: Turns values into bytes and back.
        timeout: Seconds an operation may take.
        request: Sends a request by a deadline and returns its reply.
        protocol: Makes the requests.
    """

    def __init__(
        self,
        encoder: keys.KeyEncoder,
        serde: Serialisation,
        timeout: float,
        request: Exchange,
        protocol: Encoders,
    ) -> None:
        self._encoder = encoder
        self._dumps = serde.dumps
        self._loads = serde.loads
        self._verbatim = serde.verbatim
        self._takes_bytes = serde.takes_bytes
        self._timeout = timeout
        self._request = request
        self._protocol = protocol

    def get(self, key: keys.AnyKey, default: object = None) -> object:
        """Return the value of ``key``, or ``default`` if there is none.

        Raises:
            InvalidKey: memcached can not carry the key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        wire = self._encoder.wire(key)
        exchange = self._request if type(key) is not Key else self._at(key)
        item = exchange(self._protocol.get(wire), deadline)
        if item is None:
            return default
        if item[0] and item[1] == self._verbatim:
            return item[0]
        return self._read(item, key, wire, deadline, default)

    def set(
        self, key: keys.AnyKey, value: object, ttl: Ttl = None, *, noreply: bool = False
    ) -> bool:
        """Store a value.

        Args:
            key: The key.
            value: Anything the client's ``serde`` takes.
            ttl: Seconds, a ``timedelta``, or None for never; 0 or less is expired already.
            noreply: Do not wait for the answer, where the server knows the meta commands; True then
                means that the value was sent.

        Returns:
            True, or False for an outage with ``on_error="miss"``.

        Raises:
            InvalidKey: memcached can not carry the key.
            NotSerializable: The value can not be stored.
            InvalidArgument: The TTL is not a time that memcached can count.
            ValueTooLarge: The value is over the server's limit.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        if noreply:
            return self._store("set", key, value, ttl, noreply)
        deadline = monotonic() + self._timeout
        if type(value) is bytes and self._takes_bytes:
            data, flags = value, BYTES
        else:
            data, flags = self._dumps(value)
        expiry = 0 if ttl is None else exptime(ttl, time.time)
        request = self._protocol.store("set", self._encoder.wire(key), data, flags, expiry)
        exchange = self._request if type(key) is not Key else self._at(key)
        return exchange(request, deadline) is STORED

    def _at(self, key: Key) -> Exchange:
        raise NotImplementedError

    def _read(
        self, item: RawItem, key: keys.AnyKey, wire: bytes, deadline: float, default: object
    ) -> object:
        raise NotImplementedError

    def _store(self, verb: str, key: keys.AnyKey, value: object, ttl: Ttl, noreply: bool) -> bool:
        raise NotImplementedError
