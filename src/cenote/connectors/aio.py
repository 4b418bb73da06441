"""Ready-made resources for ``AsyncPool``; the names are those of ``cenote.connectors``."""

from __future__ import annotations

from cenote.connectors.databases_aio import AsyncDatabase, AsyncDBAPIConnection, dbapi
from cenote.connectors.stream_aio import AsyncStream
from cenote.connectors.streams_aio import AsyncStreamConnector, tcp, unix

__all__ = [
    "AsyncDBAPIConnection",
    "AsyncDatabase",
    "AsyncStream",
    "AsyncStreamConnector",
    "dbapi",
    "tcp",
    "unix",
]
