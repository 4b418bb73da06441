"""``get_or_compute``: read a value, or have it computed by one caller while the others wait.

Strategy: ``compute.py`` decides, ``leases_aio.py`` talks to the server; here is the course of a
call: look until there is a value or the lease, compute under the lease, store, and give the lease
back if anything goes wrong on the way.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar, overload

from cenote.client.base_aio import AsyncBase
from cenote.client.compute import (
    LEASE_TTL,
    Look,
    Read,
    Terms,
    check_compute,
    key_maker,
    limit_of,
    pauses,
    terms_of,
)
from cenote.client.keys import AnyKey
from cenote.client.leases_aio import AsyncClassicLeases, AsyncMetaLeases
from cenote.client.outcome import OUTAGES
from cenote.client.ttl import Ttl
from cenote.errors import CenoteError, OperationTimeout, UnreadableValue
from cenote.protocol import RawItem
from cenote.runtime.aio import (
    CLOSING,
    Compute,
    Decorator,
    Pending,
    cached_by,
    monotonic,
    resolve,
    sleep,
)

T = TypeVar("T")


class _GivenBack:
    """A block that gives the lease back if anything but its end ends it.

    Args:
        leases: The lease that is held.
        timeout: Seconds that giving it back may take.
    """

    def __init__(self, leases: AsyncMetaLeases | AsyncClassicLeases, timeout: float) -> None:
        self._leases = leases
        self._timeout = timeout

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, CLOSING):
            return
        with suppress(CenoteError):  # what ended the block matters more
            await self._leases.release(monotonic() + self._timeout)


class AsyncComputing(AsyncBase):
    """The command that fills the cache, and its form as a decorator."""

    @overload
    async def get_or_compute(
        self,
        key: AnyKey,
        compute: Callable[[], Pending[T]],
        ttl: Ttl,
        *,
        stale_for: float | timedelta = ...,
        lease_ttl: float | timedelta = ...,
        wait: float | timedelta | None = ...,
    ) -> T: ...

    @overload
    async def get_or_compute(
        self,
        key: AnyKey,
        compute: Callable[[], T],
        ttl: Ttl,
        *,
        stale_for: float | timedelta = ...,
        lease_ttl: float | timedelta = ...,
        wait: float | timedelta | None = ...,
    ) -> T: ...

    async def get_or_compute(
        self,
        key: AnyKey,
        compute: Compute,
        ttl: Ttl,
        *,
        stale_for: float | timedelta = 0,
        lease_ttl: float | timedelta = LEASE_TTL,
        wait: float | timedelta | None = None,
    ) -> object:
        """Return the value of ``key``; if there is none, have it computed, once, and store it.

        Of all threads, tasks and processes that miss the key at a time, one is given a lease by the
        server and computes. The others are given the old value, if it may be served stale, or wait.

        What holds:

        * While a lease is held nobody else computes. It is held for ``lease_ttl`` or until its
          holder is done, whichever is first: a computation that takes longer may be joined by a
          second one.
        * If ``compute`` raises, or is cancelled, its caller alone gets the exception; the lease is
          given back and the next in turn computes. So it is when the server refuses to store the
          value. The lease of a process that died lapses.
        * A ``delete`` or a write while a value is computed is not undone: the value is returned to
          its caller and not stored.
        * A key read this way is best written this way. ``get`` gives the old value until its time
          to be served is over. Clients that know nothing of leases see one as an empty value.

        On servers without the meta commands the same holds at the cost of a request or two more.
        The age of a value that was stored by other means is not known there: with ``stale_for`` it
        is due at once, and an empty ``bytes`` always is.

        The two kinds of lease do not know each other: clients with ``protocol="meta"`` must not
        share the keys of this command on one server with those of ``"classic"`` or ``"binary"``.
        Nobody would be given a wrong value, but both kinds would compute.

        Args:
            key: The key.
            compute: Called without arguments; its value must be one that ``serde`` takes. Where it
                is stored, others get a copy of it.
            ttl: For how long the value is fresh: seconds, a ``timedelta``, or None for ever.
            stale_for: For how many seconds after that it may be served while it is being replaced;
                30 days at most.
            lease_ttl: For how many seconds nobody else computes; 30 days at most.
            wait: For how many seconds to wait for somebody else's value; about two leases when
                None.

        Returns:
            The value.

        Raises:
            InvalidKey: memcached can not carry the key.
            InvalidArgument: One of the times is out of range, or ``compute`` can not be called.
            NotSerializable: The value that was computed can not be stored.
            ValueTooLarge: The value that was computed is over the server's limit: it is lost, and
                the next caller computes it again. Raised with ``on_error="miss"`` too.
            OperationTimeout: The value did not come within ``wait``.
            CenoteError: The server could not be asked in time, or had no memory for the value. With
                ``on_error="miss"`` neither this nor the timeout is raised: the value is computed
                here.
        """
        wire = self._wire(key)
        check_compute(compute)
        terms = terms_of(ttl, stale_for, lease_ttl, time.time)
        limit = limit_of(wait, 2.0 * terms.lease)
        leases: AsyncMetaLeases | AsyncClassicLeases
        try:
            if not terms.stale_for:
                found, value = await self._found(wire, key)
                if found:
                    return value
            leases = await self._leases(wire, key, terms)
            look = await self._turn(leases, key, limit)
        except OUTAGES as error:
            self._tolerate(error)
            self._computed += 1
            return await resolve(compute())
        if look.step == "serve":
            return look.value
        return await self._compute(compute, leases)

    def cached(
        self,
        ttl: Ttl,
        *,
        key: str | Callable[..., AnyKey],
        stale_for: float | timedelta = 0,
        lease_ttl: float | timedelta = LEASE_TTL,
        wait: float | timedelta | None = None,
    ) -> Decorator:
        """Return a decorator that passes a function's calls through ``get_or_compute``.

        Example::

            @client.cached(ttl=60, key="user:{user_id}")
            async def load_user(user_id: int) -> dict[str, str]: ...

        Args:
            ttl: For how long a value is fresh: seconds, a ``timedelta``, or None for ever.
            key: A ``str.format`` template that names the function's parameters, or a callable that
                makes the key of a call's arguments. It must tell apart what gives other results.
            stale_for: As for ``get_or_compute``.
            lease_ttl: As for ``get_or_compute``.
            wait: As for ``get_or_compute``.

        Raises:
            ConfigurationError: The template can not be read, names what is no parameter, or names
                none though the function has some.
            InvalidArgument: One of the times is out of range.
        """
        terms_of(ttl, stale_for, lease_ttl, time.time)
        limit_of(wait, 0)

        async def look_up(name: AnyKey, compute: Compute) -> object:
            return await self.get_or_compute(
                name, compute, ttl, stale_for=stale_for, lease_ttl=lease_ttl, wait=wait
            )

        return cached_by(look_up, key_maker(key))

    async def _found(self, wire: bytes, key: AnyKey) -> tuple[bool, object]:
        """Read a value as ``get`` does: the short way of a hit."""
        deadline = monotonic() + self._timeout
        item: RawItem | None = await self._strict_at(key)(self._protocol.get(wire), deadline)
        if item is None or not (item[0] or item[1]):
            return False, None
        return self._reader(key)(item[0], item[1])

    def _reader(self, key: AnyKey) -> Read:
        def read(data: bytes, flags: int) -> tuple[bool, object]:
            try:
                return True, self._loads(data, flags)
            except UnreadableValue as error:
                self._skip(error, flags, key)
                return False, None

        return read

    async def _leases(
        self, wire: bytes, key: AnyKey, terms: Terms
    ) -> AsyncMetaLeases | AsyncClassicLeases:
        way = self._way(key, wire)
        traits = await way.traits(monotonic() + self._timeout)
        if traits.meta:
            return AsyncMetaLeases(way.request, self._reader(key), wire, terms)
        return AsyncClassicLeases(way.request, self._reader(key), wire, terms, self._protocol)

    async def _turn(
        self, leases: AsyncMetaLeases | AsyncClassicLeases, key: AnyKey, limit: float
    ) -> Look:
        """Look until there is a value to serve or a lease to compute under."""
        end = monotonic() + limit
        for pause in pauses(random.Random()):
            look = await leases.look(monotonic() + self._timeout)
            while look.step == "again" and monotonic() < end:
                look = await leases.look(monotonic() + self._timeout)
            if look.step in ("serve", "compute"):
                return look
            if monotonic() + pause > end:
                break
            await sleep(pause)
        raise OperationTimeout(
            f"the value of {key!r} did not come within {limit:g} s: another caller is computing "
            "it; raise wait, or make compute faster",
            phase="compute",
        )

    async def _compute(
        self, compute: Compute, leases: AsyncMetaLeases | AsyncClassicLeases
    ) -> object:
        self._computed += 1
        async with _GivenBack(leases, self._timeout):
            value = await resolve(compute())
            data, flags = self._dumps(value)
        try:
            async with _GivenBack(leases, self._timeout):
                await leases.store(data, flags, monotonic() + self._timeout)
        except OUTAGES as error:
            self._tolerate(error)
        return value
