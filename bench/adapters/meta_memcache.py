"""meta-memcache: meta protocol, its socket written in Rust; pools as its README builds them.

Its default buffer of 4 KB makes replies that do not fit crawl (0.2 s for 100 values of 100 bytes),
so it gets one of 64 KB. It has no ``set_multi``: a loop of sets stands there. Its pool never waits:
beyond the limit it opens connections and closes them after use.
"""

from __future__ import annotations

from meta_memcache import CacheClient, ServerAddress, connection_pool_factory_builder

from bench.adapters.verbs import Place, Verbs


def client(place: Place) -> Verbs:
    mc = CacheClient.cache_client_from_servers(
        servers=[ServerAddress(host=place.host, port=place.port)],
        connection_pool_factory_fn=connection_pool_factory_builder(
            initial_pool_size=place.connections,
            max_pool_size=place.connections,
            read_buffer_size=65536,
        ),
    )
    set_one = mc.set

    def set_many(items):
        for key, value in items.items():
            set_one(key, value, 0)

    return Verbs(lambda key, value: set_one(key, value, 0), mc.get, mc.multi_get, set_many)


CONTENDERS = {
    "single": {"meta-memcache": client},
    "threads 8 on 8": {"meta-memcache": client},
    "threads 32 on 8": {"meta-memcache": client},
}
