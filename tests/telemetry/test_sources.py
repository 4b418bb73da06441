"""Which pools are read."""

from __future__ import annotations

import gc
import logging

import pytest

from cenote import (
    AsyncClient,
    AsyncPool,
    Client,
    ConfigurationError,
    KeyedPool,
    Pool,
    ThreadMappedPool,
)
from cenote.pool import registry
from cenote.telemetry.sources import Sources
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE
from tests.telemetry.conftest import Thing


def labels(*given: object) -> list[str]:
    return [reading.label for reading in Sources(*given).read()]  # type: ignore[arg-type]


def test_every_pool_is_read_where_none_is_given(pool: Pool[Thing]) -> None:
    sources = Sources()
    with Pool(Thing, name="later"):
        assert {"things", "later"} <= {reading.label for reading in sources.read()}


def test_only_what_is_given_is_read(pool: Pool[Thing]) -> None:
    with Pool(Thing, name="another"):
        assert labels(pool) == ["things"]


def test_the_pool_beneath_a_thread_mapped_pool_is_read() -> None:
    mapped = ThreadMappedPool(Thing, name="mapped")
    with mapped.connection():
        (reading,) = Sources(mapped).read()
    assert (reading.label, reading.stats.used) == ("mapped", 1)
    mapped.close()


def test_a_keyed_pool_is_read_as_the_pools_of_its_keys() -> None:
    hosts: KeyedPool[str, Thing] = KeyedPool(lambda _key: Thing, name="hosts", max_total=4)
    with hosts:
        sources = Sources(hosts)
        assert sources.read() == []
        with hosts.connection("a"), hosts.connection("b"):
            assert [reading.label for reading in sources.read()] == ["hosts[a]", "hosts[b]"]


def test_a_client_is_read_as_its_pools_and_they_say_what_they_connect_to(
    memcached_server: MemcachedServer,
) -> None:
    with Client(memcached_server.url, **PATIENCE) as client:
        (reading,) = Sources(client).read()
        assert reading.attributes["db.system.name"] == "memcached"
        assert f"{reading.attributes['server.address']}" in reading.label
        assert reading.stats.live == 1
        assert list(Sources(client).clients()) == list(client.nodes())


async def test_an_asyncio_client_is_read_as_its_pools() -> None:
    client = AsyncClient("memcached://127.0.0.1:1,127.0.0.1:2")
    assert labels(client) == ["127.0.0.1:1", "127.0.0.1:2"]
    (reading, _) = Sources(client).read()
    assert reading.attributes == {
        "db.system.name": "memcached",
        "server.address": "127.0.0.1",
        "server.port": 1,
    }
    await client.close()


def test_two_clients_of_one_server_are_told_apart() -> None:
    first, second = Client("127.0.0.1:3"), Client("127.0.0.1:3")
    assert labels(first, second) == ["127.0.0.1:3", "127.0.0.1:3-2"]
    assert list(Sources(first, second).clients()) == ["127.0.0.1:3", "127.0.0.1:3-2"]


def test_a_pool_that_is_closed_is_not_read_any_more(pool: Pool[Thing]) -> None:
    sources = Sources(pool)
    pool.close()
    assert sources.read() == []


def test_a_closed_pool_is_read_while_a_lease_is_out(pool: Pool[Thing]) -> None:
    with pool.connection(5):
        pool.close(timeout=0)
        assert labels(pool) == ["things"]


def test_being_watched_keeps_no_pool_alive() -> None:
    pool = Pool(Thing, name="brief")
    sources = Sources(pool)
    del pool
    gc.collect()
    assert sources.read() == []


def test_what_is_no_pool_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give pools and clients"):
        Sources("127.0.0.1:11211")  # type: ignore[arg-type]


def test_a_pool_that_can_not_be_read_is_left_out_and_logged(
    pool: Pool[Thing], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    glance = registry.glance

    def broken(each: registry.Watchable) -> object:
        if each is pool:
            raise RuntimeError("it broke")
        return glance(each)

    monkeypatch.setattr(registry, "glance", broken)
    with Pool(Thing, name="sound") as sound, caplog.at_level(logging.ERROR, "cenote.telemetry"):
        assert labels(pool, sound) == ["sound"]
    assert "pool 'things' could not be read" in caplog.text


async def test_a_pool_of_a_loop_is_read_without_its_loop() -> None:
    async def thing() -> Thing:
        return Thing()

    pool = AsyncPool(thing, name="tasks")
    assert labels(pool) == ["tasks"]
    await pool.close()
