"""Every error cenote raises, one sentence each.

Strategy: one root, ``CenoteError``; each class also inherits the stdlib class a caller would
already be catching (``TimeoutError``, ``ConnectionError``, ``ValueError``...). Messages are written
where the state is known and say what happened, the state, and what to change. All errors pickle:
the message is the only positional argument, everything else is a keyword with a default.

This module is the floor of the package: it imports nothing of cenote, and every layer may import
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class CenoteError(Exception):
    """The root of every error raised by cenote."""


class ConfigurationError(CenoteError, ValueError):
    """An option, URL or combination of them is not valid."""


# What a caller passed to a command: raised before a byte is sent.


class InvalidKey(CenoteError, ValueError):
    """The key can not be carried by memcached."""


class InvalidArgument(CenoteError, ValueError):
    """A TTL, delta, token or other argument is out of range or of the wrong type."""


class NotSerializable(CenoteError, TypeError):
    """The value can not be stored with the serialisation in use."""


class UnreadableValue(CenoteError, ValueError):
    """A stored value can not be read by this serialisation; a client reads it as a miss."""


class UnknownFlagsWarning(UserWarning):
    """A stored value can not be read (its flags are not known, or it is broken): read as a miss."""


# The pool.


class PoolError(CenoteError):
    """The pool could not do what was asked of it.

    Attributes:
        pool: The pool's name.
        waited: Seconds the caller had waited.
        stats: The pool at that instant (a ``PoolStats``), where it was taken.
    """

    def __init__(
        self, message: str = "", *, pool: str = "", waited: float = 0.0, stats: object = None
    ) -> None:
        super().__init__(message)
        self.pool = pool
        self.waited = waited
        self.stats = stats


class PoolTimeout(PoolError, TimeoutError):
    """No connection could be had within the caller's deadline."""


class PoolSaturated(PoolError):
    """Too many callers are waiting already (``max_waiting``)."""


class PoolClosed(PoolError):
    """The pool has been closed, or is closing."""


class ConnectFailed(PoolError, ConnectionError):
    """A connection could not be opened; the cause is chained."""


class ConnectRejected(ConnectFailed):
    """The peer was reached, and as things are it can not be talked to: soon is no better than now.

    A pool whose connector raises one fails everybody who waits with it, and tries again rarely.
    """


class AuthenticationFailed(ConnectRejected, PermissionError):
    """The server refused the credentials, or asks for some and there are none."""


class TLSError(ConnectRejected):
    """No TLS with this server as things are: a certificate, a file, or what it speaks is wrong."""


class LeaseError(PoolError, RuntimeError):
    """A connection was returned twice, to the wrong pool, or from a forked child."""


class NestedAcquire(PoolError, RuntimeError):
    """A thread or task that holds a connection would have waited for another of the same pool."""


class BadConnector(PoolError, TypeError):
    """The connector returned what can not be pooled: ``None``, or what is in the pool already."""


class WrongLoop(PoolError, RuntimeError):
    """An asyncio pool or client was used from another event loop than its own."""


# The servers.


class NoNodesAvailable(CenoteError, ConnectionError):
    """There is no server to ask about a key."""


class NodeDown(NoNodesAvailable):
    """The server that owns the key is down and is not asked until a probe of it succeeds."""


class PartialFailure(CenoteError, ConnectionError):
    """Of the servers that a command about many keys went to, some could not be asked.

    Attributes:
        answered: What the command returns for the keys of the servers that answered.
        failures: The error of every other key.
    """

    def __init__(
        self,
        message: str = "",
        *,
        answered: object = None,
        failures: Mapping[Any, CenoteError] = _NOTHING,
    ) -> None:
        super().__init__(message)
        self.answered = answered
        self.failures = dict(failures)


# The conversation with a server.


class OperationTimeout(CenoteError, TimeoutError):
    """The operation's deadline passed.

    Attributes:
        phase: Where the time went: ``"connect"`` or ``"exchange"`` (a wait for a free connection
            is a ``PoolTimeout``).
    """

    def __init__(self, message: str = "", *, phase: str = "exchange") -> None:
        super().__init__(message)
        self.phase = phase


class ConnectionLost(CenoteError, ConnectionError):
    """The connection ended before the reply was complete.

    Attributes:
        replied: True when some byte of the reply had arrived, so the request was seen.
    """

    def __init__(self, message: str = "", *, replied: bool = False) -> None:
        super().__init__(message)
        self.replied = replied


class ProtocolError(CenoteError):
    """The peer broke the protocol: the connection is destroyed, nothing it said is believed."""


class ServerError(CenoteError):
    """The server answered ``SERVER_ERROR``: it understood the command and could not do it."""


class OutOfMemory(ServerError, MemoryError):
    """The server has no memory left to store the value."""


class ValueTooLarge(ServerError, ValueError):
    """The value is over the server's item size limit (``memcached -I``)."""


class ClientError(CenoteError, ValueError):
    """The server answered ``CLIENT_ERROR``: it found fault with the request."""


class UnknownCommand(ClientError):
    """The server answered ``ERROR``: it does not know the command."""


class LocalServerError(CenoteError, RuntimeError):
    """The private server behind ``local://`` could not be started."""
