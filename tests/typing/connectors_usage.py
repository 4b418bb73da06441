"""How users write code with connectors; mypy and pyright check it, nobody runs it."""

from __future__ import annotations

import sqlite3
import ssl
from typing import assert_type

import psycopg

from cenote import AsyncPool, KeyedPool, Pool, connectors
from cenote.connectors import HTTPConnection, HTTPResponse, Stream, aio
from cenote.connectors.aio import AsyncStream

Row = tuple[object, ...]


def streams(context: ssl.SSLContext) -> bytes:
    """Ask a line."""
    pool = Pool(connectors.tcp("host", 7000, context, timeout=None))
    assert_type(pool, Pool[Stream])
    with pool.connection() as stream:
        stream.send_all(bytearray(b"hello\n"), timeout=0.5)
        return stream.readline()


def databases() -> None:
    """Pool two drivers."""
    with Pool(connectors.dbapi(lambda: sqlite3.connect("x.db"))) as lite:
        assert_type(lite, Pool[sqlite3.Connection])
    database = connectors.dbapi(lambda: psycopg.connect("dbname=x"), ping="select 1")
    with Pool(database).connection() as connection:
        connection.execute("select 1")


def web() -> HTTPResponse:
    """Get a page."""
    pool = KeyedPool(connectors.origin, max_total=10)
    with pool.connection("https://host") as connection:
        assert_type(connection, HTTPConnection)
        return connection.fetch("GET", "/", headers={"Accept": "text/plain"})


async def tasks() -> None:
    """Do the same in asyncio."""
    async with AsyncPool(aio.unix("/run/service.sock", tls=True)) as pool:
        assert_type(pool, AsyncPool[AsyncStream])
        async with pool.connection() as stream:
            await stream.send_all(b"hello\n")
            assert_type(await stream.recv_exactly(5), bytes)
    database = aio.dbapi(lambda: psycopg.AsyncConnection.connect("dbname=x"))
    async with AsyncPool(database).connection() as connection:
        await connection.execute("select 1")
