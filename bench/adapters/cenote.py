"""cenote itself: the public classes with their defaults, as a user would write it.

The pool is measured three times: as it comes; "upkeep on", with all that keeps connections fit also
where the default is off (a limit of uses, keepalive); and "every option on", with the diagnostics
too (leak detection, which remembers where each lease was borrowed, and histograms).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from dataclasses import replace

import cenote
from bench.adapters.verbs import AsyncVerbs, Checkout, Place, Verbs
from cenote import connectors, telemetry
from cenote.cluster.router import placer_for
from cenote.telemetry import operations

DEAD_HOST = "127.0.0.250"  # nobody listens there
DEFAULTS = {"max_size": 4}
UPKEEP = DEFAULTS | {
    "max_lifetime": 1800.0,
    "max_idle": 600.0,
    "max_uses": 10**12,
    "keepalive": 60.0,
    "check_after": 0.5,
}
EVERY_OPTION = UPKEEP | {"leak_after": 30.0, "histograms": True}


def client(place: Place) -> Verbs:
    mc = cenote.Client(f"{place.host}:{place.port}", max_size=place.connections, timeout=5.0)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def over_tls(place: Place) -> Verbs:
    mc = cenote.Client(
        f"memcacheds://{place.host}:{place.port}",
        tls=cenote.TLS(ca=os.environ["BENCH_CA"]),
        max_size=place.connections,
        timeout=5.0,
    )
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def without_tls(place: Place) -> Verbs:
    return client(replace(place, host=place.hosts[1]))


def watched(place: Place) -> Verbs:
    """With its endpoint open: figures, alerts and events are read once a second."""
    mc = cenote.Client(f"{place.host}:{place.port}", max_size=place.connections, timeout=5.0)
    telemetry.serve("127.0.0.1:0", mc)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def with_histograms(place: Place) -> Verbs:
    """And histograms of every lease and of every operation."""
    mc = cenote.Client(
        f"{place.host}:{place.port}", max_size=place.connections, timeout=5.0, histograms=True
    )
    operations.measure(mc)
    telemetry.serve("127.0.0.1:0", mc)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


async def async_client(place: Place) -> AsyncVerbs:
    mc = cenote.AsyncClient(f"{place.host}:{place.port}", max_size=place.connections, timeout=5.0)
    await mc.open()
    return AsyncVerbs(mc.set, mc.get)


def client_of_four(place: Place) -> Verbs:
    mc = cenote.Client(place.all, max_size=place.connections, timeout=5.0)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def with_a_dead_one(failover: str):
    """A client of four servers, at one of which nobody listens; it has noticed."""

    def factory(place: Place) -> Verbs:
        servers = [cenote.Server.at(url, name=f"server-{n}") for n, url in enumerate(place.all)]
        dead = cenote.Server.at(f"{DEAD_HOST}:{place.port}", name=servers[-1].name)
        mc = cenote.Client(
            [*servers[:-1], dead],
            max_size=place.connections,
            timeout=5.0,
            failover=failover,
            on_error="miss",
        )
        while not mc.nodes()[dead.name].ejected:
            mc.get_many([f"wake:{number}" for number in range(100)])
        return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)

    return factory


def all_up(failover: str):
    """The same client, where all four servers are up."""

    def factory(place: Place) -> Verbs:
        servers = [cenote.Server.at(url, name=f"server-{n}") for n, url in enumerate(place.all)]
        mc = cenote.Client(
            servers,
            max_size=place.connections,
            timeout=5.0,
            failover=failover,
            on_error="miss",
        )
        return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)

    return factory


async def async_client_of_four(place: Place) -> AsyncVerbs:
    mc = cenote.AsyncClient(place.all, max_size=place.connections, timeout=5.0)
    await mc.open()
    return AsyncVerbs(mc.set, mc.get)


def placing(hashing: str):
    """Place keys as they go on the wire, one call a key."""

    def factory(servers: list[str], keys: list[str]):
        place = placer_for(hashing, [cenote.Server.at(server) for server in servers]).place
        wires = [key.encode() for key in keys]

        def step() -> None:
            for wire in wires:
                place(wire)

        return step

    return factory


class Resource:
    """Something to keep: nothing to open, alive and clean whenever asked."""

    def close(self) -> None: ...


class Connector:
    def connect(self, _timeout: float) -> Resource:
        return Resource()

    def close(self, _resource: Resource) -> None: ...

    def is_alive(self, _resource: Resource) -> bool:
        return True

    def ping(self, _resource: Resource) -> None: ...

    def is_clean(self, _resource: Resource) -> bool:
        return True


class AsyncConnector(Connector):
    async def connect(self, _timeout: float) -> Resource:
        return Resource()


def _connection_cycles(pool):
    connection = pool.connection

    def cycles(count: int) -> None:
        for _ in range(count):
            with connection():
                pass

    return cycles


def _acquire_cycles(pool):
    acquire, release = pool.acquire, pool.release

    def cycles(count: int) -> None:
        for _ in range(count):
            release(acquire())

    return cycles


def with_connection(options):
    return lambda: _connection_cycles(cenote.Pool(Connector(), **options))


def keyed_with_connection():
    """One of a hundred keys at a time, each of which has an idle connection."""
    pool = cenote.KeyedPool(lambda _: Connector(), max_total=100)
    keys = [f"host-{number}" for number in range(100)]

    def cycles(count: int) -> None:
        connection = pool.connection
        for _ in range(count // len(keys)):
            for key in keys:
                with connection(key):
                    pass

    return cycles


def acquire_release(options):
    return lambda: _acquire_cycles(cenote.Pool(Connector(), **options))


def async_with(options):
    async def factory():
        return _async_cycles(cenote.AsyncPool(AsyncConnector(), **options))

    return factory


def _async_cycles(pool):
    connection = pool.connection

    async def cycles(count: int) -> None:
        for _ in range(count):
            async with connection():
                pass

    return cycles


def sqlite_with_connection():
    connect = lambda: sqlite3.connect(":memory:", check_same_thread=False)  # noqa: E731
    return _connection_cycles(cenote.Pool(connectors.dbapi(connect), **DEFAULTS))


def get_by_requests(url: str):
    """Get by requests with our adapter, which only this contender imports."""
    from bench.adapters.requests import getting  # noqa: PLC0415
    from cenote.integrations.requests import CenoteAdapter  # noqa: PLC0415

    return getting(url, CenoteAdapter())


def get_by_http_client(url: str):
    """Get by ``http.client``'s connections in a keyed pool."""
    pool = cenote.KeyedPool(connectors.origin)

    def get() -> None:
        with pool.connection(url) as connection:
            assert connection.fetch("GET", "/").body

    return get


def fair(size: int) -> Checkout:
    pool = cenote.Pool(Connector(), max_size=size, max_connecting=size)
    return Checkout(pool.acquire, pool.release)


def idle(place: Place, count: int, closing: ExitStack) -> None:
    """Have a client with ``count`` idle connections, each of which has made a request."""
    mc = cenote.Client(
        f"{place.host}:{place.port}",
        min_size=count,
        max_size=count,
        max_connecting=64,
        order="fifo",
        timeout=60.0,
        connect_timeout=10.0,
    )
    closing.callback(mc.close)
    mc.open()
    for _ in range(count):
        mc.get("bench:idle")
    (stats,) = mc.pools().values()
    assert stats.idle == count, stats


CONTENDERS = {
    "single": {"cenote": client},
    "tls": {"cenote": over_tls, "cenote without TLS": without_tls},
    "threads 8 on 8": {"cenote": client},
    "threads 32 on 8": {"cenote": client},
    "tasks": {"cenote": async_client},
    "waits": {"cenote": async_client},
    "checkout": {
        "cenote with connection()": with_connection(DEFAULTS),
        "cenote with connection(), upkeep on": with_connection(UPKEEP),
        "cenote with connection(), every option on": with_connection(EVERY_OPTION),
        "cenote KeyedPool with connection(key)": keyed_with_connection,
        "cenote acquire/release": acquire_release(DEFAULTS),
        "cenote acquire/release, upkeep on": acquire_release(UPKEEP),
        "cenote acquire/release, every option on": acquire_release(EVERY_OPTION),
    },
    "async checkout": {
        "cenote async with": async_with(DEFAULTS),
        "cenote async with, upkeep on": async_with(UPKEEP),
        "cenote async with, every option on": async_with(EVERY_OPTION),
    },
    "database": {"cenote with connection()": sqlite_with_connection},
    "http": {
        "cenote under requests": get_by_requests,
        "cenote KeyedPool, fetch": get_by_http_client,
    },
    "fairness": {"cenote": fair},
    "placement": {
        "cenote": placing("rendezvous"),
        "cenote as pymemcache": placing("pymemcache"),
        "cenote ketama": placing("ketama"),
    },
    "four servers": {"cenote": client_of_four, "cenote, one of them": client},
    "four servers, tasks": {
        "cenote": async_client_of_four,
        "cenote, one of them": async_client,
    },
    "dead server": {
        "cenote": with_a_dead_one("fail"),
        "cenote, all up": all_up("fail"),
        "cenote rehash": with_a_dead_one("rehash"),
        "cenote rehash, all up": all_up("rehash"),
    },
    "watched": {
        "cenote": client,
        "cenote, watched": watched,
        "cenote, histograms": with_histograms,
    },
    "memory": {"cenote": idle},
}
