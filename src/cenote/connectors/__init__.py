"""Ready-made resources for ``Pool``: byte streams, databases, HTTP.

    from cenote import Pool, connectors

    with Pool(connectors.tcp("127.0.0.1", 6379)) as pool, pool.connection() as stream: ...

``cenote.connectors.aio`` has the same names for ``AsyncPool``; it is imported by its full name, so
that a program of threads does not pay for asyncio.
"""

from __future__ import annotations

from cenote.connectors.databases_sync import Database, DBAPIConnection, dbapi
from cenote.connectors.http_sync import HTTPConnection, HTTPResponse
from cenote.connectors.origins_sync import HTTPConnector, http, origin
from cenote.connectors.stream_sync import Stream
from cenote.connectors.streams_sync import StreamConnector, tcp, unix

__all__ = [
    "DBAPIConnection",
    "Database",
    "HTTPConnection",
    "HTTPConnector",
    "HTTPResponse",
    "Stream",
    "StreamConnector",
    "dbapi",
    "http",
    "origin",
    "tcp",
    "unix",
]
