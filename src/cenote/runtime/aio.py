"""What the client needs of asyncio, under the names that its blocking twin has in ``sync.py``."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from inspect import isawaitable
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from cenote.protocol import Request

if TYPE_CHECKING:
    from cenote.client.keys import Key

__all__ = [
    "CLOSING",
    "Compute",
    "Decorator",
    "Exchange",
    "Pending",
    "cached_by",
    "monotonic",
    "resolve",
    "sleep",
]

T = TypeVar("T")
P = ParamSpec("P")

CLOSING = GeneratorExit
"""What ends a coroutine that may not await anything any more."""

Exchange: TypeAlias = Callable[[Request, float], Awaitable[Any]]
"""Sends a request by a deadline; which type the reply has follows from the request's encoder."""

Pending: TypeAlias = Awaitable[T]
"""A value that is to be awaited."""

Compute: TypeAlias = Callable[[], Any]
"""Makes a value, at once or as an awaitable."""


class Decorator(Protocol):
    """What ``AsyncClient.cached`` returns: it makes a coroutine function of any function."""

    @overload
    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __call__(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Return ``function`` with its results cached."""
        ...


async def resolve(value: Any) -> Any:
    """Return the value, awaited if need be."""
    return await value if isawaitable(value) else value


def cached_by(
    look_up: Callable[[Key, Compute], Awaitable[Any]],
    name_of: Callable[[Callable[..., object]], Callable[..., Key]],
) -> Decorator:
    """Return a decorator that passes calls through ``look_up``.

    Args:
        look_up: Given a key and what computes its value, returns the value.
        name_of: Given a function, returns what makes the key of a call's arguments.
    """

    def decorate(function: Callable[..., Any], /) -> Callable[..., Any]:
        key_of = name_of(function)

        @wraps(function)
        async def cached(*args: object, **kwargs: object) -> object:
            return await look_up(key_of(*args, **kwargs), lambda: function(*args, **kwargs))

        return cached

    return decorate
