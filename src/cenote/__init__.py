"""Connection pools for threads and asyncio, and a memcached client built on them.

This is the public face: every public name is exported here, once, and nothing else is promised.
"""

from __future__ import annotations

from cenote._implementation import use_compiled
from cenote.errors import (
    CenoteError,
    ClientError,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    InvalidKey,
    LeaseError,
    LocalServerError,
    NoNodesAvailable,
    NotSerializable,
    OperationTimeout,
    OutOfMemory,
    PoolClosed,
    PoolError,
    PoolSaturated,
    PoolTimeout,
    ProtocolError,
    ServerError,
    UnknownCommand,
    UnknownFlagsWarning,
    ValueTooLarge,
    WrongLoop,
)

__version__ = "0.1.0"

implementation = "speedups" if use_compiled("cenote.protocol._speedups") else "native"

__all__ = [
    "CenoteError",
    "ClientError",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectionLost",
    "InvalidArgument",
    "InvalidKey",
    "LeaseError",
    "LocalServerError",
    "NoNodesAvailable",
    "NotSerializable",
    "OperationTimeout",
    "OutOfMemory",
    "PoolClosed",
    "PoolError",
    "PoolSaturated",
    "PoolTimeout",
    "ProtocolError",
    "ServerError",
    "UnknownCommand",
    "UnknownFlagsWarning",
    "ValueTooLarge",
    "WrongLoop",
    "__version__",
    "implementation",
]
