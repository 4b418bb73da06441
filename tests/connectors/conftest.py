"""Services and certificates for tests of connectors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme

from tests.connectors.postgres import PostgresServer
from tests.connectors.services import LineServer
from tests.connectors.web import WebServer
from tests.pool.conftest import run

__all__ = ["run"]


@pytest.fixture
def lines() -> Iterator[LineServer]:
    with LineServer() as server:
        yield server


@dataclass(frozen=True)
class Certified:
    """What a server named ``localhost`` and its clients need to speak TLS."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    authority: trustme.CA


@pytest.fixture(scope="session")
def certified() -> Certified:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certified(server, client, authority)


@pytest.fixture
def secret_lines(certified: Certified) -> Iterator[LineServer]:
    with LineServer(tls=certified.server) as server:
        yield server


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(_postgres: PostgresServer) -> PostgresServer:
    """A running PostgreSQL without sessions; a test may stop it."""
    _postgres.terminate_sessions()
    return _postgres


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def secret_web(certified: Certified) -> Iterator[WebServer]:
    with WebServer(tls=certified.server) as server:
        yield server
