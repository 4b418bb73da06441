"""How users write code with the client; mypy and pyright check it, nobody runs it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, assert_type

from cenote import (
    AsyncClient,
    Client,
    ClientStats,
    Codec,
    Item,
    NodeHealth,
    PoolStats,
    Serde,
    Server,
)


class Shouting:
    """A serialisation of one's own."""

    def dumps(self, value: object, /) -> tuple[bytes, int]:
        """Return bytes and flags."""
        return str(value).upper().encode(), 1 << 20

    def loads(self, data: bytes, flags: int, /) -> object:
        """Return the value."""
        return data.decode()


serde: Serde = Shouting()


class Nothing:
    """A compression of one's own."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what is stored."""
        return data

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return what was compressed."""
        return data[:limit]


codec: Codec = Nothing()
packing = Client(serde="pymemcache", compress=codec)
packing_too = AsyncClient(serde="meta-memcache", compress="zstd", compress_level=9)


class User:
    """Something that is dear to load."""


def load() -> User:
    """Load at once."""
    return User()


async def load_later() -> User:
    """Load in a coroutine."""
    return User()


def from_threads() -> None:
    """Every command, with the types that come back."""
    servers: list[str | Server] = ["127.0.0.1:11211"]
    with Client("memcached://127.0.0.1", timeout=0.5, serde=serde, on_error="miss") as client:
        assert_type(client.get("k"), object)
        assert_type(client.get(b"k", 0), object)
        assert_type(client.gets("k"), Item | None)
        assert_type(client.get_many(["a", "b"]), dict[str, object])
        assert_type(client.get_many([b"a", b"b"]), dict[bytes, object])
        assert_type(client.get_many({"a": 1}), dict[str, object])
        assert_type(client.gat("k", timedelta(minutes=5)), object)
        assert_type(client.set("k", {"any": ["thing"]}, 60), bool)
        assert_type(client.set("k", 1, noreply=True), bool)
        assert_type(client.set_many({"a": 1, "b": 2}, 0.5), list[str])
        assert_type(client.set_many({b"a": "x"}), list[bytes])
        assert_type(client.delete_many(key for key in "ab"), int)
        assert_type(client.incr("k", initial=1, ttl=60), int | None)
        assert_type(client.touch("k", None), bool)
        assert_type(client.stats("slabs"), dict[str, dict[str, str]])
        assert_type(client.version(), dict[str, str])
        assert_type(client.nodes(), dict[str, NodeHealth])
        assert_type(client.pools(), dict[str, PoolStats])
        assert_type(client.client_stats(), ClientStats)
        assert_type(client, Client)
        assert_type(client.get_or_compute("k", load, 60), User)
        assert_type(client.get_or_compute("k", lambda: 7, 60, stale_for=10), int)
    Client(servers).close()


client = Client(max_size=32, min_size=0, max_waiting=None)
async_client = AsyncClient(Server.at("/run/memcached.sock"))


@client.cached(60, key="user:{user_id}")
def user(user_id: int, *, deep: bool = False) -> User:
    """Keep the signature."""
    return User()


assert_type(user(7, deep=True), User)
user("seven")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@async_client.cached(timedelta(minutes=1), key=lambda user_id: f"user:{user_id}")
async def user_later(user_id: int) -> User:
    """Keep the signature of a coroutine function."""
    return User()


@async_client.cached(60, key="user:{user_id}")
def user_at_once(user_id: int) -> User:
    """Become a coroutine function."""
    return User()


later: Callable[[int], Coroutine[Any, Any, User]] = user_later
at_once: Callable[[int], Coroutine[Any, Any, User]] = user_at_once


async def from_asyncio() -> None:
    """The same, awaited."""
    async with async_client as mc:
        assert_type(mc, AsyncClient)
        assert_type(await mc.get("k"), object)
        assert_type(await mc.get_many(["a"]), dict[str, object])
        assert_type(await mc.set_many({"a": 1}), list[str])
        assert_type(await mc.get_or_compute("k", load_later, 60), User)
        assert_type(await mc.get_or_compute("k", load, 60), User)
        assert_type(await user_later(7), User)
        assert_type(await user_at_once(7), User)


Client("127.0.0.1", on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client("127.0.0.1", max_sise=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
client.get(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
client.append("k", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
