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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias

from cenote.pool import registry
from cenote.pool.leaks import TRACING, trace
from cenote.pool.stats import Holder

Trace: TypeAlias = Callable[[], object]


class Debuggable(Protocol):
    """A pool of any kind, as far as this module is concerned."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def trace_leases(self, trace: Trace | None) -> Trace | None:
        """Have ``trace`` called when a lease begins; returns what was before."""
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
        pools: Whose (of a keyed pool: those of all its keys); none: every pool's, those made
            meanwhile included.
    """
    everywhere = TRACING.everywhere
    if not pools:
        on()
    before = [pool.trace_leases(trace) for pool in pools]
    try:
        yield
    finally:
        if not pools:
            _switch(everywhere=everywhere)
        for pool, traced in zip(pools, before, strict=True):
            pool.trace_leases(traced or (trace if TRACING.everywhere else None))


def report(pool: Debuggable) -> str:
    """Say who holds the connections of a pool, longest first, and by which stack they came by."""
    holders = pool.holders()
    lines = [f"pool {pool.name!r}: {len(holders)} connections are out"]
    for holder in holders:
        key = "" if holder.key is None else f" for key {holder.key!r}"
        lines.append(f"held {holder}{key}")
        lines += [f"  now at {holder.stack}"] if holder.stack else []
        lines += ["  borrowed by:", holder.trail.rstrip()] if holder.trail else []
    return "\n".join(lines)


def _switch(*, everywhere: bool) -> None:
    TRACING.everywhere = everywhere
    for pool in registry.pools().values():
        pool._core.stack.keep_trails(trace if everywhere else None)
