"""What an adapter gives a workload: the client's own methods, so that nothing of ours is timed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where the server is, and how many connections a shared client may open.

    ``hosts``: those of all servers of the group, of which ``host`` is the first.
    """

    host: str
    port: int
    connections: int = 1
    hosts: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        return [f"{host}:{self.port}" for host in self.hosts]


@dataclass(frozen=True)
class Verbs:
    """A blocking client. ``set_many`` returns once the server has answered for every key."""

    set: Callable[[str, bytes], object]
    get: Callable[[str], bytes | None]
    get_many: Callable[[list[str]], Mapping[object, bytes] | None] | None = None
    set_many: Callable[[dict[str, bytes]], object] | None = None


@dataclass(frozen=True)
class AsyncVerbs:
    """An asyncio client; some take keys as bytes only."""

    set: Callable[..., Awaitable[object]]
    get: Callable[..., Awaitable[object]]
    value_of: Callable[[Any], bytes | None] = lambda reply: reply
    bytes_keys: bool = False


@dataclass(frozen=True)
class Checkout:
    """A pool of ``size`` resources that several threads take and give back."""

    acquire: Callable[[], object]
    release: Callable[[object], object]
