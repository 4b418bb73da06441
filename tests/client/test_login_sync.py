# Generated from tests/client/test_login_aio.py by tools/unasync.py; do not edit.
"""Logging in to a real memcached with an authentication file (``-Y``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cenote import AuthenticationFailed, ConfigurationError, Credentials
from cenote.testing.memcached import MemcachedServer


@pytest.fixture(params=["tcp", "unix"], scope="module")
def guarded(request) -> Iterator[MemcachedServer]:
    users = {"ann": "s3cret", "bob": "p@ss:w/rd"}
    with MemcachedServer(unix=request.param == "unix", users=users) as server:
        yield server


def url_of(server: MemcachedServer, user: str) -> str:
    if isinstance(server.endpoint, str):
        return f"unix://{user}@{server.endpoint}"
    return f"memcached://{user}@{server.url}"


def test_a_user_and_password_let_a_client_in(guarded, make_sync, protocol):
    client = make_sync(guarded.url, username="ann", password="s3cret", protocol=protocol)
    assert client.set("a", 1)
    assert client.get("a") == 1


def test_a_url_lets_a_client_in(guarded, make_sync):
    client = make_sync(url_of(guarded, "bob:p%40ss%3Aw%2Frd"), username="ann", password="wrong")
    assert client.set("a", 1)


def test_credentials_let_a_client_in(guarded, make_sync):
    client = make_sync(guarded.url, credentials=Credentials("ann", "s3cret"))
    assert client.set("a", 1)
    client = make_sync(guarded.url, credentials=lambda: Credentials("ann", "s3cret"))
    assert client.set("a", 1)


@pytest.mark.parametrize("options", [{"username": "ann", "password": "wr0ng"}, {}], ids=str)
def test_without_the_right_password_there_is_a_typed_error(guarded, make_sync, options):
    client = make_sync(guarded.url, timeout=30, connect_timeout=20, **options)
    with pytest.raises(AuthenticationFailed, match="password"):
        client.get("a")


def test_a_login_to_a_server_that_asks_for_none_leaves_nothing_behind(server, make_sync):
    client = make_sync(server.url, username="ann", password="s3cret")
    assert client.get("cenote:login") is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"username": "ann"}, "password is missing"),
        ({"password": "s3cret"}, "username is missing"),
        ({"username": "ann", "password": 7}, "not int"),
        ({"username": "ann", "password": "s3cret s3cret"}, "space"),
        ({"credentials": ("ann", "s3cret")}, "not tuple"),
        (
            {"username": "ann", "password": "s3cret", "credentials": Credentials("a", "s3cret")},
            "not both",
        ),
    ],
    ids=["no-password", "no-user", "number", "space", "tuple", "both"],
)
def test_credentials_that_can_not_be_are_refused_at_once(make_sync, options, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        make_sync("127.0.0.1:1", **options)
    assert "s3cret" not in str(caught.value)
