"""Connection pools for threads and asyncio, and a memcached client built on them.

This is the public face: every public name is exported here, once, and nothing else is promised.
"""

from __future__ import annotations

from cenote.client.aio import AsyncClient
from cenote.client.compression import Codec
from cenote.client.outcome import ClientStats, Item
from cenote.client.routed import Key
from cenote.client.sync import Client
from cenote.client.values import Serde
from cenote.cluster.discovery import AsyncDiscovery, Discovered, Discovery, DiscoveryStatus
from cenote.cluster.dns import DNS
from cenote.cluster.elasticache import ElastiCache
from cenote.cluster.replicas import Replicas
from cenote.cluster.router import Router
from cenote.cluster.server import Server
from cenote.connection import TLS, Credentials, TCPAddress, UnixAddress
from cenote.errors import (
    AuthenticationFailed,
    BadConnector,
    CenoteError,
    ClientError,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    ConnectRejected,
    InvalidArgument,
    InvalidKey,
    LeaseError,
    LocalServerError,
    NestedAcquire,
    NodeDown,
    NoNodesAvailable,
    NotSerializable,
    OperationTimeout,
    OutOfMemory,
    PartialFailure,
    PoolClosed,
    PoolError,
    PoolSaturated,
    PoolTimeout,
    ProtocolError,
    ServerError,
    TLSError,
    UnknownCommand,
    UnknownFlagsWarning,
    UnreadableValue,
    ValueTooLarge,
    WrongLoop,
)
from cenote.node.health import NodeHealth
from cenote.pool import (
    AsyncConnector,
    CloseReport,
    Connector,
    Holder,
    Observer,
    PoolOptions,
    PoolStats,
)
from cenote.pool.aio import AsyncPool
from cenote.pool.keyed_aio import AsyncKeyedPool
from cenote.pool.keyed_sync import KeyedPool
from cenote.pool.sizing import Advice, size
from cenote.pool.sync import Pool
from cenote.pool.thread_mapped_sync import ThreadMappedPool
from cenote.protocol import IMPLEMENTATION as implementation  # noqa: N811 - a plain name for users

__version__ = "0.1.0"

__all__ = [
    "DNS",
    "TLS",
    "Advice",
    "AsyncClient",
    "AsyncConnector",
    "AsyncDiscovery",
    "AsyncKeyedPool",
    "AsyncPool",
    "AuthenticationFailed",
    "BadConnector",
    "CenoteError",
    "Client",
    "ClientError",
    "ClientStats",
    "CloseReport",
    "Codec",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectRejected",
    "ConnectionLost",
    "Connector",
    "Credentials",
    "Discovered",
    "Discovery",
    "DiscoveryStatus",
    "ElastiCache",
    "Holder",
    "InvalidArgument",
    "InvalidKey",
    "Item",
    "Key",
    "KeyedPool",
    "LeaseError",
    "LocalServerError",
    "NestedAcquire",
    "NoNodesAvailable",
    "NodeDown",
    "NodeHealth",
    "NotSerializable",
    "Observer",
    "OperationTimeout",
    "OutOfMemory",
    "PartialFailure",
    "Pool",
    "PoolClosed",
    "PoolError",
    "PoolOptions",
    "PoolSaturated",
    "PoolStats",
    "PoolTimeout",
    "ProtocolError",
    "Replicas",
    "Router",
    "Serde",
    "Server",
    "ServerError",
    "TCPAddress",
    "TLSError",
    "ThreadMappedPool",
    "UnixAddress",
    "UnknownCommand",
    "UnknownFlagsWarning",
    "UnreadableValue",
    "ValueTooLarge",
    "WrongLoop",
    "__version__",
    "implementation",
    "size",
]
