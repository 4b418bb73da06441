"""Reading: the kin of ``get``, one value or many in one round trip.

Strategy: an item with neither bytes nor flags may be a lease that ``get_or_compute`` has put there,
so it is looked at a second time; nothing else pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from cenote.client.keys import AnyKey, K, listed
from cenote.client.outcome import Item
from cenote.client.several_aio import AsyncSeveral, failures_of
from cenote.client.ttl import Ttl
from cenote.errors import UnreadableValue
from cenote.protocol import TOUCHED, RawItem, Request
from cenote.runtime.aio import monotonic, together


class AsyncRetrieval(AsyncSeveral):
    """The commands that read values or change how long they live."""

    async def gets(self, key: AnyKey) -> Item | None:
        """Return the value of ``key`` with its cas token and flags, or None if there is none.

        Raises:
            InvalidKey: memcached can not carry the key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        wire = self._wire(key)
        item: RawItem | None = await self._at(key)(self._protocol.gets(wire), deadline)
        if item is None:
            return None
        if not (item[0] or item[1]):
            item = await self._second_look(item, key, wire, deadline)
            if item is None:
                return None
        value, flags, cas = item
        try:
            return Item(value=self._loads(value, flags), cas=cas, flags=flags)
        except UnreadableValue as error:
            self._skip(error, flags, key)
            return None

    async def gat(self, key: AnyKey, ttl: Ttl, default: object = None) -> object:
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
        request = self._protocol.gat(wire, self._exptime(ttl))
        item: RawItem | None = await self._at(key)(request, deadline)
        if item is None:
            return default
        return await self._read(item, key, wire, deadline, default)

    async def touch(self, key: AnyKey, ttl: Ttl) -> bool:
        """Give ``key`` a new time to live; False if there is no such key.

        Args:
            key: The key.
            ttl: Seconds, a ``timedelta``, or None for never.

        Raises:
            InvalidKey: memcached can not carry the key.
            InvalidArgument: The TTL is not a time that memcached can count.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        request = self._protocol.touch(self._wire(key), self._exptime(ttl))
        reply: object = await self._at(key)(request, monotonic() + self._timeout)
        return reply is TOUCHED

    async def get_many(self, keys: Iterable[K]) -> dict[K, object]:
        """Return the values that exist, by their keys as given, in one round trip a server.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key.
            PartialFailure: Some of several servers could not be asked (``on_error="raise"``).
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = listed(keys)
        if not names:
            return {}
        return await self._many(names, self._protocol.get_many, deadline)

    async def gat_many(self, keys: Iterable[K], ttl: Ttl) -> dict[K, object]:
        """Return the values that exist and give them a new time to live, in one round trip.

        Args:
            keys: The keys.
            ttl: Seconds, a ``timedelta``, or None for never.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key, or the TTL not a time memcached can count.
            PartialFailure: Some of several servers could not be asked (``on_error="raise"``).
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = listed(keys)
        expiry = self._exptime(ttl)
        if not names:
            return {}
        return await self._many(names, partial(self._protocol.gat_many, exptime=expiry), deadline)

    async def _many(
        self, names: list[K], encode: Callable[[list[bytes]], Request], deadline: float
    ) -> dict[K, object]:
        wires = self._wires(names)
        values: dict[K, object] = {}
        only = await self._only(deadline)
        if only is None:
            parts = self._parts(names, wires, writes=False)
            await self._ask(parts, lambda part: encode(part.wires), deadline)
            self._settle(parts)
            for part in parts:
                await self._collect(values, part.reply, part.names, part.wires, deadline)
            self._report(failures_of(parts), values)
        else:
            found = await only.request(encode(wires), deadline)
            await self._collect(values, found, names, wires, deadline)
        return values

    async def _collect(
        self,
        values: dict[K, object],
        found: dict[bytes, RawItem] | None,
        names: list[K],
        wires: list[bytes],
        deadline: float,
    ) -> None:
        """Read what a server has found into ``values``."""
        if not found:
            return
        empty = [wire for wire, (value, flags, _) in found.items() if not (value or flags)]
        if empty:
            mine = dict(zip(wires, names, strict=True))
            looks = [(wire, mine[wire]) for wire in empty if wire in mine]
            await together([self._look_again(found, *look, deadline) for look in looks])
        find, loads, verbatim = found.get, self._loads, self._verbatim
        for name, wire in zip(names, wires, strict=True):
            item = find(wire)
            if item is None:
                continue
            value, flags, _ = item
            if value and flags == verbatim:
                values[name] = value
                continue
            try:
                values[name] = loads(value, flags)
            except UnreadableValue as error:
                self._skip(error, flags, name)

    async def _look_again(
        self, found: dict[bytes, RawItem], wire: bytes, key: AnyKey, deadline: float
    ) -> bool:
        """Put what an empty item turns out to be in its place; tell whether it is anything."""
        looked = await self._second_look(found.pop(wire), key, wire, deadline)
        if looked is not None:
            found[wire] = looked
        return looked is not None

    async def _read(
        self, item: RawItem, key: AnyKey, wire: bytes, deadline: float, default: object
    ) -> object:
        """Return the value of an item, or ``default`` if it is none that can be read."""
        if not (item[0] or item[1]):
            looked = await self._second_look(item, key, wire, deadline)
            if looked is None:
                return default
            item = looked
        value, flags, _ = item
        try:
            return self._loads(value, flags)
        except UnreadableValue as error:
            self._skip(error, flags, key)
            return default
