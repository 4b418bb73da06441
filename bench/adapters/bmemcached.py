"""bmemcached: pure Python, binary protocol. Compression off: the values here are not worth it."""

from __future__ import annotations

import os
import ssl

import bmemcached

from bench.adapters.verbs import Place, Verbs


def client(place: Place, context: ssl.SSLContext | None = None) -> Verbs:
    server = f"{place.host}:{place.port}"
    mc = bmemcached.Client([server], compression=None, tls_context=context)
    return Verbs(
        lambda key, value: mc.set(key, value, compress_level=0),
        mc.get,
        mc.get_multi,
        lambda items: mc.set_multi(items, compress_level=0),
    )


def over_tls(place: Place) -> Verbs:
    return client(place, ssl.create_default_context(cafile=os.environ["BENCH_CA"]))


CONTENDERS = {"single": {"bmemcached": client}, "tls": {"bmemcached": over_tls}}
