"""requests and urllib3 on cenote's pools: their protocol, our limits."""

from __future__ import annotations

import inspect
import pickle
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import urllib3
from urllib3.exceptions import ClosedPoolError, EmptyPoolError

from cenote.integrations.requests import CenoteAdapter
from cenote.integrations.urllib3 import adopt, new_connections
from tests.connectors.conftest import Certified
from tests.connectors.web import WebServer


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def mounted(session: requests.Session, **options) -> CenoteAdapter:
    adapter = CenoteAdapter(**{"timeout": 30.0} | options)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return adapter


def test_requests_keeps_its_connections_in_the_pool(
    session: requests.Session, web: WebServer
) -> None:
    adapter = mounted(session)
    for path in ("/echo", "/chunked", "/large"):
        assert session.get(web.url + path).status_code == 200
    assert session.post(web.url + "/echo", data=b"a body").content == b"a body"
    assert web.accepted == 1
    stats = adapter.stats()
    assert (stats.idle, stats.used, stats.acquired) == (1, 0, 4)


def test_tls_is_as_requests_has_it(
    session: requests.Session, secret_web: WebServer, certified: Certified, tmp_path
) -> None:
    mounted(session)
    with pytest.raises(requests.exceptions.SSLError):
        session.get(secret_web.url + "/echo")
    authority = tmp_path / "authority.pem"
    (known,) = certified.client.get_ca_certs(binary_form=True)[-1:]
    authority.write_text(ssl.DER_cert_to_PEM_cert(known))
    for _ in range(2):
        assert session.get(secret_web.url + "/echo", verify=str(authority)).content == b"/echo"


def test_a_connection_is_borrowed_in_its_users_line(
    session: requests.Session, web: WebServer
) -> None:
    def borrow(session: requests.Session) -> requests.Response:
        return session.get(web.url + "/large", stream=True)

    for leak_after in (60.0, None):  # where it was borrowed; else where its holder is
        adapter = mounted(session, max_per_host=1, timeout=0.05, leak_after=leak_after)
        held = borrow(session)
        (holder,) = adapter.connections.holders()
        place = Path(__file__).name
        line = borrow.__code__.co_firstlineno + 1
        assert holder.where.startswith(f"{place}:")
        assert holder.where == f"{place}:{line}" or leak_after is None
        with pytest.raises(EmptyPoolError, match=f"longest held .*[(]{place}:"):
            session.get(web.url + "/echo")
        held.close()
        adapter.close()


def test_with_urllib3_alone_a_connection_is_borrowed_in_its_users_line(web: WebServer) -> None:
    with new_connections(leak_after=60.0) as connections, urllib3.PoolManager() as manager:
        adopt(manager, connections)
        lent = manager.request("GET", web.url + "/large", preload_content=False)
        (holder,) = connections.holders()
        line = inspect.currentframe().f_lineno - 2  # type: ignore[union-attr]
        assert holder.where == f"{Path(__file__).name}:{line}"
        lent.drain_conn()
        lent.release_conn()


def test_who_finds_every_connection_in_use_waits_and_is_told(
    session: requests.Session, web: WebServer
) -> None:
    mounted(session, max_per_host=1, timeout=0.05)
    held = session.get(web.url + "/large", stream=True)
    with pytest.raises(EmptyPoolError, match=r"1/1 in use.*raise max_per_host or"):
        session.get(web.url + "/echo")
    held.close()
    assert session.get(web.url + "/echo").status_code == 200


def test_all_hosts_together_have_a_limit(session: requests.Session, web: WebServer) -> None:
    adapter = mounted(session, max_total=2, max_per_host=2)
    with WebServer() as other, WebServer() as third:
        for server in (web, other, third):
            assert session.get(server.url + "/echo").status_code == 200
        assert adapter.stats().size <= 2


def test_threads_share_the_connections(session: requests.Session, web: WebServer) -> None:
    adapter = mounted(session, max_per_host=2)
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                path = f"/echo?{number}.{turn}"
                assert session.get(web.url + path).text == path
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert web.accepted <= 2
    assert adapter.stats().used == 0


@pytest.mark.parametrize("path", ["/drop", "/half", "/nonsense"])
def test_a_failed_request_costs_no_place(
    session: requests.Session, web: WebServer, path: str
) -> None:
    adapter = mounted(session, max_per_host=1)
    for _ in range(3):
        with pytest.raises(requests.exceptions.RequestException):
            session.get(web.url + path)
    assert session.get(web.url + "/echo").status_code == 200
    assert adapter.stats().used == 0


def test_retries_are_urllib3s(session: requests.Session, web: WebServer) -> None:
    mounted(session, max_per_host=1, max_retries=2)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(web.url + "/drop")
    assert web.requests == ["GET /drop"] * 3


def test_a_connection_that_the_server_ended_while_idle_is_replaced(
    session: requests.Session, web: WebServer
) -> None:
    mounted(session)
    for _ in range(3):
        assert session.post(web.url + "/echo", data=b"x").content == b"x"
        sockets = set(web.sockets)
        web.hang_up()
        while web.sockets & sockets:
            pass
    assert web.accepted == 3


def test_a_streamed_response_left_early_costs_its_connection_only(
    session: requests.Session, web: WebServer
) -> None:
    adapter = mounted(session, max_per_host=1)
    with session.get(web.url + "/large", stream=True) as response:
        assert response.raw.read(1000) == bytes(1000)
    assert session.get(web.url + "/echo").text == "/echo"
    assert adapter.stats().used == 0


def test_a_closed_session_may_be_used_again(session: requests.Session, web: WebServer) -> None:
    adapter = mounted(session)
    session.get(web.url + "/echo")
    session.close()
    assert adapter.stats().size == 0
    assert session.get(web.url + "/echo").status_code == 200


def test_an_adapter_can_be_pickled_and_begins_empty(
    session: requests.Session, web: WebServer
) -> None:
    adapter = mounted(session, max_total=3)
    session.get(web.url + "/echo")
    again = pickle.loads(pickle.dumps(adapter))
    assert again.stats().size == 0
    session.mount("http://", again)
    assert session.get(web.url + "/echo").status_code == 200
    adapter.close()


def test_a_proxy_is_one_more_host_of_the_pool(session: requests.Session, web: WebServer) -> None:
    adapter = mounted(session, max_per_host=1)
    response = session.get("http://not.here/echo", proxies={"http": web.url})
    assert response.status_code == 200
    assert adapter.stats().idle == 1


def test_urllib3_alone_takes_the_pool_too(web: WebServer) -> None:
    with new_connections(max_per_host=1) as connections, urllib3.PoolManager() as manager:
        adopt(manager, connections)
        for _ in range(3):
            assert manager.request("GET", web.url + "/echo").data == b"/echo"
        assert connections.stats().acquired == 3
    assert web.accepted == 1


def test_a_request_that_gets_no_connection_gives_back_nobody_elses(web: WebServer) -> None:
    """urllib3 gives back ``None`` for it: that is not the connection of the response before."""
    with new_connections(max_per_host=2) as connections, urllib3.PoolManager() as manager:
        adopt(manager, connections)
        streamed = manager.request("GET", web.url + "/large", preload_content=False)
        connections.drain(timeout=0)
        with pytest.raises(ClosedPoolError):
            manager.request("GET", web.url + "/echo", retries=False)
        assert connections.stats().used == 1
        assert len(streamed.read()) == 5_000_000
        streamed.release_conn()
        assert connections.stats().used == 0
