# Generated from tests/client/test_sasl_aio.py by tools/unasync.py; do not edit.
"""Logging in to a real memcached by SASL (``-S``), and what such a server says to others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cenote import AuthenticationFailed, ConnectFailed, Credentials, PoolTimeout
from cenote.testing.memcached import MemcachedServer

USERS = {"ann": "s3cret", "bob": "p@ss word:w/räd"}


@pytest.fixture(params=["plain", "scram-sha-1", "scram-sha-256"], scope="module")
def guarded(request) -> Iterator[MemcachedServer]:
    with MemcachedServer(sasl_users=USERS, sasl_mechanisms=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def any_way() -> Iterator[MemcachedServer]:
    with MemcachedServer(unix=True, sasl_users=USERS) as server:
        yield server


@pytest.mark.parametrize("user", sorted(USERS))
def test_a_user_and_password_let_a_client_in(guarded, make_sync, user):
    client = make_sync(guarded.url, protocol="binary", username=user, password=USERS[user])
    assert client.set("a", 1)
    assert client.get("a") == 1


def test_a_url_lets_a_client_in(guarded, make_sync):
    client = make_sync(f"memcached://ann:s3cret@{guarded.url}?protocol=binary")
    assert client.set_many({"a": 1, "b": [2]}) == []
    assert client.get_many(["a", "b", "c"]) == {"a": 1, "b": [2]}


def test_credentials_are_asked_for_at_each_connect(any_way, make_sync):
    asked = []

    def credentials() -> Credentials:
        asked.append(1)
        return Credentials("ann", "s3cret")

    client = make_sync(any_way.url, protocol="binary", credentials=credentials, max_size=2)
    with client.connection(), client.connection():
        assert len(asked) == 2


def test_a_wrong_password_is_a_typed_error_at_once(guarded, make_sync):
    client = make_sync(guarded.url, protocol="binary", username="ann", password="wr0ng")
    with pytest.raises(AuthenticationFailed, match="'ann' or the password") as caught:
        client.get("a")
    assert isinstance(caught.value, PermissionError)
    assert "wr0ng" not in str(caught.value)


def test_without_credentials_the_error_says_what_to_give(any_way, make_sync):
    client = make_sync(any_way.url, protocol="binary")
    with pytest.raises(AuthenticationFailed, match="give username="):
        client.get("a")


def test_credentials_that_nobody_asks_for_are_an_error(server, make_sync):
    client = make_sync(server.url, protocol="binary", username="ann", password="s3cret")
    with pytest.raises(AuthenticationFailed, match="leave username and password out"):
        client.get("a")


@pytest.mark.parametrize(
    "options", [{"username": "ann", "password": "s3cret"}, {}], ids=["credentials", "nothing"]
)
def test_a_client_that_speaks_text_is_told_of_the_binary_protocol(any_way, make_sync, options):
    """The server stays silent to a short line, and hangs up on a longer one."""
    client = make_sync(any_way.url, connect_timeout=1, timeout=20, down_after=1, **options)
    with pytest.raises((ConnectFailed, PoolTimeout), match="use protocol='binary'"):
        client.get("a")


def test_a_client_that_speaks_binary_is_told_of_the_text_protocols(make_sync):
    with MemcachedServer(unix=True, options=["-B", "ascii"]) as server:
        client = make_sync(
            server.url, protocol="binary", connect_timeout=1, timeout=20, down_after=1
        )
        with pytest.raises((ConnectFailed, PoolTimeout), match="use protocol='auto'"):
            client.get("a")


def test_every_command_goes_through_a_server_with_sasl(any_way, make_sync):
    client = make_sync(any_way.url, protocol="binary", username="ann", password="s3cret")
    assert client.flush_all()
    assert client.add("k", "v", noreply=True)
    assert client.append("k", "w")
    item = client.gets("k")
    assert client.cas("k", "x", item.cas)
    assert client.gat("k", 60) == "x"
    assert client.touch("k", 60)
    assert client.incr("n", initial=5) == 5
    assert client.decr("n", 2) == 3
    assert client.get_or_compute("c", lambda: 7, 60) == 7
    assert client.gat_many(["k", "n", "c"], 60) == {"k": "x", "n": 3, "c": 7}
    assert client.delete_many(["k", "n", "none"]) == 2
    (stats,) = (client.stats("settings")).values()
    assert stats["auth_enabled_sasl"] == "yes"
    (version,) = (client.version()).values()
    assert version[0].isdigit()
