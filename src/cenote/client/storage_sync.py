# Generated from src/cenote/client/storage_aio.py by tools/unasync.py; do not edit.
"""Writing: the kin of ``set``, one value or many in one round trip, and removing.

Strategy: everything is checked and serialised before a byte is sent. Batches are quiet meta
commands where the server knows them. What the server would let corrupt a value silently (appending
bytes to JSON, a refused value among ``noreply`` ones) is looked at first or fenced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cenote import protocol
from cenote.client.base_sync import Base
from cenote.client.keys import AnyKey, Key, listed, mapped
from cenote.client.numbers import checked_u64
from cenote.client.outcome import OUTAGES
from cenote.client.ttl import Ttl
from cenote.client.values import LEASE, dumps_all
from cenote.errors import CenoteError, InvalidArgument
from cenote.protocol import DELETED, STORED, BatchReply, MetaReply, RawItem
from cenote.runtime.sync import monotonic

_MODES = {"set": b"", "add": b" ME", "replace": b" MR"}


class Storage(Base):
    """The commands that write and remove values."""

    def add(self, key: Key, value: object, ttl: Ttl = None, *, noreply: bool = False) -> bool:
        """Store a value if the key has none; arguments and errors as for ``set``.

        Returns:
            Whether it was stored; with ``noreply``, whether it was sent.
        """
        return self._store("add", key, value, ttl, noreply)

    def replace(self, key: Key, value: object, ttl: Ttl = None, *, noreply: bool = False) -> bool:
        """Store a value if the key has one already; arguments and errors as for ``set``.

        Returns:
            Whether it was stored; with ``noreply``, whether it was sent.
        """
        return self._store("replace", key, value, ttl, noreply)

    def cas(self, key: Key, value: object, token: int, ttl: Ttl = None) -> bool:
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
        checked_u64(token, "token")
        data, flags = self._dumps(value)
        request = protocol.cas(self._wire(key), data, flags, self._exptime(ttl), token)
        return self._request(request, monotonic() + self._timeout) is STORED

    def append(self, key: Key, value: str | bytes) -> bool:
        """Put text or bytes after the value of ``key``; see ``prepend``."""
        return self._extend("append", key, value)

    def prepend(self, key: Key, value: str | bytes) -> bool:
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
        return self._extend("prepend", key, value)

    def delete(self, key: Key) -> bool:
        """Remove ``key``; False if there was no such key.

        Raises:
            InvalidKey: memcached can not carry the key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        request = protocol.delete(self._wire(key))
        return self._request(request, monotonic() + self._timeout) is DELETED

    def set_many(self, mapping: Mapping[AnyKey, object], ttl: Ttl = None) -> list[AnyKey]:
        """Store many values in one round trip.

        Args:
            mapping: The values by their keys.
            ttl: Seconds, a ``timedelta``, or None for never; the same for all.

        Returns:
            The keys whose values the server refused (too large, out of memory); all keys for an
            outage with ``on_error="miss"``. Empty when everything was stored.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            NotSerializable: One of the values can not be stored; nothing was sent.
            InvalidArgument: The TTL is not a time that memcached can count.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        names = mapped(mapping)
        wires = self._wires(names)
        data, flags = dumps_all(self._serde, list(mapping.values()))
        expiry = self._exptime(ttl)
        if not names:
            return []
        items = list(zip(wires, data, flags, strict=True))
        request = protocol.set_many(items, expiry, meta=self._speaks_meta(deadline))
        reply: BatchReply | None = self._request(request, deadline)
        if reply is not None and reply.unplaced:
            request = protocol.set_many(items, expiry, meta=True, quiet=False)
            reply = self._request(request, deadline)
        return names if reply is None else [names[index] for index in sorted(reply.failures)]

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Remove many keys in one round trip; return how many there were.

        Raises:
            InvalidKey: memcached can not carry one of the keys; nothing was sent.
            InvalidArgument: ``keys`` is a single key.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        deadline = monotonic() + self._timeout
        wires = list(dict.fromkeys(self._wires(listed(keys))))
        if not wires:
            return 0
        request = protocol.delete_many(wires, meta=self._speaks_meta(deadline))
        reply: BatchReply | None = self._request(request, deadline)
        if reply is None:
            return 0
        failures = (*reply.unplaced, *reply.failures.values())
        errors = [failure for failure in failures if isinstance(failure, CenoteError)]
        if errors:  # one outage, however many keys it has kept
            self._tolerate(errors[0])
        return len(wires) - len(reply.failures) - len(reply.unplaced)

    def _store(self, verb: str, key: Key, value: object, ttl: Ttl, noreply: bool) -> bool:
        deadline = monotonic() + self._timeout
        data, flags = self._dumps(value)
        wire, expiry = self._wire(key), self._exptime(ttl)
        if noreply:
            return self._send(verb, wire, data, flags, expiry, deadline)
        request = protocol.store(verb, wire, data, flags, expiry)
        return self._request(request, deadline) is STORED

    def _send(
        self, verb: str, wire: bytes, data: bytes, flags: int, expiry: int, deadline: float
    ) -> bool:
        """Store by a quiet request and its fence; on a classic server, wait for the answer."""
        try:
            if not (self._cluster.traits(deadline)).meta:
                request = protocol.store(verb, wire, data, flags, expiry)
                return self._strict(request, deadline) is STORED
            tokens = b"F%d T%d%b" % (flags, expiry, _MODES[verb])
            request = protocol.quiet(protocol.meta_set(wire, data, tokens))
            self._cluster.post(request, deadline)
        except OUTAGES as error:
            self._tolerate(error)
            return False
        return True

    def _extend(self, verb: str, key: Key, value: str | bytes) -> bool:
        if not isinstance(value, (str, bytes)):
            raise InvalidArgument(f"{verb} takes str or bytes, not {type(value).__name__}")
        deadline = monotonic() + self._timeout
        data, flags = self._dumps(value)
        wire = self._wire(key)
        stored = self._stored_flags(wire, deadline)
        if stored is None:
            return False
        if stored != flags:
            raise InvalidArgument(
                f"{verb} to {key!r}: a {type(value).__name__} has the flags {flags}, the stored "
                f"value {stored}, so that it would be corrupted: use get and cas"
            )
        request = protocol.store(verb, wire, data, flags, 0)
        return self._request(request, deadline) is STORED

    def _stored_flags(self, wire: bytes, deadline: float) -> int | None:
        """Return the flags of what is stored, None if nothing is (a lease is nothing)."""
        if not self._speaks_meta(deadline):
            item: RawItem | None = self._request(protocol.get(wire), deadline)
            return None if item is None or item[1] == LEASE else item[1]
        reply: MetaReply | None = self._request(protocol.meta_get(wire, b"f s"), deadline)
        if reply is None or reply.status == "EN":
            return None
        leased = reply.flags["s"] == b"0" and "Z" in reply.flags
        return None if leased else int(reply.flags["f"])
