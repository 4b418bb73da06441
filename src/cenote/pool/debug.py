"""Who borrowed what, to the last frame: for the hour in which a leak is looked for.

Strategy: off, it costs nothing. On, each lease that begins notes the whole stack it was borrowed by
(some microseconds), and whoever describes a holder (``holders()``, a leak's report, ``report``)
shows it. What a lease noted stays with it when this is switched off again.

    from cenote.pool import debug

    debug.on()                             # every pool, also those made later; off() ends it
    with debug.borrow_stacks(pool): ...    # these pools, or all, for a block
    print(debug.report(pool))              # who holds what, and the stack of each

``CENOTE_POOL_DEBUG=1`` in the environment switches it on from the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from cenote.pool import registry
from cenote.pool.leaks import TRACING, trace
from cenote.pool.stats import Holder


class Debuggable(Protocol):
    """A pool, as far as this module is concerned."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def stack(self) -> Any:
        """Where its leases begin."""
        ...

    def holders(self) -> list[Holder]:
        """Describe the leases that are out."""
        ...


def on() -> None:
    """Keep borrow stacks in every pool of the process, those made later included."""
    _switch(everywhere=True)


def off() -> None:
    """Keep no more."""
    _switch(everywhere=False)


def is_on() -> bool:
    """Tell whether every pool keeps them."""
    return TRACING.everywhere


@contextmanager
def borrow_stacks(*pools: Debuggable) -> Iterator[None]:
    """Keep borrow stacks within a ``with`` block.

    Args:
        pools: Whose; none: every pool's, those made meanwhile included.
    """
    before = TRACING.everywhere, [pool.stack.trace for pool in pools]
    if not pools:
        on()
    for pool in pools:
        pool.stack.keep_trails(trace)
    try:
        yield
    finally:
        if not pools:
            _switch(everywhere=before[0])
        for pool, traced in zip(pools, before[1], strict=True):
            pool.stack.keep_trails(traced)


def report(pool: Debuggable) -> str:
    """Say who holds the connections of a pool, longest first, and by which stack they came by."""
    holders = pool.holders()
    lines = [f"pool {pool.name!r}: {len(holders)} connections are out"]
    for holder in holders:
        lines.append(f"held {holder}")
        lines += [f"  now at {holder.stack}"] if holder.stack else []
        lines += ["  borrowed by:", holder.trail.rstrip()] if holder.trail else []
    return "\n".join(lines)


def _switch(*, everywhere: bool) -> None:
    TRACING.everywhere = everywhere
    for pool in registry.pools().values():
        pool._core.stack.keep_trails(trace if everywhere else None)
