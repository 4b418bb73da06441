"""python-memcached: pure Python, a connection a thread; bytes are stored as they are."""

from __future__ import annotations

import memcache

from bench.adapters.verbs import Place, Verbs


def client(place: Place) -> Verbs:
    mc = memcache.Client([f"{place.host}:{place.port}"])
    return Verbs(mc.set, mc.get, mc.get_multi, mc.set_multi)


def client_of_four(place: Place) -> Verbs:
    mc = memcache.Client(place.all)
    return Verbs(mc.set, mc.get, mc.get_multi, mc.set_multi)


CONTENDERS = {
    "single": {"python-memcached": client},
    "four servers": {"python-memcached": client_of_four},
}
