"""HTTP connections in a pool: kept, judged by how the last response ended, repeated when safe."""

from __future__ import annotations

import select
from collections.abc import Callable

import pytest

from cenote import (
    ConfigurationError,
    ConnectionLost,
    OperationTimeout,
    Pool,
    ProtocolError,
    TLSError,
    connectors,
)
from cenote.connectors import HTTPConnection, aio
from cenote.testing.faults import Delay, Split
from cenote.testing.proxy import FaultProxy
from tests.connectors.conftest import Certified
from tests.connectors.web import WebServer


def pool_of(server: WebServer, **options) -> Pool[HTTPConnection]:
    return Pool(connectors.http("127.0.0.1", server.port, timeout=30), timeout=30, **options)


@pytest.mark.parametrize("path", ["/echo", "/chunked", "/large"])
def test_a_connection_is_kept(web: WebServer, path: str) -> None:
    with pool_of(web) as pool:
        for _ in range(3):
            with pool.connection() as connection:
                response = connection.fetch("GET", path)
                assert response.status == 200
                assert response.body
    assert web.accepted == 1


def test_a_response_carries_what_the_server_said(web: WebServer) -> None:
    with pool_of(web) as pool, pool.connection() as connection:
        response = connection.fetch("POST", "/echo", b"a body", {"X-Mine": "1"})
        assert (response.status, response.reason, response.body) == (200, "OK", b"a body")
        assert response.headers["content-length"] == "6"
        assert connection.fetch("HEAD", "/echo").body == b""
        assert connection.fetch("PUT", "/echo", "text").body == b"text"


def test_the_connection_of_a_last_response_is_not_kept(web: WebServer) -> None:
    with pool_of(web) as pool:
        for _ in range(2):
            with pool.connection() as connection:
                assert connection.fetch("GET", "/end").body == b"the end"
    assert pool.stats().created == 2


def test_what_the_application_raises_costs_no_connection(web: WebServer) -> None:
    with pool_of(web) as pool:
        for _ in range(2):
            with pytest.raises(KeyError), pool.connection() as connection:
                raise KeyError(connection.fetch("GET", "/echo").status)
    assert web.accepted == 1


# One safe retry.


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_request_that_crosses_a_hang_up_is_sent_once_more(web: WebServer, method: str) -> None:
    with pool_of(web, check_after=1000) as pool:
        with pool.connection() as connection:
            connection.fetch("GET", "/echo")
        web.hang_up()
        with pool.connection() as again:
            assert again is connection, "it was not checked"
            assert again.fetch(method, "/echo").status == 200
    assert web.accepted == 2


def test_a_request_that_may_have_been_acted_on_is_not_sent_again(web: WebServer) -> None:
    with pool_of(web, check_after=1000) as pool:
        with pool.connection() as connection:
            connection.fetch("GET", "/echo")
        with pytest.raises(ConnectionLost), pool.connection() as connection:
            connection.fetch("POST", "/drop")
        with pool.connection() as connection:
            assert connection.fetch("POST", "/echo").status == 200
    assert web.requests == ["GET /echo", "POST /drop", "POST /echo"]


def test_a_request_is_repeated_once_only(web: WebServer) -> None:
    with pool_of(web) as pool:
        with pool.connection() as connection:
            connection.fetch("GET", "/echo")
        with pytest.raises(ConnectionLost, match="0 bytes received"), pool.connection() as used:
            used.fetch("GET", "/drop")
    assert web.requests == ["GET /echo", "GET /drop", "GET /drop"]


def test_a_new_connection_that_hangs_up_is_not_asked_again(web: WebServer) -> None:
    with pool_of(web) as pool, pytest.raises(ConnectionLost), pool.connection() as connection:
        connection.fetch("GET", "/drop")
    assert web.requests == ["GET /drop"]


def test_a_response_that_had_begun_is_not_asked_for_again(web: WebServer) -> None:
    with pool_of(web) as pool, pool.connection() as connection:
        connection.fetch("GET", "/echo")
        with pytest.raises(ConnectionLost) as caught:
            connection.fetch("GET", "/half")
        assert caught.value.replied
    assert web.requests == ["GET /echo", "GET /half"]


# What is left over reaches nobody.


def test_an_early_hint_is_not_taken_for_the_response(web: WebServer) -> None:
    with pool_of(web) as pool:
        for _ in range(2):
            with pool.connection() as connection:
                response = connection.fetch("GET", "/hints")
                assert (response.status, response.body) == (200, b"the answer")
    assert web.accepted == 1


def test_a_connection_that_goes_on_in_another_protocol_is_not_kept(web: WebServer) -> None:
    with pool_of(web) as pool:
        with pool.connection() as connection:
            assert connection.fetch("GET", "/upgrade").status == 101
        with pool.connection() as connection:
            assert connection.fetch("GET", "/echo").status == 200
    assert pool.stats().closed["reset"] == 1


def test_a_second_response_reaches_nobody(web: WebServer) -> None:
    with pool_of(web) as pool:
        with pool.connection() as connection:
            assert connection.fetch("GET", "/twice").body == b"yours"
            assert not connection.clean
        with pool.connection() as connection:
            assert connection.fetch("GET", "/echo").body == b"/echo"
    assert pool.stats().closed["reset"] == 1


@pytest.mark.parametrize("read", [0, 1000, None], ids=["unread", "half read", "never asked for"])
def test_a_response_that_was_not_read_to_its_end_costs_the_connection(
    web: WebServer, read: int | None
) -> None:
    with pool_of(web) as pool:
        with pool.connection() as connection:
            connection.request("GET", "/large")
            if read is not None:
                with connection.getresponse() as response:
                    response.read(read)
        with pool.connection() as connection:
            assert connection.fetch("GET", "/echo").body == b"/echo"
    assert pool.stats().closed["reset"] == 1


def test_a_response_read_piece_by_piece_to_its_end_keeps_the_connection(web: WebServer) -> None:
    with pool_of(web) as pool:
        with pool.connection() as connection:
            connection.request("GET", "/large")
            response = connection.getresponse()
            while response.read(1_000_000):
                pass
        with pool.connection() as connection:
            assert connection.fetch("GET", "/echo").status == 200
    assert web.accepted == 1


def test_an_idle_connection_that_the_server_ended_is_not_handed_out(web: WebServer) -> None:
    with pool_of(web, check_after=0) as pool:
        with pool.connection() as connection:
            connection.fetch("GET", "/echo")
            sock = connection.sock
        web.hang_up()
        assert select.select([sock], [], [], 30)[0]
        with pool.connection() as again:
            assert again is not connection
            assert again.fetch("POST", "/echo").status == 200


# Bad days.


def test_a_server_that_is_silent_costs_no_more_than_the_timeout(web: WebServer) -> None:
    silent = pytest.raises(OperationTimeout, match="deadline passed in GET")
    with pool_of(web) as pool, silent, pool.connection() as connection:
        connection.fetch("GET", "/silence", timeout=0.1)
    assert pool.stats().closed["error"] == 1


def test_a_server_that_drips_costs_no_more_than_the_timeout(web: WebServer) -> None:
    with FaultProxy(("127.0.0.1", web.port)) as proxy:
        assert isinstance(proxy.address, tuple)
        proxy.replies = Split(1, 0.02)
        with (
            Pool(connectors.http(*proxy.address), timeout=30) as pool,
            pytest.raises(OperationTimeout),
            pool.connection() as connection,
        ):
            connection.fetch("GET", "/large", timeout=0.2)


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_request_may_take_longer_than_others(web: WebServer, timeout: float | None) -> None:
    with FaultProxy(("127.0.0.1", web.port)) as proxy:
        assert isinstance(proxy.address, tuple)
        proxy.replies = Delay(0.2)
        with (
            Pool(connectors.http(*proxy.address, timeout=0.1), timeout=30) as pool,
            pool.connection() as connection,
        ):
            assert connection.fetch("GET", "/echo", timeout=timeout).body == b"/echo"


def test_what_is_no_http_is_told_so(web: WebServer) -> None:
    with (
        pool_of(web) as pool,
        pytest.raises(ProtocolError, match="BadStatusLine"),
        pool.connection() as connection,
    ):
        connection.fetch("GET", "/nonsense")


# TLS and origins.


def test_an_origin_says_whether_to_speak_tls(secret_web: WebServer, certified: Certified) -> None:
    with Pool(connectors.origin(secret_web.url, tls=certified.client), timeout=30) as pool:
        for _ in range(3):
            with pool.connection() as connection:
                assert connection.fetch("GET", "/large").status == 200
    assert secret_web.accepted == 1


def test_over_tls_a_hang_up_is_crossed_and_noticed_too(
    secret_web: WebServer, certified: Certified
) -> None:
    secret = connectors.origin(secret_web.url, tls=certified.client)
    with Pool(secret, timeout=30) as pool, pool.connection() as connection:
        connection.fetch("GET", "/echo")
        secret_web.hang_up()
        assert connection.fetch("GET", "/echo").status == 200
        assert connection.is_alive()
        sock = connection.sock
        secret_web.hang_up()
        assert select.select([sock], [], [], 30)[0]
        assert not connection.is_alive()


def test_a_server_that_is_not_trusted_is_not_asked(secret_web: WebServer) -> None:
    with pytest.raises(TLSError, match="the certificate of"):
        connectors.origin(secret_web.url).connect(30)


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://", ""])
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no origin"):
        connectors.origin(url)


@pytest.mark.parametrize(
    ("connector", "where", "says"),
    [
        (connectors.http, ("http://host",), "the host of an address is a name, not a URL"),
        (connectors.tcp, ("host", "80"), "a port is an int from 1 to 65535, not '80'"),
        (aio.tcp, ("host", 0), "a port is an int from 1 to 65535, not 0"),
        (connectors.unix, (5,), "the path of an address is a text, not 5"),
        (aio.unix, ("",), "the path of an address is a text, not ''"),
    ],
)
def test_what_is_no_address_is_refused(
    connector: Callable[..., object], where: tuple[object, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        connector(*where)
