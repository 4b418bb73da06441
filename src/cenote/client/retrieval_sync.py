# Generated from src/cenote/client/retrieval_aio.py by tools/unasync.py; do not edit.
"""Reading: the kin of ``get``, one value or many in one round trip.

Strategy: an item with neither bytes nor flags may be a lease that ``get_or_compute`` has put there,
so it is looked at a second time; nothing else pays.
"""

from __future__ import annotations

from collections.abc import Iterable

from cenote import protocol
from cenote.client.base_sync import Base
from cenote.client.keys import AnyKey, Key, listed
from cenote.client.outcome import Item
from cenote.client.ttl import Ttl
from cenote.errors import UnreadableValue
from cenote.protocol import TOUCHED, RawItem, Request
from cenote.runtime.sync import monotonic


class Retrieval(Base):
    """The commands that read values or change how long they live."""

    def gets(self, key: Key) -> Item | None:
        """Return the value of ``key`` with its cas token and flags, or None if there is none.

        Raises:
            InvalidKey: memcached can not carry the key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        wire = self._wire(key)
        item: RawItem | None = self._request(protocol.gets(wire), deadline)
        if item is None:
            return None
        value, flags, cas = item
        if not (value or flags) and self._is_lease(wire, deadline):
            return None
        try:
            return Item(value=self._loads(value, flags), cas=cas, flags=flags)
        except UnreadableValue as error:
            self._skip(error, flags, key)
            return None

    def gat(self, key: Key, ttl: Ttl, default: object = None) -> object:
        """Return the value of ``key`` and give it a new time to live.

        Args:
            key: The key.
            ttl: Seconds, a ``timedelta``, or None for never.
            default: What to return if there is no value.

        Raises:
            InvalidKey: memcached can not carry the key.
            InvalidArgument: The TTL is not a time that memcached can count.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        wire = self._wire(key)
        request = protocol.gat(wire, self._exptime(ttl))
        item: RawItem | None = self._request(request, deadline)
        if item is None:
            return default
        return self._read(item, key, wire, deadline, default)

    def touch(self, key: Key, ttl: Ttl) -> bool:
        """Give ``key`` a new time to live; False if there is no such key.

        Args:
            key: The key.
            ttl: Seconds, a ``timedelta``, or None for never.

        Raises:
            InvalidKey: memcached can not carry the key.
            InvalidArgument: The TTL is not a time that memcached can count.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        request = protocol.touch(self._wire(key), self._exptime(ttl))
        reply: object = self._request(request, monotonic() + self._timeout)
        return reply is TOUCHED

    def get_many(self, keys: Iterable[AnyKey]) -> dict[AnyKey, object]:
        """Return the values that exist, by their keys as given, in one round trip.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = listed(keys)
        if not names:
            return {}
        wires = self._wires(names)
        return self._many(names, wires, protocol.get_many(wires), deadline)

    def gat_many(self, keys: Iterable[AnyKey], ttl: Ttl) -> dict[AnyKey, object]:
        """Return the values that exist and give them a new time to live, in one round trip.

        Args:
            keys: The keys.
            ttl: Seconds, a ``timedelta``, or None for never.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key, or the TTL not a time memcached can count.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = listed(keys)
        expiry = self._exptime(ttl)
        if not names:
            return {}
        wires = self._wires(names)
        return self._many(names, wires, protocol.gat_many(wires, expiry), deadline)

    def _many(
        self, names: list[AnyKey], wires: list[bytes], request: Request, deadline: float
    ) -> dict[AnyKey, object]:
        found: dict[bytes, RawItem] | None = self._request(request, deadline)
        if not found:
            return {}
        find, loads, verbatim = found.get, self._loads, self._verbatim
        values: dict[AnyKey, object] = {}
        for name, wire in zip(names, wires, strict=True):
            item = find(wire)
            if item is None:
                continue
            value, flags, _ = item
            if value and flags == verbatim:
                values[name] = value
            elif value or flags or not self._is_lease(wire, deadline):
                try:
                    values[name] = loads(value, flags)
                except UnreadableValue as error:
                    self._skip(error, flags, name)
        return values

    def _read(
        self, item: RawItem, key: Key, wire: bytes, deadline: float, default: object
    ) -> object:
        """Return the value of an item, or ``default`` if it is none that can be read."""
        value, flags, _ = item
        if not (value or flags) and self._is_lease(wire, deadline):
            return default
        try:
            return self._loads(value, flags)
        except UnreadableValue as error:
            self._skip(error, flags, key)
            return default
