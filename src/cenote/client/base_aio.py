"""What all commands of a client stand on: servers, serialisation, and the policy on outages.

Strategy: what a command needs is bound once, here, so that the hot path is a handful of steps. With
``on_error="miss"`` requests go through ``_forgiving``, which answers an outage with None, and every
command takes None for "nothing is stored": none of them knows the policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Self

from cenote import protocol
from cenote.client import unreadable
from cenote.client.compute import found_in
from cenote.client.hot_path import AsyncHot, KeyEncoder
from cenote.client.keys import AnyKey
from cenote.client.options import ClientOptions
from cenote.client.outcome import OUTAGES, ClientStats
from cenote.client.routed import Key
from cenote.client.ttl import Ttl, exptime
from cenote.client.values import LEASE
from cenote.cluster import Server
from cenote.cluster.aio import AsyncCluster, AsyncWay
from cenote.errors import NodeDown, UnreadableValue, ValueTooLarge
from cenote.node.aio import AsyncNode
from cenote.pool import Observer
from cenote.pool.uncopied import Uncopied
from cenote.protocol import MetaReply, RawItem, Request, binary
from cenote.protocol.encoders import Encoders
from cenote.runtime.aio import Exchange, sleep


class _Only(NamedTuple):
    """The only server: the way to it, and what sends requests, which meets outages as told."""

    way: AsyncWay | None
    request: Exchange


def _failing(error: Exception) -> Exchange:
    async def fail(_request: Request, _deadline: float) -> None:
        raise error

    return fail


class AsyncBase(Uncopied, AsyncHot):
    """The state of a client; the commands are in the classes made from this one."""

    def __init__(
        self,
        servers: Sequence[Server],
        options: ClientOptions,
        observer: Observer | None,
        node: Callable[..., AsyncNode] = AsyncNode,
    ) -> None:
        keys = KeyEncoder(options.key_prefix, options.long_keys)
        self._wire = keys.wire
        self._wires = keys.wires
        self._serde = options.serialisation()
        self._raises = options.on_error == "raise"
        speaks: Encoders = binary if options.protocol == "binary" else protocol
        self._forgiven: tuple[type[Exception], ...] = ()
        if not self._raises:
            self._forgiven = OUTAGES
        elif options.failing.failover == "miss":
            self._forgiven = (NodeDown,)
        self._cluster = AsyncCluster(
            servers,
            access=options.access,
            options=options.pool,
            grace=options.timeout,
            hashing=options.hashing,
            prefix_size=0 if options.hash_prefix else len(keys.prefix),
            discovery=options.discovery,
            failover=options.failing,
            retry_budget=options.retry_budget,
            observer=observer,
            node=node,
        )
        self._strict: Exchange = self._cluster.request
        self._outages = 0
        self._unreadable = 0
        self._computed = 0
        request = self._forgiving if self._forgiven else self._strict
        super().__init__(keys, self._serde, options.timeout, request, speaks)

    def client_stats(self) -> ClientStats:
        """Return what this client has counted; see `ClientStats`."""
        failover = self._cluster.failover
        return ClientStats(
            outages=self._outages,
            unreadable=self._unreadable,
            computed=self._computed,
            ejections=failover.ejections,
            diverted=failover.diverted,
            second_tries=failover.second_tries,
            hedged=failover.hedged,
            retries_refused=failover.budget.refused,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._cluster.names)}>"

    # Life.

    async def open(self) -> None:
        """Open the pools' minimum of connections (``min_size``), within ``timeout``.

        Nobody has to: a client opens on first use.

        Raises:
            ConnectFailed: No server can be connected to (``on_error="raise"``).
            PoolTimeout: They could not be opened in time (``on_error="raise"``).
            PoolClosed: The client has been closed.
        """
        try:
            await self._cluster.open(self._timeout)
        except OUTAGES as error:
            self._tolerate(error)

    async def close(self, timeout: float = 10.0) -> None:
        """Close every connection; the client stays closed. A second call does nothing.

        Args:
            timeout: Seconds that operations under way have to end.
        """
        await self._cluster.close(timeout)

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close(0)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # The way to the server that owns a key. Most commands need not ask: `_request` finds it by the
    # request's key, unless the key has a route.

    def _way(self, key: AnyKey, wire: bytes) -> AsyncWay:
        return self._cluster.way(self._encoder.route(key) if isinstance(key, Key) else wire)

    async def _only(self, deadline: float) -> _Only | None:
        """Return the only server, for a command about many keys; None: there may be others to ask.

        If servers have yet to be found and can not be, and that is forgiven: one that fails.
        """
        if self._cluster.undiscovered:
            try:
                await self._cluster.begin(deadline)
            except self._forgiven as error:
                return _Only(None, partial(self._forgiving, strict=_failing(error)))
        topology = self._cluster.topology
        if self._cluster.failover.diverts(topology):
            return None
        member = topology.members[0]
        strict = member.request
        request = partial(self._forgiving, strict=strict) if self._forgiven else strict
        return _Only(member.way, request)

    def _strict_at(self, key: AnyKey) -> Exchange:
        """Return what sends requests about a key; outages are raised."""
        if not isinstance(key, Key):
            return self._strict
        return self._cluster.asks(self._encoder.route(key))

    def _at(self, key: AnyKey) -> Exchange:
        """Return what sends requests about a key; outages are met as the client is told to."""
        if not isinstance(key, Key):
            return self._request
        strict = self._strict_at(key)
        return partial(self._forgiving, strict=strict) if self._forgiven else strict

    # Outages.

    async def _forgiving(
        self, request: Request, deadline: float, strict: Exchange | None = None
    ) -> object:
        try:
            return await (strict or self._strict)(request, deadline)
        except OUTAGES as error:
            self._tolerate(error)
        await sleep(0)  # whoever asks again and again lets those run who mend the connection
        return None

    def _tolerate(self, error: Exception) -> None:
        """Count an outage, if it is one and the client forgives it; raise it otherwise.

        The counters are plain: nothing interrupts ``+= 1`` under the GIL, and none is worth a lock.
        """
        if isinstance(error, ValueTooLarge) or not isinstance(error, self._forgiven):
            raise error
        self._outages += 1

    async def _speaks_meta(self, key: AnyKey, wire: bytes, deadline: float) -> bool:
        """Tell whether the server of a key knows the meta commands; an outage counts as no.

        If it is forgiven, the request that follows is the one to count it.
        """
        try:
            way = self._way(key, wire)
        except self._forgiven:
            return False
        return await self._knows_meta(way, deadline)

    async def _knows_meta(self, way: AsyncWay | None, deadline: float) -> bool:
        if way is None:
            return False
        try:
            return (await way.traits(deadline)).meta
        except self._forgiven:
            return False

    # Values.

    def _exptime(self, ttl: Ttl) -> int:
        return exptime(ttl, time.time)

    def _skip(self, error: UnreadableValue, flags: int, key: AnyKey) -> None:
        """Count a value that can not be read, and say so; a lease is merely no value yet."""
        if flags == LEASE:
            return
        self._unreadable += 1
        unreadable.warn(f"{key!r}: {error}; read as a miss")

    async def _second_look(
        self, item: RawItem, key: AnyKey, wire: bytes, deadline: float
    ) -> RawItem | None:
        """Return what an empty item turns out to be; None for a lease (see ``get_or_compute``).

        The lease may have ended since the first look. So the value and the word that it is no lease
        come in one reply: the first look's empty bytes are never believed after the second.
        """
        if not await self._speaks_meta(key, wire, deadline):
            return item
        request = protocol.meta_get(wire, b"v f c t")
        reply: MetaReply | None = await self._at(key)(request, deadline)
        found = None if reply is None else found_in(reply)
        if found is None or (found.empty and (found.leased or found.won)):
            return None
        return found.data, found.flags, found.cas
