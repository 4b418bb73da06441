"""pylibmc, on libmemcached: the C client to beat. Text protocol, TCP_NODELAY, as it is fastest."""

from __future__ import annotations

from contextlib import ExitStack

import pylibmc

from bench.adapters.verbs import Checkout, Place, Verbs


def connected(place: Place) -> pylibmc.Client:
    return pylibmc.Client(
        [f"{place.host}:{place.port}"], binary=False, behaviors={"tcp_nodelay": True}
    )


def client(place: Place) -> Verbs:
    mc = connected(place)
    return Verbs(mc.set, mc.get, mc.get_multi, mc.set_multi)


def client_pool(place: Place) -> Verbs:
    pool = pylibmc.ClientPool(connected(place), place.connections)
    reserve = pool.reserve

    def set_(key, value):
        with reserve(block=True) as mc:
            return mc.set(key, value)

    def get(key):
        with reserve(block=True) as mc:
            return mc.get(key)

    def get_many(keys):
        with reserve(block=True) as mc:
            return mc.get_multi(keys)

    def set_many(items):
        with reserve(block=True) as mc:
            return mc.set_multi(items)

    return Verbs(set_, get, get_many, set_many)


def thread_mapped(place: Place) -> Verbs:
    """One connection a thread: with more threads than ``connections`` it has more connections."""
    reserve = pylibmc.ThreadMappedPool(connected(place)).reserve

    def set_(key, value):
        with reserve() as mc:
            return mc.set(key, value)

    def get(key):
        with reserve() as mc:
            return mc.get(key)

    return Verbs(set_, get)


def _reserving(reserve):
    def cycles(count: int) -> None:
        for _ in range(count):
            with reserve():
                pass

    return cycles


def reserve_client_pool():
    # It never connects until a command is sent: no server is needed to lend clients.
    pool = pylibmc.ClientPool(connected(Place("127.0.0.1", 1)), 4)
    return _reserving(pool.reserve)


def reserve_thread_mapped():
    return _reserving(pylibmc.ThreadMappedPool(connected(Place("127.0.0.1", 1))).reserve)


def fair_client_pool(size: int) -> Checkout:
    pool = pylibmc.ClientPool(connected(Place("127.0.0.1", 1)), size)
    return Checkout(pool.get, pool.put)


def idle(place: Place, count: int, closing: ExitStack) -> None:
    """Have ``count`` clients that have each made a request; a pool adds a list slot to each."""
    master = connected(place)
    for _ in range(count):
        mc = master.clone()
        closing.callback(mc.disconnect_all)
        mc.get("bench:idle")


CONTENDERS = {
    "single": {"pylibmc": client, "pylibmc ClientPool": client_pool},
    "threads 8 on 8": {
        "pylibmc ClientPool": client_pool,
        "pylibmc ThreadMappedPool": thread_mapped,
    },
    "threads 32 on 8": {
        "pylibmc ClientPool": client_pool,
        "pylibmc ThreadMappedPool (32 connections)": thread_mapped,
    },
    "checkout": {
        "pylibmc ClientPool.reserve": reserve_client_pool,
        "pylibmc ThreadMappedPool.reserve": reserve_thread_mapped,
    },
    "fairness": {"pylibmc ClientPool": fair_client_pool},
    "memory": {"pylibmc": idle},
}
