# Generated from tests/client/test_administration_aio.py by tools/unasync.py; do not edit.
"""Servers and the client itself: statistics, versions, health, opening and closing."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest

from cenote import local
from cenote.client.sync import Client
from cenote.errors import ConfigurationError, InvalidArgument, LocalServerError, PoolClosed
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")


def test_version_and_stats_answer_by_server(client_sync, server):
    (name,) = client_sync.version()
    assert name == server.url
    assert (client_sync.version())[name].startswith("1.")
    client_sync.set("k", 1)
    statistics = client_sync.stats()
    assert int(statistics[name]["cmd_set"]) >= 1
    assert "1:chunk_size" in (client_sync.stats("slabs"))[name]
    assert "maxbytes" in (client_sync.stats("settings"))[name]


@pytest.mark.parametrize("word", ["a\r\nflush_all", "a\nb", "\x00", "größe", 7], ids=repr)
def test_stats_takes_no_commands(client_sync, word):
    client_sync.set("k", 1)
    with pytest.raises(InvalidArgument):
        client_sync.stats(word)
    assert client_sync.get("k") == 1


def test_flush_all_forgets_everything(client_sync):
    client_sync.set("k", 1)
    assert client_sync.flush_all() is True
    assert client_sync.get("k") is None
    client_sync.set("k", 1)
    assert client_sync.flush_all(timedelta(hours=1)) is True
    assert client_sync.get("k") == 1


@pytest.mark.parametrize("delay", [-1, "1", None, True, float("nan")], ids=repr)
def test_flush_all_wants_a_time(client_sync, delay):
    with pytest.raises(InvalidArgument, match="delay"):
        client_sync.flush_all(delay)


def test_health_and_pool_statistics_cost_nothing(client_sync, server):
    (health,) = client_sync.nodes().values()
    assert (health.name, health.state) == (server.url, "up")
    (pool,) = client_sync.pools().values()
    assert pool.max_size == 16
    assert list(client_sync.pools()) == [server.url]


def test_a_constructor_does_no_io(make_sync):
    client = make_sync("memcached://256.256.256.256:1")
    (health,) = client.nodes().values()
    assert health.state == "unknown"
    (pool,) = client.pools().values()
    assert pool.size == 0


def test_a_client_opens_on_first_use_and_stays_closed(server, make_sync):
    client = make_sync(server.url)
    assert client.set("k", 1) is True
    client.close()
    client.close()
    for call in (client.get, client.delete, client.incr):
        with pytest.raises(PoolClosed):
            call("k")
    with pytest.raises(PoolClosed):
        client.set("k", 1, noreply=True)
    with pytest.raises(PoolClosed):
        client.get_or_compute("k", lambda: 1, 60)
    with pytest.raises(PoolClosed):
        client.open()
    with pytest.raises(PoolClosed):
        client.__enter__()


def test_a_client_closed_before_its_first_use_is_closed(server, make_sync):
    client = make_sync(server.url)
    client.close()
    with pytest.raises(PoolClosed):
        client.get("k")


def test_opening_makes_the_least_connections_ready(server, make_sync):
    client = make_sync(server.url, min_size=3)
    client.open()
    (pool,) = client.pools().values()
    assert pool.idle == 3


def test_entering_without_a_server_raises_and_leaves_nothing_behind(make_sync):
    with MemcachedServer() as mortal:
        url = mortal.url
        mortal.stop()
        client = make_sync(url, timeout=0.1)
        with pytest.raises(OSError, match="connect"):
            client.__enter__()
        with pytest.raises(PoolClosed):
            client.get("k")


def test_a_client_shows_its_servers(make_sync):
    client = make_sync("memcached://127.0.0.1:1?timeout=2")
    assert repr(client) == "<Client 127.0.0.1:1>"


@pytest.mark.parametrize("on_error", ["raise", "miss"])
def test_a_local_client_says_what_to_install(on_error, monkeypatch, make_sync):
    """That there is no memcached to run is no outage, not even to a forgiving client."""
    monkeypatch.setenv("CENOTE_MEMCACHED", "/nonexistent/memcached")
    local._stop_shared()
    client = Client("local://", on_error=on_error, **PATIENCE)
    with pytest.raises(LocalServerError, match="install"):
        client.__enter__()
    client = make_sync("local://", on_error=on_error)
    for _ in range(4):
        with pytest.raises(LocalServerError, match="install"):
            client.get("k")
    with pytest.raises(LocalServerError, match="install"):
        client.version()
    with pytest.raises(LocalServerError, match="install"):
        client.set("k", 1, noreply=True)
    assert client.client_stats().outages == 0


def test_a_local_client_starts_its_server_on_first_use():
    with Client("local://?timeout=5") as client:
        assert client.set("k", 1) is True
        assert client.get("k") == 1
        assert list(client.nodes()) == ["local"]
        with Client("local://", **PATIENCE) as other:
            assert other.get("k") == 1


def test_a_connection_is_leased_for_work_of_several_steps(client_sync, encoders):
    (name,) = client_sync.nodes()
    deadline = monotonic() + 5.0
    with client_sync.connection() as connection:
        connection.exchange(encoders.store("set", b"raw", b"1", 0, 0), deadline)
        assert connection.exchange(encoders.incr(b"raw", 1), deadline) == 2
        assert client_sync.pools()[name].used == 1
    assert client_sync.pools()[name].used == 0
    with client_sync.connection(name) as connection:
        assert connection.exchange(encoders.get(b"raw"), deadline) == (b"2", 0, 0)


def test_a_connection_is_leased_from_a_server_that_is_known(client_sync):
    with pytest.raises(ConfigurationError, match="elsewhere"):
        client_sync.connection("elsewhere:1").__enter__()


def test_of_several_servers_one_must_be_named(make_sync):
    client = make_sync(["127.0.0.1:1", "127.0.0.1:2"])
    with pytest.raises(ConfigurationError, match="name one"):
        client.connection().__enter__()
