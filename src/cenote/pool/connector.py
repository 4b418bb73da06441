"""What a pool must be told about the resources it keeps: how to open, close, check and judge them.

Strategy: a connector is structural. ``connect`` and ``close`` are required; ``is_alive``, ``ping``,
``reset``, ``classify``, ``abort`` and ``is_clean`` are used when they exist; a plain callable that
returns a resource with a ``close`` method will do. All of that is resolved once, when the pool is
made, into ``Hooks`` (or ``AsyncHooks``), so that what is absent costs nothing later. None of these
callbacks is ever run under a pool's lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable, iscoroutine, iscoroutinefunction, isfunction
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast

from cenote.errors import BadConnector, ConfigurationError
from cenote.pool.options import Default, PoolOptions

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Verdict = Literal["ok", "discard", "invalidate_all"]
Classify = Callable[[BaseException], Verdict]
Fit: TypeAlias = Callable[[Any], Any] | None


class Connector(Protocol[T]):
    """Opens and closes resources for a ``Pool``.

    Optional methods, used when present: ``is_alive(resource) -> bool`` (without a round trip),
    ``ping(resource)`` (a round trip; raises when dead), ``reset(resource)`` (make clean for the
    next lease; raises when it can not), ``classify(error) -> "ok" | "discard" | "invalidate_all"``,
    ``abort(resource)`` (let go without a goodbye), ``is_clean(resource) -> bool`` (nothing to
    reset).
    """

    def connect(self, timeout: float, /) -> T:
        """Open a resource within ``timeout`` seconds, or raise."""
        ...

    def close(self, resource: T, /) -> None:
        """Close a resource; called exactly once for each."""
        ...


class AsyncConnector(Protocol[T]):
    """Opens and closes resources for an ``AsyncPool``.

    The optional methods are those of ``Connector``. ``close``, ``is_alive``, ``ping``, ``reset``
    and ``abort`` may be plain functions or coroutine functions; ``classify`` and ``is_clean`` are
    plain. ``abort`` is called in a forked child too, for what is the parent's: there it may close
    the descriptor, but not touch the event loop, whose selector the parent shares.
    """

    async def connect(self, timeout: float, /) -> T:
        """Open a resource within ``timeout`` seconds, or raise."""
        ...

    def close(self, resource: T, /) -> Awaitable[None] | None:
        """Close a resource; called exactly once for each."""
        ...


class Closeable(Protocol):
    """A resource that a plain callable may return: something with a ``close`` method."""

    def close(self) -> object:
        """Let go of the resource."""


@dataclass(frozen=True, slots=True)
class Hooks(Generic[T]):
    """A connector taken apart: each callback that exists, ``None`` for each that does not."""

    connect: Callable[[float], T]
    close: Callable[[T], object]
    is_alive: Callable[[T], bool] | None = None
    ping: Callable[[T], object] | None = None
    reset: Callable[[T], object] | None = None
    abort: Callable[[T], object] | None = None
    is_clean: Callable[[T], bool] | None = None
    classify: Classify | None = None


@dataclass(frozen=True, slots=True)
class AsyncHooks(Generic[T]):
    """As ``Hooks``, for asyncio: results that are awaitable are awaited by the driver."""

    connect: Callable[[float], Awaitable[T]]
    close: Callable[[T], object]
    is_alive: Callable[[T], Awaitable[bool] | bool] | None = None
    ping: Callable[[T], object] | None = None
    reset: Callable[[T], object] | None = None
    abort: Callable[[T], object] | None = None
    is_clean: Callable[[T], bool] | None = None
    classify: Classify | None = None


def hooks(
    connector: Connector[T] | Callable[[], T],
    *,
    check: Callable[[T], bool] | bool = True,
    reset: Callable[[T], object] | bool = True,
    classify: Classify | None = None,
) -> Hooks[T]:
    """Take a connector, or a plain callable, apart; arguments override what it brings.

    Args:
        connector: A ``Connector``, or a callable that returns a resource with ``close()``.
        check: Asked before a connection that was idle for long is handed out; ``True``: the
            connector's ``is_alive``; ``False``: no check.
        reset: Run on release unless the connector says the resource is clean; ``True``: the
            connector's; ``False``: none.
        classify: Judges the error a lease ended with; ``None``: the connector's.

    Raises:
        ConfigurationError: The connector can neither be called nor has ``connect`` and ``close``;
            it is a class, or one for asyncio; or another argument can not be called.
    """
    opens, close, fit = _required(connector)
    if iscoroutinefunction(connector) or iscoroutinefunction(opens):
        raise ConfigurationError(f"{connector!r} connects by a coroutine: use AsyncPool")
    connect = opens if fit is None else lambda timeout: fit(opens(timeout))
    return Hooks(connect, close, *_optional(connector, check, reset, classify))


def async_hooks(
    connector: AsyncConnector[T] | Callable[[], Awaitable[T]],
    *,
    check: Callable[[T], Awaitable[bool] | bool] | bool = True,
    reset: Callable[[T], object] | bool = True,
    classify: Classify | None = None,
) -> AsyncHooks[T]:
    """As ``hooks``, for an ``AsyncConnector`` or a callable that returns an awaitable."""
    opens, close, fit = _required(connector)
    connect = opens
    if fit is not None or not iscoroutinefunction(opens):
        connect = _awaited(connector, opens, fit)
    return AsyncHooks(connect, close, *_optional(connector, check, reset, classify))


def check_needs(found: Hooks[T] | AsyncHooks[T], options: PoolOptions) -> None:
    """Refuse options that need a callback which does not exist, rather than to ignore them.

    Raises:
        ConfigurationError: ``keepalive`` is given and there is no ``ping``, or ``check_after`` and
            there is no check.
    """
    keepalive, check_after = options.keepalive, options.check_after
    if keepalive is not None and found.ping is None:
        raise ConfigurationError(
            f"keepalive={keepalive!r} needs a connector with ping(resource), and this one has none"
        )
    if not isinstance(check_after, Default) and found.is_alive is None:
        raise ConfigurationError(
            f"check_after={check_after!r} needs a check: a connector with is_alive(resource), or "
            "check=... of a pool"
        )


def check_maker(connector_for_key: object) -> None:
    """Refuse what can not make a connector for a key.

    Raises:
        ConfigurationError: It can not be called.
    """
    if not callable(connector_for_key):
        raise ConfigurationError(
            f"{connector_for_key!r} can not be called: a keyed pool is given a function that "
            "returns the connector for a key"
        )


def judge(classify: Classify | None, error: BaseException) -> Verdict:
    """Say what becomes of a connection whose lease ended with ``error``.

    Anything that is not an ``Exception`` (KeyboardInterrupt, SystemExit, a cancel) discards: it may
    have struck in the middle of an exchange. So does whatever no one classified, and a classifier
    that raises.
    """
    if classify is None or not isinstance(error, Exception):
        return "discard"
    try:
        return classify(error)
    except Exception:
        return "discard"


def _required(connector: object) -> tuple[Callable[[float], Any], Callable[[Any], object], Fit]:
    """Return what opens a resource, what closes it, and whether it must be seen to be fit."""
    connect, close = getattr(connector, "connect", None), getattr(connector, "close", None)
    if connect is None and callable(connector):
        factory = cast("Callable[[], Any]", connector)
        return lambda _timeout: factory(), _close, _closeable
    if not (callable(connect) and callable(close)):
        raise ConfigurationError(
            f"{connector!r} is no connector: pass an object with connect(timeout) and "
            "close(resource), or a callable that returns a resource with close()"
        )
    if isinstance(connector, type) and isfunction(connect):
        name = connector.__name__
        raise ConfigurationError(
            f"{name} is a class with connect and close: pass {name}() if that is a connector, or "
            f"lambda: {name}(...) if it is what the pool is to keep"
        )
    return connect, close, None


def _awaited(
    connector: object, opens: Callable[[float], Any], fit: Fit
) -> Callable[[float], Awaitable[Any]]:
    async def connect(timeout: float) -> Any:
        opening = opens(timeout)
        if not isawaitable(opening):
            raise BadConnector(
                f"{connector!r} returned {opening!r}, which can not be awaited: connect by a "
                "coroutine, or use Pool"
            )
        resource = await opening
        return resource if fit is None else fit(resource)

    return connect


def _closeable(resource: Any) -> Any:
    if iscoroutine(resource):
        resource.close()
        raise BadConnector("the connector returned a coroutine: use AsyncPool")
    if resource is not None and not callable(getattr(resource, "close", None)):
        raise BadConnector(
            f"the connector returned {resource!r}, which has no close(): pass an object with "
            "connect(timeout) and close(resource)"
        )
    return resource


def _close(resource: Closeable) -> object:
    return resource.close()


def _optional(
    connector: object,
    check: Callable[[T], Any] | bool,
    reset: Callable[[T], object] | bool,
    classify: Classify | None,
) -> tuple[Any, ...]:
    if classify is not None and not callable(classify):
        raise ConfigurationError(f"classify={classify!r} is no function of an error")
    return (
        _chosen("check", check, getattr(connector, "is_alive", None)),
        getattr(connector, "ping", None),
        _chosen("reset", reset, getattr(connector, "reset", None)),
        getattr(connector, "abort", None),
        getattr(connector, "is_clean", None),
        classify or getattr(connector, "classify", None),
    )


def _chosen(name: str, given: Callable[[T], Any] | bool, own: Callable[[T], Any] | None) -> Any:
    if given is True:
        return own
    if given is not False and not callable(given):
        raise ConfigurationError(f"{name}={given!r} is neither a function of a resource nor a bool")
    return given or None
