"""What the client needs of asyncio, under the names that its blocking twin has in ``sync.py``."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager as contextmanager
from contextvars import Context
from functools import wraps
from inspect import isawaitable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from cenote.errors import OperationTimeout
from cenote.protocol import Request

if TYPE_CHECKING:
    from cenote.client.keys import AnyKey

__all__ = [
    "CLOSING",
    "Alarm",
    "Compute",
    "Decorator",
    "Exchange",
    "Mutex",
    "Pending",
    "Turn",
    "aside",
    "cached_by",
    "contextmanager",
    "give_way",
    "monotonic",
    "resolve",
    "sleep",
    "together",
    "unbroken",
]

T = TypeVar("T")
P = ParamSpec("P")

NO_SERVERS = "the servers were not found in time: see the log of cenote.discovery, or raise timeout"

CLOSING = GeneratorExit
"""What ends a coroutine that may not await anything any more."""

Exchange: TypeAlias = Callable[[Request, float], Awaitable[Any]]
"""Sends a request by a deadline; which type the reply has follows from the request's encoder."""

Pending: TypeAlias = Awaitable[T]
"""A value that is to be awaited."""

Compute: TypeAlias = Callable[[], Any]
"""Makes a value, at once or as an awaitable."""


class Turn:
    """Kept while something is looked at and replaced in one go: here nothing can come between."""

    def __init__(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        """Enter: nobody else is in there."""

    def __exit__(self, *exc_info: object) -> None:
        """Leave."""

    def acquire(self, *, blocking: bool) -> bool:  # noqa: ARG002 - as in sync.py
        """Hold it, if it is not held; whoever holds it may come by again."""
        was_held, self._held = self._held, True
        return not was_held

    def release(self) -> None:
        """Do not hold it any more."""
        self._held = False


class Alarm:
    """Calls somebody at a time to come; the soonest that was set counts.

    Args:
        ring: What is called, from the loop.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._due = inf

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, or before. To be called within the loop."""
        due = monotonic() + seconds
        if due < self._due:
            self.cancel()
            loop = asyncio.get_running_loop()
            self._due = due
            self._handle = loop.call_later(max(0.0, seconds), self._rings, context=Context())

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._due = None, inf

    def _rings(self) -> None:
        self._handle, self._due = None, inf
        self._ring()


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


class Mutex:
    """Held by one task at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @contextmanager
    async def held(self, deadline: float) -> AsyncIterator[None]:
        """Hold it in an ``async with`` block.

        Raises:
            OperationTimeout: It is not free by the deadline (absolute, ``time.monotonic``).
        """
        try:
            async with asyncio.timeout(max(0.0, deadline - monotonic())):
                await self._lock.acquire()
        except TimeoutError as error:
            raise OperationTimeout(NO_SERVERS, phase="connect") from error
        try:
            yield
        finally:
            self._lock.release()


async def give_way() -> None:
    """Let the others go on, before a caller is told what was known at once: he may well come again.

    Who asks in a loop would else keep the loop to himself, and what he waits for from happening.
    """
    await sleep(0)


async def together(calls: Sequence[Awaitable[object]]) -> None:
    """Await calls at the same time; a cancel reaches them all."""
    if len(calls) == 1:
        await calls[0]
    else:
        await asyncio.gather(*calls)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Await work that a cancel must not break off: its caller goes, it ends by itself."""
    task = asyncio.ensure_future(work)
    _UNBROKEN.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Future[Any]) -> None:
    _UNBROKEN.discard(task)
    if not task.cancelled():
        task.exception()  # is raised to its caller; if he has gone, it is nobody's


_UNBROKEN: set[asyncio.Future[Any]] = set()  # the loop itself holds tasks weakly


async def aside(work: Callable[[], object], deadline: float) -> None:
    """Do blocking work beside the event loop; past the deadline it goes on, but unattended.

    Raises:
        OperationTimeout: It is not done by the deadline (absolute, ``time.monotonic``).
    """
    seconds = max(0.0, deadline - monotonic())
    try:
        async with asyncio.timeout(seconds):
            await asyncio.to_thread(work)
    except TimeoutError as error:
        raise OperationTimeout(
            f"the server has not started within {seconds:.3g} s: raise timeout", phase="connect"
        ) from error


def cached_by(
    look_up: Callable[[AnyKey, Compute], Awaitable[Any]],
    name_of: Callable[[Callable[..., object]], Callable[..., AnyKey]],
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
