"""bmemcached: pure Python, binary protocol. Compression off: the values here are not worth it."""

from __future__ import annotations

import bmemcached

from bench.adapters.verbs import Place, Verbs


def client(place: Place) -> Verbs:
    mc = bmemcached.Client([f"{place.host}:{place.port}"], compression=None)
    return Verbs(
        lambda key, value: mc.set(key, value, compress_level=0),
        mc.get,
        mc.get_multi,
        lambda items: mc.set_multi(items, compress_level=0),
    )


CONTENDERS = {"single": {"bmemcached": client}}
