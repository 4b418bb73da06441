"""What the client needs of threads, under the names that its asyncio twin has in ``aio.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar

from cenote.errors import InvalidArgument, OperationTimeout
from cenote.protocol import Request

if TYPE_CHECKING:
    from cenote.client.keys import AnyKey

__all__ = [
    "CLOSING",
    "Compute",
    "Decorator",
    "Exchange",
    "Mutex",
    "Pending",
    "Turn",
    "aside",
    "cached_by",
    "contextmanager",
    "monotonic",
    "resolve",
    "sleep",
    "together",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")

NO_SERVERS = "the servers were not found in time: see the log of cenote.discovery, or raise timeout"

CLOSING: tuple[type[BaseException], ...] = ()
"""What ends a call that may not wait for anything any more: there is no such thing here."""

Exchange: TypeAlias = Callable[[Request, float], Any]
"""Sends a request by a deadline; which type the reply has follows from the request's encoder."""

Compute: TypeAlias = Callable[[], Any]
"""Makes a value."""


class Pending(Generic[T_co]):
    """A value that is to be awaited: there is no such thing here."""


class Decorator(Protocol):
    """What ``Client.cached`` returns: the function it makes is called like the one it is given."""

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Return ``function`` with its results cached."""
        ...


def resolve(value: T) -> T:
    """Return the value: nothing is awaited here.

    Raises:
        InvalidArgument: It would have to be awaited.
    """
    if isawaitable(value):
        if iscoroutine(value):
            value.close()
        raise InvalidArgument("compute is a coroutine function: use AsyncClient")
    return value


class Mutex:
    """Held by one thread at a time."""

    def __init__(self) -> None:
        self._lock = Lock()

    @contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        """Hold it in a ``with`` block.

        Raises:
            OperationTimeout: It is not free by the deadline (absolute, ``time.monotonic``).
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - monotonic())):
            raise OperationTimeout(NO_SERVERS, phase="connect")
        try:
            yield
        finally:
            self._lock.release()


Turn = Lock
"""Kept while something is looked at and replaced in one go."""


def together(calls: Sequence[object]) -> None:
    """Await calls: here each has returned already."""


def aside(work: Callable[[], object], deadline: float) -> None:  # noqa: ARG001 - as in aio.py
    """Do blocking work: here it is done when it is done."""
    work()


def cached_by(
    look_up: Callable[[AnyKey, Compute], Any],
    name_of: Callable[[Callable[..., object]], Callable[..., AnyKey]],
) -> Decorator:
    """Return a decorator that passes calls through ``look_up``.

    Args:
        look_up: Given a key and what computes its value, returns the value.
        name_of: Given a function, returns what makes the key of a call's arguments.
    """

    def decorate(function: Callable[..., Any], /) -> Callable[..., Any]:
        if iscoroutinefunction(function):
            raise InvalidArgument(f"{function!r} is a coroutine function: use AsyncClient")
        key_of = name_of(function)

        @wraps(function)
        def cached(*args: object, **kwargs: object) -> object:
            return look_up(key_of(*args, **kwargs), lambda: function(*args, **kwargs))

        return cached

    return decorate
