"""How many connections the keys of a keyed pool need: each of them, and all together.

Strategy: one mixin for the two faces, since it only reads what both can tell. A key's callers can
use no connection but its own, so a key is a queue of its own. All together are taken for one queue
too, which tells how many are in use at the same time; what it costs to open a connection for
another key, where the total leaves no room for idle ones, is not in it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from cenote.pool.options import PoolOptions
from cenote.pool.sizing import SHARE, Advice, advise
from cenote.pool.stats import PoolStats

K = TypeVar("K", bound=Hashable)


class KeyedAdvice(Generic[K]):
    """The part of a keyed pool that advises on its sizes."""

    options: PoolOptions

    def advise(self, share: float = SHARE, since: PoolStats | None = None) -> Advice | None:
        """Work out from live measurements how large ``max_total`` should be.

        It is the number of connections that all keys use at the same time. Where many keys come
        and go add some, so that idle connections need not make room for others.

        Args:
            share: Share of the callers that should wait for ``target_wait`` at most.
            since: An earlier ``stats()``, to measure from there; ``None``: from the first use on.

        Returns:
            The advice, whose ``str`` can be read, with the numbers that it used; ``None``: no lease
            has ended yet.
        """
        return self._advice(self.stats(), since, share, "max_total")

    def advise_by_key(
        self, share: float = SHARE, since: Mapping[K, PoolStats] | None = None
    ) -> dict[K, Advice]:
        """Work out for each key that has, or awaits, a connection what ``max_per_key`` should be.

        Args:
            share: As for ``advise``.
            since: An earlier ``stats_by_key()``, to measure from there; a key that is not in it, or
                was forgotten since, is measured from its first use on.

        Returns:
            The advice for each key of which a lease has ended.
        """
        earlier = since or {}
        found = {
            key: self._advice(stats, earlier.get(key), share, "max_per_key")
            for key, stats in self.stats_by_key().items()
        }
        return {key: advice for key, advice in found.items() if advice is not None}

    def _advice(
        self, stats: PoolStats, since: PoolStats | None, share: float, option: str
    ) -> Advice | None:
        target = self.options.target_wait
        return advise(stats, since, target_wait=target, share=share, option=option)

    def stats(self) -> PoolStats:
        """Describe all keys together at this instant."""
        raise NotImplementedError

    def stats_by_key(self) -> dict[K, PoolStats]:
        """Describe each key."""
        raise NotImplementedError
