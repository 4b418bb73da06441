"""Servers and the client itself: statistics, versions, health, opening and closing."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest

from cenote import local
from cenote.client.aio import AsyncClient
from cenote.errors import ConfigurationError, InvalidArgument, LocalServerError, PoolClosed
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")


async def test_version_and_stats_answer_by_server(client_aio, server):
    (name,) = await client_aio.version()
    assert name == server.url
    assert (await client_aio.version())[name].startswith("1.")
    await client_aio.set("k", 1)
    statistics = await client_aio.stats()
    assert int(statistics[name]["cmd_set"]) >= 1
    assert "1:chunk_size" in (await client_aio.stats("slabs"))[name]
    assert "maxbytes" in (await client_aio.stats("settings"))[name]


@pytest.mark.parametrize("word", ["a\r\nflush_all", "a\nb", "\x00", "größe", 7], ids=repr)
async def test_stats_takes_no_commands(client_aio, word):
    await client_aio.set("k", 1)
    with pytest.raises(InvalidArgument):
        await client_aio.stats(word)
    assert await client_aio.get("k") == 1


async def test_flush_all_forgets_everything(client_aio):
    await client_aio.set("k", 1)
    assert await client_aio.flush_all() is True
    assert await client_aio.get("k") is None
    await client_aio.set("k", 1)
    assert await client_aio.flush_all(timedelta(hours=1)) is True
    assert await client_aio.get("k") == 1


@pytest.mark.parametrize("delay", [-1, "1", None, True, float("nan")], ids=repr)
async def test_flush_all_wants_a_time(client_aio, delay):
    with pytest.raises(InvalidArgument, match="delay"):
        await client_aio.flush_all(delay)


async def test_health_and_pool_statistics_cost_nothing(client_aio, server):
    (health,) = client_aio.nodes().values()
    assert (health.name, health.state) == (server.url, "up")
    (pool,) = client_aio.pools().values()
    assert pool.max_size == 16
    assert list(client_aio.pools()) == [server.url]


async def test_a_constructor_does_no_io(make_aio):
    client = make_aio("memcached://256.256.256.256:1")
    (health,) = client.nodes().values()
    assert health.state == "unknown"
    (pool,) = client.pools().values()
    assert pool.size == 0


async def test_a_client_opens_on_first_use_and_stays_closed(server, make_aio):
    client = make_aio(server.url)
    assert await client.set("k", 1) is True
    await client.close()
    await client.close()
    for call in (client.get, client.delete, client.incr):
        with pytest.raises(PoolClosed):
            await call("k")
    with pytest.raises(PoolClosed):
        await client.set("k", 1, noreply=True)
    with pytest.raises(PoolClosed):
        await client.get_or_compute("k", lambda: 1, 60)
    with pytest.raises(PoolClosed):
        await client.open()
    with pytest.raises(PoolClosed):
        await client.__aenter__()


async def test_a_client_closed_before_its_first_use_is_closed(server, make_aio):
    client = make_aio(server.url)
    await client.close()
    with pytest.raises(PoolClosed):
        await client.get("k")


async def test_opening_makes_the_least_connections_ready(server, make_aio):
    client = make_aio(server.url, min_size=3)
    await client.open()
    (pool,) = client.pools().values()
    assert pool.idle == 3


async def test_entering_without_a_server_raises_and_leaves_nothing_behind(make_aio):
    with MemcachedServer() as mortal:
        url = mortal.url
        mortal.stop()
        client = make_aio(url, timeout=0.1)
        with pytest.raises(OSError, match="connect"):
            await client.__aenter__()
        with pytest.raises(PoolClosed):
            await client.get("k")


async def test_a_client_shows_its_servers(make_aio):
    client = make_aio("memcached://127.0.0.1:1?timeout=2")
    assert repr(client) == "<AsyncClient 127.0.0.1:1>"


@pytest.mark.parametrize("on_error", ["raise", "miss"])
async def test_a_local_client_says_what_to_install(on_error, monkeypatch, make_aio):
    """That there is no memcached to run is no outage, not even to a forgiving client."""
    monkeypatch.setenv("CENOTE_MEMCACHED", "/nonexistent/memcached")
    local._stop_shared()
    client = AsyncClient("local://", on_error=on_error, **PATIENCE)
    with pytest.raises(LocalServerError, match="install"):
        await client.__aenter__()
    client = make_aio("local://", on_error=on_error)
    for _ in range(4):
        with pytest.raises(LocalServerError, match="install"):
            await client.get("k")
    with pytest.raises(LocalServerError, match="install"):
        await client.version()
    with pytest.raises(LocalServerError, match="install"):
        await client.set("k", 1, noreply=True)
    assert client.client_stats().outages == 0


async def test_a_local_client_starts_its_server_on_first_use():
    async with AsyncClient("local://?timeout=5") as client:
        assert await client.set("k", 1) is True
        assert await client.get("k") == 1
        assert list(client.nodes()) == ["local"]
        async with AsyncClient("local://", **PATIENCE) as other:
            assert await other.get("k") == 1


async def test_a_connection_is_leased_for_work_of_several_steps(client_aio, encoders):
    (name,) = client_aio.nodes()
    deadline = monotonic() + 5.0
    async with client_aio.connection() as connection:
        await connection.exchange(encoders.store("set", b"raw", b"1", 0, 0), deadline)
        assert await connection.exchange(encoders.incr(b"raw", 1), deadline) == 2
        assert client_aio.pools()[name].used == 1
    assert client_aio.pools()[name].used == 0
    async with client_aio.connection(name) as connection:
        assert await connection.exchange(encoders.get(b"raw"), deadline) == (b"2", 0, 0)


async def test_a_connection_is_leased_from_a_server_that_is_known(client_aio):
    with pytest.raises(ConfigurationError, match="elsewhere"):
        await client_aio.connection("elsewhere:1").__aenter__()


async def test_of_several_servers_one_must_be_named(make_aio):
    client = make_aio(["127.0.0.1:1", "127.0.0.1:2"])
    with pytest.raises(ConfigurationError, match="name one"):
        await client.connection().__aenter__()
