"""Writing: the kin of ``set``, one value or many in one round trip, and removing.

Strategy: everything is checked and serialised before a byte is sent. Batches are quiet meta
commands where the server knows them. What the server would let corrupt a value silently (appending
bytes to JSON, a refused value among ``noreply`` ones) is looked at first or fenced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from cenote import protocol
from cenote.client.keys import AnyKey, K, listed, mapped
from cenote.client.numbers import checked_u64
from cenote.client.outcome import OUTAGES
from cenote.client.several_aio import AsyncSeveral, Part, failures_of
from cenote.client.ttl import Ttl
from cenote.client.values import LEASE, dumps_all
from cenote.errors import CenoteError, InvalidArgument
from cenote.protocol import DELETED, STORED, BatchReply, MetaReply, RawItem, Request, binary
from cenote.runtime.aio import monotonic

_MODES = {"set": b"", "add": b" ME", "replace": b" MR"}


class AsyncStorage(AsyncSeveral):
    """The commands that write and remove values."""

    async def add(
        self, key: AnyKey, value: object, ttl: Ttl = None, *, noreply: bool = False
    ) -> bool:
        """Store a value if the key has none; arguments and errors as for ``set``.

        Returns:
            Whether it was stored; with ``noreply``, whether it was sent.
        """
        return await self._store("add", key, value, ttl, noreply)

    async def replace(
        self, key: AnyKey, value: object, ttl: Ttl = None, *, noreply: bool = False
    ) -> bool:
        """Store a value if the key has one already; arguments and errors as for ``set``.

        Returns:
            Whether it was stored; with ``noreply``, whether it was sent.
        """
        return await self._store("replace", key, value, ttl, noreply)

    async def cas(self, key: AnyKey, value: object, token: int, ttl: Ttl = None) -> bool:
        """Store a value if nobody has written the key since ``gets`` gave the token.

        Args:
            key: The key.
            value: Anything the client's ``serde`` takes.
            token: The ``cas`` of an `Item`.
            ttl: Seconds, a ``timedelta``, or None for never.

        Returns:
            Whether it was stored; False also if the key is gone.

        Raises:
            InvalidArgument: The token is not an integer of 64 bits; and the errors of ``set``.
        """
        checked_u64(token, "token (the cas of an Item)")
        data, flags = self._dumps(value)
        request = self._protocol.cas(self._wire(key), data, flags, self._exptime(ttl), token)
        return await self._at(key)(request, monotonic() + self._timeout) is STORED

    async def append(self, key: AnyKey, value: str | bytes) -> bool:
        """Put text or bytes after the value of ``key``; see ``prepend``."""
        return await self._extend("append", key, value)

    async def prepend(self, key: AnyKey, value: str | bytes) -> bool:
        """Put text or bytes before the value of ``key``; its time to live stays.

        The kind of the stored value is read first (one round trip more): a number, JSON or a pickle
        would be corrupted. That is a check, not a lock: it does not hold against somebody who
        replaces a text by another kind of value at the same moment.

        Returns:
            False if there is no such key.

        Raises:
            InvalidArgument: The value is not str or bytes, or what is stored is of another kind.
            CenoteError: As for ``set``.
        """
        return await self._extend("prepend", key, value)

    async def delete(self, key: AnyKey) -> bool:
        """Remove ``key``; False if there was no such key.

        Raises:
            InvalidKey: memcached can not carry the key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        request = self._protocol.delete(self._wire(key))
        return await self._at(key)(request, monotonic() + self._timeout) is DELETED

    async def set_many(self, mapping: Mapping[K, object], ttl: Ttl = None) -> list[K]:
        """Store many values in one round trip, to all servers at the same time.

        Args:
            mapping: The values by their keys.
            ttl: Seconds, a ``timedelta``, or None for never; the same for all.

        Returns:
            The keys whose values were not stored, as far as is known: the server refused them (too
            large, out of memory), or it is one of several and could not be asked; with
            ``on_error="miss"`` also if it is the only one. Empty when everything was stored.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            NotSerializable: One of the values can not be stored; nothing was sent.
            InvalidArgument: The TTL is not a time that memcached can count.
            CenoteError: No server could be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = mapped(mapping)
        wires = self._wires(names)
        data, flags = dumps_all(self._serde, list(mapping.values()), names)
        expiry = self._exptime(ttl)
        if not names:
            return []
        items = list(zip(wires, data, flags, strict=True))
        only = await self._only(deadline)
        if only is None:
            return await self._set_parts(names, items, expiry, deadline)
        meta = await self._knows_meta(only.way, deadline)
        request = self._protocol.set_many(items, expiry, meta=meta)
        reply: BatchReply | None = await only.request(request, deadline)
        if reply is not None and reply.unplaced:
            request = self._protocol.set_many(items, expiry, meta=True, quiet=False)
            reply = await only.request(request, deadline)
        return names if reply is None else [names[index] for index in sorted(reply.failures)]

    async def _set_parts(
        self, names: list[K], items: list[tuple[bytes, bytes, int]], expiry: int, deadline: float
    ) -> list[K]:
        def encode(part: Part[K], *, quiet: bool = True) -> Request:
            mine = [items[position] for position in part.positions]
            return self._protocol.set_many(mine, expiry, meta=part.meta, quiet=quiet)

        parts = self._parts(names, [wire for wire, _, _ in items], writes=True)
        await self._learn_meta(parts, deadline)
        await self._ask(parts, encode, deadline)
        unclear = [part for part in parts if part.error is None and part.reply.unplaced]
        await self._ask(unclear, partial(encode, quiet=False), deadline)
        self._settle(parts)
        stored = {
            position
            for part in parts
            if part.error is None
            for index, position in enumerate(part.positions)
            if index not in part.reply.failures
        }
        return [name for position, name in enumerate(names) if position not in stored]

    async def delete_many(self, keys: Iterable[AnyKey]) -> int:
        """Remove many keys in one round trip, from all servers at the same time.

        Returns:
            How many there were.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key.
            PartialFailure: Some of several servers could not be asked (``on_error="raise"``).
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = listed(keys)
        if not names:
            return 0
        wires = self._wires(names)
        only = await self._only(deadline)
        if only is None:
            return await self._delete_parts(names, wires, deadline)
        wires = list(dict.fromkeys(wires))
        meta = await self._knows_meta(only.way, deadline)
        request = self._protocol.delete_many(wires, meta=meta)
        reply: BatchReply | None = await only.request(request, deadline)
        if reply is None:
            return 0
        failures = (*reply.unplaced, *reply.failures.values())
        errors = [failure for failure in failures if isinstance(failure, CenoteError)]
        if errors:  # one outage, however many keys it has kept
            self._tolerate(errors[0])
        return len(wires) - len(reply.failures) - len(reply.unplaced)

    async def _delete_parts(self, names: list[AnyKey], wires: list[bytes], deadline: float) -> int:
        parts = self._parts(names, wires, writes=True)
        for part in parts:
            part.drop_repeated()
        await self._learn_meta(parts, deadline)
        await self._ask(
            parts, lambda part: self._protocol.delete_many(part.wires, meta=part.meta), deadline
        )
        self._settle(parts)
        answered = [part for part in parts if part.error is None]
        kept = sum(len(part.reply.failures) + len(part.reply.unplaced) for part in answered)
        deleted = sum(len(part.wires) for part in answered) - kept
        self._report(failures_of(parts), deleted)
        return deleted

    async def _store(self, verb: str, key: AnyKey, value: object, ttl: Ttl, noreply: bool) -> bool:
        deadline = monotonic() + self._timeout
        data, flags = self._dumps(value)
        wire, expiry = self._wire(key), self._exptime(ttl)
        if noreply:
            return await self._send(verb, key, wire, data, flags, expiry, deadline)
        request = self._protocol.store(verb, wire, data, flags, expiry)
        return await self._at(key)(request, deadline) is STORED

    async def _send(
        self,
        verb: str,
        key: AnyKey,
        wire: bytes,
        data: bytes,
        flags: int,
        expiry: int,
        deadline: float,
    ) -> bool:
        """Store by a quiet request and its fence; on a classic server, wait for the answer."""
        try:
            way = self._way(key, wire)
            traits = await way.traits(deadline)
            request = self._protocol.store(verb, wire, data, flags, expiry)
            if not (traits.meta or traits.binary):
                return await way.request(request, deadline) is STORED
            if traits.binary:
                request = binary.quiet(request)
            else:
                tokens = b"F%d T%d%b" % (flags, expiry, _MODES[verb])
                request = protocol.quiet(protocol.meta_set(wire, data, tokens))
            await way.post(request, deadline)
        except OUTAGES as error:
            self._tolerate(error)
            return False
        return True

    async def _extend(self, verb: str, key: AnyKey, value: str | bytes) -> bool:
        if not isinstance(value, (str, bytes)):
            raise InvalidArgument(f"{verb} takes str or bytes, not {type(value).__name__}")
        deadline = monotonic() + self._timeout
        data, flags = self._serde.plain(value)
        wire = self._wire(key)
        stored = await self._stored_flags(key, wire, deadline)
        if stored is None:
            return False
        if stored != flags:
            raise InvalidArgument(
                f"{verb} to {key!r}: a {type(value).__name__} has the flags {flags}, the stored "
                f"value {stored}, so that it would be corrupted: use get and cas"
            )
        request = self._protocol.store(verb, wire, data, flags, 0)
        return await self._at(key)(request, deadline) is STORED

    async def _stored_flags(self, key: AnyKey, wire: bytes, deadline: float) -> int | None:
        """Return the flags of what is stored, None if nothing is (a lease is nothing)."""
        exchange = self._at(key)
        if not await self._speaks_meta(key, wire, deadline):
            item: RawItem | None = await exchange(self._protocol.get(wire), deadline)
            return None if item is None or item[1] == LEASE else item[1]
        reply: MetaReply | None = await exchange(protocol.meta_get(wire, b"f s"), deadline)
        if reply is None or reply.status == "EN":
            return None
        leased = reply.flags["s"] == b"0" and "Z" in reply.flags
        return None if leased else int(reply.flags["f"])
