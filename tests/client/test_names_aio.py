"""Clients whose servers stand in the DNS: addresses of a name, targets of SRV records."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import pytest

from cenote import DNS, ConfigurationError, NoNodesAvailable
from cenote.testing.memcached import MemcachedServer
from tests.client.together_aio import until
from tests.nameserver import NameServer

PATIENT = 10.0
VALUES = {f"key:{number}": f"value {number}" for number in range(40)}
SERVICE = ("_memcache._tcp.cache.", "SRV")


@pytest.fixture(scope="module")
def three():
    """Three memcacheds at one port of different addresses, as the pods of a service are."""
    with ExitStack() as stack:
        first = stack.enter_context(MemcachedServer())
        others = [
            stack.enter_context(MemcachedServer(options=["-l", f"127.0.0.{n}:{first.port}"]))
            for n in (2, 3)
        ]
        yield [first, *others]


@pytest.fixture
def names():
    with NameServer() as names:
        yield names


def asking(names, **options):
    return DNS(nameservers=(names.url,), interval=0.05, **options)


async def test_every_address_of_a_name_is_a_server(three, names, make_aio):
    port = three[0].port
    names.records["cache.", "A"] = ["127.0.0.3", "127.0.0.1", "127.0.0.2"]
    client = make_aio(f"cache:{port}", discovery=asking(names), timeout=PATIENT)
    assert await client.set_many(VALUES) == []
    assert list(client.nodes()) == [f"127.0.0.{n}:{port}" for n in (1, 2, 3)]
    assert await client.get_many(VALUES) == VALUES
    assert set(await client.version()) == set(client.nodes())


async def test_addresses_that_come_and_go_are_followed(three, names, make_aio):
    port = three[0].port
    names.ttl = 1
    names.records["cache.", "A"] = ["127.0.0.1"]
    client = make_aio(f"cache:{port}", discovery=asking(names), timeout=PATIENT)
    await client.set_many(VALUES)
    names.records["cache.", "A"] = ["127.0.0.2", "127.0.0.1"]
    await until(lambda: len(client.nodes()) == 2)
    await client.set_many(VALUES)
    assert await client.get_many(VALUES) == VALUES
    names.records["cache.", "A"] = ["127.0.0.2"]
    await until(lambda: list(client.nodes()) == [f"127.0.0.2:{port}"])
    await client.set_many(VALUES)
    assert await client.get_many(VALUES) == VALUES


async def test_targets_of_a_service_keep_their_names(three, names, make_aio):
    names.records[SERVICE] = [
        f"0 33 {three[0].port} localhost.",
        f"9 33 {three[0].port} spare.",
    ]
    client = make_aio("_memcache._tcp.cache", discovery=asking(names), timeout=PATIENT)
    assert await client.set("a", "1") is True
    assert list(client.nodes()) == [f"localhost:{three[0].port}"]


@pytest.mark.parametrize("kind", ["broken", "nothing", "unknown"])
async def test_shrinking_to_nothing_keeps_the_last_good_list(three, names, make_aio, kind):
    port = three[0].port
    names.records["cache.", "A"] = ["127.0.0.1", "127.0.0.2"]
    client = make_aio(f"cache:{port}", discovery=asking(names, timeout=1.0), timeout=PATIENT)
    await client.set_many(VALUES)
    if kind == "broken":
        names.broken = True
    elif kind == "nothing":
        names.records["cache.", "A"] = []
    else:
        names.records.clear()
    await until(lambda: client.discovery().failures > 0)
    assert len(client.nodes()) == 2
    assert await client.get_many(VALUES) == VALUES


async def test_the_order_of_an_answer_changes_nothing(three, names, make_aio):
    port = three[0].port
    names.records["cache.", "A"] = ["127.0.0.1", "127.0.0.2"]
    client = make_aio(f"cache:{port}", discovery=asking(names), timeout=PATIENT, hashing="modula")
    await client.set_many(VALUES)
    names.records["cache.", "A"].reverse()
    asked = names.asked
    await until(lambda: names.asked > asked + 3)
    assert client.discovery().changes == 1
    assert await client.get_many(VALUES) == VALUES


async def test_the_systems_resolver_will_do_for_addresses(three, make_aio):
    client = make_aio(f"memcached://127.0.0.1:{three[0].port}?discovery=dns")
    assert await client.set("a", "1") is True
    assert list(client.nodes()) == [f"127.0.0.1:{three[0].port}"]


async def test_a_name_that_nobody_knows_is_an_outage(names, make_aio):
    client = make_aio("nowhere.invalid:1", discovery=asking(names), timeout=PATIENT)
    with pytest.raises(NoNodesAvailable, match="empty"):
        await client.get("a")


async def test_srv_without_dnspython_names_the_extra(make_aio, monkeypatch):
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)
    client = make_aio("_memcache._tcp.cache", discovery="dns", timeout=PATIENT)
    with pytest.raises((NoNodesAvailable, ConfigurationError), match=r"cenote\[dns\]"):
        await client.get("a")
