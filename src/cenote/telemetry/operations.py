"""How long a client's operations take, and spans around them: for clients that are asked to.

Strategy: the commands of one client object are wrapped, on that object; every other client, and
this one once it is released, runs as if this module did not exist. Durations are counted here, in
the buckets that pools use, because that costs a fraction of what metrics libraries take for each
value; exporters read the counts when they collect.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from time import monotonic
from typing import Any, Protocol, TypeAlias

from cenote.client.aio import AsyncClient
from cenote.client.keys import AnyKey
from cenote.client.sync import Client
from cenote.errors import ConfigurationError
from cenote.pool.stats import BOUNDS, Distribution

__all__ = [
    "OPERATIONS",
    "AnyClient",
    "durations",
    "measure",
    "measured",
    "name_of",
    "release",
    "trace",
]

AnyClient: TypeAlias = Client | AsyncClient

Tally: TypeAlias = tuple[list[int], list[float]]

OPERATIONS = (
    "get", "gets", "get_many", "set", "set_many", "add", "replace", "append", "prepend", "cas",
    "delete", "delete_many", "touch", "gat", "gat_many", "incr", "decr", "flush_all", "stats",
    "version",
)  # fmt: skip
"""What is wrapped. ``get_or_compute`` is not: it is made of these, and of the caller's own work."""


class Around(Protocol):
    """Makes a block that an operation runs in."""

    def __call__(self, operation: str, args: tuple[object, ...], /) -> AbstractContextManager[None]:
        """Return the block."""
        ...


class Durations:
    """Histograms of a client's operations, by operation and by the class of the error, if any.

    Counted without a lock: nothing interrupts ``+= 1`` under the GIL, and a count that is lost in a
    build without one is not worth a lock in every operation.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}

    def tally(self, operation: str, error: str = "") -> Tally:
        """Return what counts an operation: a number for each bucket, and the sum of the seconds."""
        return self._tallies.setdefault((operation, error), ([0] * (len(BOUNDS) + 1), [0.0]))

    def failed(self, operation: str, error: BaseException, seconds: float) -> None:
        """Count an operation that ended with an error."""
        counts, total = self.tally(operation, name_of(error))
        counts[bisect_left(BOUNDS, seconds)] += 1
        total[0] += seconds

    def told(self) -> dict[tuple[str, str], Distribution]:
        """Return what was counted, by (operation, error)."""
        return {
            key: Distribution(tuple(counts), total[0])
            for key, (counts, total) in list(self._tallies.items())
            if any(counts)
        }


class _Wrapped:
    """What is done around the operations of one client."""

    def __init__(self) -> None:
        self.durations: Durations | None = None
        self.around: Around | None = None


_WRAPPED: weakref.WeakKeyDictionary[AnyClient, _Wrapped] = weakref.WeakKeyDictionary()


def measure(client: AnyClient) -> None:
    """Count how long the client's operations take, from now on; a second call does nothing.

    Raises:
        ConfigurationError: It is no client.
    """
    wrapped = _wrapped(client)
    if wrapped.durations is None:
        wrapped.durations = Durations()
        _wrap(client, wrapped)


def trace(client: AnyClient, around: Around) -> None:
    """Run each of the client's operations in a block, from now on, and not in an earlier one.

    Raises:
        ConfigurationError: It is no client.
    """
    wrapped = _wrapped(client)
    wrapped.around = around
    _wrap(client, wrapped)


def release(client: AnyClient) -> None:
    """Leave the client as it was; what was counted is forgotten."""
    if _WRAPPED.pop(client, None) is not None:
        for name in OPERATIONS:
            vars(client).pop(name, None)


def durations(client: AnyClient) -> Mapping[tuple[str, str], Distribution]:
    """Return how long its operations took, by (operation, error); empty if nobody measures."""
    wrapped = _WRAPPED.get(client)
    return {} if wrapped is None or wrapped.durations is None else wrapped.durations.told()


def measured() -> list[AnyClient]:
    """Return the clients that are measured."""
    return [client for client, each in list(_WRAPPED.items()) if each.durations is not None]


def _wrapped(client: AnyClient) -> _Wrapped:
    if not isinstance(client, (Client, AsyncClient)):
        raise ConfigurationError(f"{client!r} is no client: its operations can not be measured")
    return _WRAPPED.setdefault(client, _Wrapped())


def _wrap(client: AnyClient, wrapped: _Wrapped) -> None:
    timed, within = (
        (_timed_aio, _within_aio) if isinstance(client, AsyncClient) else (_timed, _within)
    )
    for name in OPERATIONS:
        vars(client).pop(name, None)
        command = getattr(client, name)
        if wrapped.around is not None:
            command = within(command, name, wrapped.around)
        if wrapped.durations is not None:
            quick = name == "get" and isinstance(client, Client)
            command = (_timed_get if quick else timed)(command, name, wrapped.durations)
        vars(client)[name] = command


def _timed(command: Callable[..., Any], name: str, durations: Durations) -> Callable[..., Any]:
    counts, total = durations.tally(name)

    @wraps(command)
    def timed(*args: object, **options: object) -> object:
        began = monotonic()
        try:
            answer = command(*args, **options) if options else command(*args)
        except BaseException as error:
            durations.failed(name, error, monotonic() - began)
            raise
        seconds = monotonic() - began
        counts[bisect_left(BOUNDS, seconds)] += 1
        total[0] += seconds
        return answer

    return timed


def _timed_get(command: Callable[..., Any], name: str, durations: Durations) -> Callable[..., Any]:
    """As ``_timed``, with the arguments of ``get`` spelt out: gathering them would cost as much."""
    counts, total = durations.tally(name)

    @wraps(command)
    def timed(key: AnyKey, default: object = None) -> object:
        began = monotonic()
        try:
            answer = command(key, default)
        except BaseException as error:
            durations.failed(name, error, monotonic() - began)
            raise
        seconds = monotonic() - began
        counts[bisect_left(BOUNDS, seconds)] += 1
        total[0] += seconds
        return answer

    return timed


def _timed_aio(command: Callable[..., Any], name: str, durations: Durations) -> Callable[..., Any]:
    counts, total = durations.tally(name)

    @wraps(command)
    async def timed(*args: object, **options: object) -> object:
        began = monotonic()
        try:
            answer = await command(*args, **options)
        except BaseException as error:
            durations.failed(name, error, monotonic() - began)
            raise
        seconds = monotonic() - began
        counts[bisect_left(BOUNDS, seconds)] += 1
        total[0] += seconds
        return answer

    return timed


def _within(command: Callable[..., Any], name: str, around: Around) -> Callable[..., Any]:
    @wraps(command)
    def within(*args: object, **options: object) -> object:
        with around(name, args):
            return command(*args, **options)

    return within


def _within_aio(command: Callable[..., Any], name: str, around: Around) -> Callable[..., Any]:
    @wraps(command)
    async def within(*args: object, **options: object) -> object:
        with around(name, args):
            return await command(*args, **options)

    return within


def name_of(error: BaseException) -> str:
    """Return the name of an error's class, with its module unless that is Python's own."""
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
