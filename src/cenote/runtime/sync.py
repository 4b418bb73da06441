"""What the client needs of threads, under the names that its asyncio twin has in ``aio.py``."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from math import inf
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar

from cenote.errors import InvalidArgument, OperationTimeout
from cenote.pool.keeper_sync import KEEPER
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


Turn = threading.Lock
"""Kept while something is looked at and replaced in one go."""


class Renewed(Protocol):
    """What has locks, of which a forked child can not know who holds them."""

    def renew(self) -> None:
        """Begin anew, in a forked child."""


def renew_in_child(owner: Renewed) -> None:
    """Have ``owner`` begin anew in every child that is forked."""
    _INHERITED.add(owner)


class Alarm:
    """Calls somebody at a time to come; the soonest that was set counts.

    It is looked after by the thread that looks after the pools.

    Args:
        ring: What is called, from that thread; it should not block.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew: in a forked child nobody rings what the parent has set."""
        self._turn = Turn()
        self._due = inf

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, or before."""
        due = monotonic() + seconds
        with self._turn:
            sooner = due < self._due
            if sooner:
                self._due = due
        if sooner:
            KEEPER.call(self)

    def cancel(self) -> None:
        """Do not ring."""
        with self._turn:
            was_set, self._due = self._due < inf, inf
        if was_set:
            KEEPER.call(self)

    def visit(self) -> float | None:
        """Called by the keeper; see ``Kept``."""
        with self._turn:
            due = monotonic() >= self._due
            if due:
                self._due = inf
        if due:
            self._ring()
        with self._turn:
            return None if self._due == inf else max(0.0, self._due - monotonic())


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
        self._lock = threading.Lock()

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


def give_way() -> None:
    """Let the others go on: here the interpreter sees to that."""


def together(calls: Sequence[object]) -> None:
    """Await calls: here each has returned already."""


def unbroken(work: T) -> T:
    """Await work: here it has been done already."""
    return work


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


_INHERITED: weakref.WeakSet[Renewed] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_INHERITED):
        each.renew()


os.register_at_fork(after_in_child=_after_fork_in_child)
