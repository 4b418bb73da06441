"""pymemcache: pure Python. Replies are waited for (its default is not to), TCP_NODELAY.

``PooledClient`` raises when all its connections are in use instead of waiting, so with 32 threads
it can not be held to 8 connections: there it opens as many as it likes, and the row says so.
"""

from __future__ import annotations

import os
import ssl
from contextlib import ExitStack

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.pool import ObjectPool

from bench.adapters.verbs import Place, Verbs


def of_four(place: Place) -> Verbs:
    mc = HashClient(place.all, no_delay=True, default_noreply=False)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def placing(servers: list[str], keys: list[str]):
    place = RendezvousHash(list(servers)).get_node

    def step() -> None:
        for key in keys:
            place(key)

    return step


class Resource:
    """What ``ObjectPool`` keeps needs room for one attribute of the pool's."""


def client(place: Place) -> Verbs:
    mc = Client((place.host, place.port), no_delay=True, default_noreply=False)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def over_tls(place: Place) -> Verbs:
    context = ssl.create_default_context(cafile=os.environ["BENCH_CA"])
    mc = Client((place.host, place.port), no_delay=True, default_noreply=False, tls_context=context)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def pooled(place: Place) -> Verbs:
    mc = PooledClient((place.host, place.port), no_delay=True, default_noreply=False)
    return Verbs(mc.set, mc.get, mc.get_many, mc.set_many)


def get_release():
    pool = ObjectPool(Resource)
    get, release = pool.get, pool.release

    def cycles(count: int) -> None:
        for _ in range(count):
            release(get())

    return cycles


def get_and_release():
    borrow = ObjectPool(Resource).get_and_release

    def cycles(count: int) -> None:
        for _ in range(count):
            with borrow():
                pass

    return cycles


def idle(place: Place, count: int, closing: ExitStack) -> None:
    for _ in range(count):
        mc = Client((place.host, place.port), no_delay=True)
        closing.callback(mc.close)
        mc.get("bench:idle")


CONTENDERS = {
    "single": {"pymemcache": client, "pymemcache PooledClient": pooled},
    "tls": {"pymemcache": over_tls},
    "threads 8 on 8": {"pymemcache PooledClient": pooled},
    "threads 32 on 8": {"pymemcache PooledClient (no limit)": pooled},
    "checkout": {
        "pymemcache ObjectPool.get/release": get_release,
        "pymemcache get_and_release": get_and_release,
    },
    "placement": {"pymemcache": placing},
    "four servers": {"pymemcache HashClient": of_four},
    "memory": {"pymemcache": idle},
}
