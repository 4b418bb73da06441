"""Counting on the server: ``incr`` and ``decr``.

Strategy: a counter that is not there is created with ``add``, not by the server's own
autovivification: only so does it carry the flags of an int and read back as one. If somebody else
was faster, the count is done on theirs; nothing is lost and nothing counted twice.
"""

from __future__ import annotations

from collections.abc import Callable

from cenote.client.base_aio import AsyncBase
from cenote.client.keys import AnyKey
from cenote.client.numbers import checked_u64
from cenote.client.outcome import OUTAGES
from cenote.client.ttl import Ttl
from cenote.client.values import counter
from cenote.errors import InvalidArgument
from cenote.protocol import STORED, Request
from cenote.runtime.aio import Exchange, monotonic


class AsyncCounting(AsyncBase):
    """The commands that count."""

    async def incr(
        self, key: AnyKey, delta: int = 1, *, initial: int | None = None, ttl: Ttl = None
    ) -> int | None:
        """Add to a number on the server, atomically; over 2**64 - 1 it starts again from 0.

        It is never sent twice: after a ``ConnectionLost`` or ``OperationTimeout`` it is not known
        whether it was done.

        Args:
            key: The key of an int stored by this client, or of digits stored by another.
            delta: How much, 0 to 2**64 - 1.
            initial: What to store, and return, if there is no such key; None to leave it so.
            ttl: The time to live of a counter made with ``initial``; an existing one keeps its own.

        Returns:
            The new number; None if there is no such key and no ``initial``, and for an outage with
            ``on_error="miss"``.

        Raises:
            InvalidKey: memcached can not carry the key.
            InvalidArgument: A number is negative or over 64 bits, or a ttl comes without initial.
            ClientError: What is stored is not a number.
            CenoteError: The server could not be asked in time (``on_error="raise"``).
        """
        return await self._count(
            self._protocol.incr, ", or decr to count down", key, delta, initial, ttl
        )

    async def decr(
        self, key: AnyKey, delta: int = 1, *, initial: int | None = None, ttl: Ttl = None
    ) -> int | None:
        """Subtract from a number on the server, atomically, down to 0; otherwise as ``incr``."""
        return await self._count(
            self._protocol.decr, ", or incr to count up", key, delta, initial, ttl
        )

    async def _count(
        self,
        encode: Callable[[bytes, int], Request],
        instead: str,
        key: AnyKey,
        delta: int,
        initial: int | None,
        ttl: Ttl,
    ) -> int | None:
        deadline = monotonic() + self._timeout
        request = encode(self._wire(key), checked_u64(delta, "delta", instead))
        if initial is None:
            if ttl is not None:
                raise InvalidArgument("ttl is for a counter made with initial: use touch otherwise")
            number: int | None = await self._at(key)(request, deadline)
            return number
        data, flags = counter(self._serde, checked_u64(initial, "initial"))
        create = self._protocol.store("add", self._wire(key), data, flags, self._exptime(ttl))
        try:
            exchange = self._strict_at(key)
            return await self._count_or_create(exchange, request, create, initial, deadline)
        except OUTAGES as error:
            self._tolerate(error)
            return None

    async def _count_or_create(
        self, exchange: Exchange, count: Request, create: Request, initial: int, deadline: float
    ) -> int:
        """Count, or create; again if the key comes and goes in between, until the deadline."""
        while True:
            number: int | None = await exchange(count, deadline)
            if number is not None:
                return number
            if await exchange(create, deadline) is STORED:
                return initial
