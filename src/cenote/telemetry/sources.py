"""What is looked at: the pools of a process, or some of them, read without disturbing them.

Strategy: pools enter themselves in ``cenote.pool.registry`` when they are made, so that nothing has
to be wired. Whoever wants less names pools and clients. Either way they are held weakly: watching
keeps nothing alive. A pool that is closed and empty is not read any more, and one that can not be
read is left out and logged: a figure that is missing must not cost the others.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import Any, TypeAlias

from cenote.client.aio import AsyncClient
from cenote.client.outcome import ClientStats
from cenote.client.sync import Client
from cenote.errors import ConfigurationError
from cenote.node.health import Condition
from cenote.pool import Holder, PoolStats, registry
from cenote.pool.aio import AsyncPool
from cenote.pool.keyed_aio import AsyncKeyedPool
from cenote.pool.keyed_sync import KeyedPool
from cenote.pool.registry import Attributes, Watchable
from cenote.pool.sync import Pool
from cenote.pool.thread_mapped_sync import ThreadMappedPool
from cenote.telemetry.operations import AnyClient, measured

Source: TypeAlias = (
    Pool[Any]
    | AsyncPool[Any]
    | ThreadMappedPool[Any]
    | KeyedPool[Any, Any]
    | AsyncKeyedPool[Any, Any]
    | Client
    | AsyncClient
)
"""What can be watched."""

_KINDS = (
    Pool, AsyncPool, ThreadMappedPool, KeyedPool, AsyncKeyedPool, Client, AsyncClient,
)  # fmt: skip
_log = logging.getLogger("cenote.telemetry")


@dataclass(frozen=True, slots=True)
class Reading:
    """A pool at an instant.

    Attributes:
        label: The pool's name, made unique in the process.
        stats: Its figures.
        attributes: What it connects to.
        node: How the server does that it connects to, where that is watched.
    """

    label: str
    stats: PoolStats
    attributes: Attributes
    node: Condition | None = None


class Sources:
    """The pools and clients to be read; may be used from any thread.

    Args:
        *given: Pools and clients; none: every pool of the process, also those yet to be made.

    Raises:
        ConfigurationError: One of them is neither.
    """

    def __init__(self, *given: Source) -> None:
        for each in given:
            if not isinstance(each, _KINDS):
                raise ConfigurationError(f"{each!r} can not be watched: give pools and clients")
        self._given = [weakref.ref(each) for each in given]

    def pools(self) -> dict[str, Watchable]:
        """Return the pools by label, oldest first; not those that are closed and empty."""
        wanted = None if not self._given else {id(pool) for pool in self._wanted()}
        return {
            label: pool
            for label, pool in registry.pools().items()
            if (wanted is None or id(pool) in wanted) and not registry.is_over(pool)
        }

    def read(self) -> list[Reading]:
        """Read every pool."""
        return [
            Reading(
                label,
                stats,
                registry.attributes_of(pool),
                registry.condition_of(pool, stats),
            )
            for label, pool in self.pools().items()
            if (stats := _read(label, pool)) is not None
        ]

    def clients(self) -> dict[str, ClientStats]:
        """Return what the given clients have counted, by the names of their servers."""
        found: dict[str, ClientStats] = {}
        for ref in self._given:
            client = ref()
            if isinstance(client, (Client, AsyncClient)):
                found[_unique(name_of(client), found)] = client.client_stats()
        return found

    def measured(self) -> list[AnyClient]:
        """Return the clients whose operations are measured; of all where none was given."""
        given = [ref() for ref in self._given]
        return [each for each in measured() if not given or any(each is one for one in given)]

    def _wanted(self) -> list[object]:
        pools: list[object] = []
        for ref in self._given:
            each = ref()
            if isinstance(each, (Client, AsyncClient)):
                pools += [member.node.pool for member in each._cluster.everybody]  # noqa: SLF001 - beside it
            elif isinstance(each, (KeyedPool, AsyncKeyedPool)):
                pools += list(each.keyring.fronts.values())
            else:
                pools.append(each._pool if isinstance(each, ThreadMappedPool) else each)  # noqa: SLF001 - likewise
        return pools


def name_of(client: AnyClient) -> str:
    """Return what a client is called: its servers."""
    return ",".join(client._cluster.topology.names)  # noqa: SLF001 - beside it


def holders(label: str, pool: Watchable, limit: int = 20) -> list[Holder]:
    """Return the leases of a pool that have been out for longest; none if it can not be told."""
    try:
        return registry.holders(pool, limit)
    except Exception:
        _log.exception("the holders of pool %r could not be read", label)
        return []


def _read(label: str, pool: Watchable) -> PoolStats | None:
    try:
        return registry.glance(pool)
    except Exception:
        _log.exception("pool %r could not be read: it is left out", label)
        return None


def _unique(name: str, taken: dict[str, ClientStats]) -> str:
    number = 1
    label = name
    while label in taken:
        number += 1
        label = f"{name}-{number}"
    return label
