# Generated from tests/client/test_tls_aio.py by tools/unasync.py; do not edit.
"""Clients over TLS, of a real memcached that wants a password too."""

from __future__ import annotations

import logging
import ssl
import traceback
import warnings
from collections.abc import Iterator

import pytest

from cenote import (
    TLS,
    AuthenticationFailed,
    CenoteError,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    Credentials,
    Observer,
    TLSError,
)
from cenote.runtime.sync import sleep
from cenote.testing.faults import CloseAfter
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.certificates import FAULTS

PASSWORD = "tr0ub4dor"


@pytest.fixture(scope="module")
def secured(certificates) -> Iterator[MemcachedServer]:
    good = certificates.server
    with MemcachedServer(
        certificate=good.cert, key=good.key, users={"ann": PASSWORD}, threads=2
    ) as server:
        yield server


@pytest.fixture
def tls(certificates) -> TLS:
    return TLS(ca=certificates.authority.path)


def url_of(server: MemcachedServer, password: str = PASSWORD) -> str:
    return f"memcacheds://ann:{password}@{server.url}"


def test_a_url_and_an_authority_are_all_it_takes(secured, make_sync, tls, protocol):
    client = make_sync(url_of(secured), tls=tls, protocol=protocol)
    values = {f"k{n}": "v" * n for n in range(0, 3000, 7)}
    assert client.set_many(values) == []
    assert client.get_many(values) == values
    big = "x" * 900_000
    assert client.set("big", big)
    assert client.get("big") == big
    assert client.set("n", 1)
    assert client.incr("n", 3) == 4
    assert client.delete_many(values) == len(values)


def test_a_context_of_ones_own_will_do(secured, make_sync, certificates):
    context = ssl.create_default_context(cafile=certificates.authority.path)
    client = make_sync(secured.url, tls=context, username="ann", password=PASSWORD)
    assert client.set("a", 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_certificate_is_a_typed_error_at_once(make_sync, tls, certificates, fault):
    bad = certificates.bad[fault]
    with MemcachedServer(certificate=bad.cert, key=bad.key) as server:
        client = make_sync(server.url, tls=tls, timeout=30, connect_timeout=20)
        with pytest.raises(TLSError, match=FAULTS[fault]):
            client.get("a")
        (health,) = client.nodes().values()
        assert health.state == "down"
        assert health.connect_failures == 1


def test_a_certificate_may_be_renewed_on_either_side(make_sync, certificates, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.stranger.path.read_bytes())
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for source, target in ((certificates.server.cert, cert), (certificates.server.key, key)):
        target.write_bytes(source.read_bytes())
    with MemcachedServer(certificate=cert, key=key) as server:
        client = make_sync(
            server.url, tls=TLS(ca=ca), backoff_cap=0.05, timeout=30, connect_timeout=20
        )
        with pytest.raises(TLSError, match="not trusted"):
            client.set("a", 1)
        ca.write_bytes(certificates.authority.path.read_bytes())
        until(lambda: client.set("a", 1))
        other = certificates.authority.issue()
        cert.write_bytes(other.cert.read_bytes())
        key.write_bytes(other.key.read_bytes())
        server.restart()
        until(lambda: client.set("a", 1))


def until(work) -> None:
    """Try until it works: the pool tries again by itself."""
    for _ in range(5000):
        try:
            assert work()
        except (ConnectFailed, ConnectionLost):
            sleep(0.002)
        else:
            return
    raise AssertionError("it never works")


def test_files_that_can_not_be_loaded_say_which(make_sync, secured, certificates, tmp_path):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    good, other = certificates.client, certificates.server
    for wrong, says in (
        (TLS(ca=tmp_path / "missing.pem"), r"ca=.*missing\.pem.*No such file"),
        (TLS(ca=garbage), r"ca=.*garbage\.pem"),
        (TLS(cert=garbage), r"cert=.*garbage\.pem"),
        (TLS(cert=good.cert, key=other.key), r"cert and key=.*a key must be that of"),
    ):
        client = make_sync(secured.url, tls=wrong, timeout=30)
        with pytest.raises(TLSError, match=says):
            client.get("a")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tls": "yes"}, "not str"),
        ({"tls": 1}, "not int"),
        ({"tls": False}, "tls=False forbids it"),
    ],
    ids=str,
)
def test_what_can_be_no_tls_is_refused_at_once(make_sync, options, says):
    with pytest.raises(ConfigurationError, match=says):
        make_sync("memcacheds://127.0.0.1:1", **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ca": 7}, "a path, not int"),
        ({"cert": ""}, "a path"),
        ({"key": "key.pem"}, "cert="),
        ({"server_hostname": ""}, "empty"),
        ({"server_hostname": 7}, "a str"),
        ({"check_hostname": "no"}, "True or False"),
    ],
    ids=str,
)
def test_what_tls_can_not_be_is_refused_at_once(options, says):
    with pytest.raises(ConfigurationError, match=says):
        TLS(**options)


def test_a_drop_inside_a_value_costs_the_connection_alone(secured, make_sync, tls):
    value = "x" * 200_000
    with FaultProxy(secured.endpoint) as proxy:
        url = f"memcacheds://ann:{PASSWORD}@127.0.0.1:{proxy.address[1]}"
        client = make_sync(url, tls=tls, timeout=30, connect_timeout=20, max_size=1)
        assert client.set("a", value)
        proxy.replies = CloseAfter(100_000)
        with pytest.raises(ConnectionLost):
            client.get("a")
        proxy.heal()
        assert client.get("a") == value


# Logging in: not a storm, and not a word of the password.


class Listener(Observer):
    def __init__(self) -> None:
        self.failures: list[BaseException] = []

    def connect_failed(self, pool, error, seconds) -> None:
        self.failures.append(error)


def test_a_wrong_password_is_one_attempt_and_not_a_storm(secured, make_sync, tls):
    heard = Listener()
    client = make_sync(url_of(secured, "wr0ng"), tls=tls, observer=heard, timeout=30)
    for _ in range(200):
        with pytest.raises(AuthenticationFailed, match="'ann'"):
            client.get("a")
    assert len(heard.failures) == 1
    with pytest.raises(AuthenticationFailed):
        make_sync(url_of(secured, "wr0ng"), tls=tls, timeout=30).open()


def test_a_password_that_becomes_right_lets_the_client_in(secured, make_sync, tls):
    passwords = iter(["wr0ng", "wr0ng"])

    def rotating() -> Credentials:
        return Credentials("ann", next(passwords, PASSWORD))

    client = make_sync(secured.url, tls=tls, credentials=rotating, timeout=30, backoff_cap=0.05)
    with pytest.raises(AuthenticationFailed):
        client.set("a", 1)
    until(lambda: client.set("a", 1))


def test_an_outage_of_the_right_to_enter_may_be_forgiven(secured, make_sync, tls):
    client = make_sync(url_of(secured, "wr0ng"), tls=tls, on_error="miss", timeout=30)
    assert client.get("a", "default") == "default"
    assert client.client_stats().outages == 1


@pytest.mark.parametrize("password", [PASSWORD, "secret-wr0ng"])
def test_a_password_shows_nowhere(secured, make_sync, tls, caplog, password):
    heard = Listener()
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        client = make_sync(url_of(secured, password), tls=tls, observer=heard, timeout=30)
        said = [repr(client), str(client)]
        try:
            client.get("a")
        except CenoteError as error:
            said += traceback.format_exception(error)
        said += [repr(client.nodes()), repr(client.pools()), repr(client.client_stats())]
        said += [repr(vars(failure)) + str(failure) for failure in heard.failures]
        client.close()
    said += [caplog.text, *map(str, warned)]
    assert not [text for text in said if password in text]


def test_a_server_that_is_added_later_can_not_ask_for_tls_by_itself(make_sync):
    client = make_sync("127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="memcacheds://: leave them out"):
        client.add_node("memcacheds://127.0.0.1:2")
    with pytest.raises(ConfigurationError, match="asks for TLS"):
        make_sync("127.0.0.1:1", failover="gutter", gutter="memcacheds://127.0.0.1:2")
