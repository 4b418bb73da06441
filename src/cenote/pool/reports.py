"""How a pool describes itself: snapshots, holders, and the texts of its warnings."""

from __future__ import annotations

from typing import TypeVar

from cenote.pool.fast import KEPT, RESERVED, RESETTING
from cenote.pool.fast_path import Entry
from cenote.pool.leaks import CALLED_BY, borrowed_at, in_words
from cenote.pool.roster import Roster
from cenote.pool.state import PoolState
from cenote.pool.stats import Distribution, Histogram, Holder, PoolStats

T = TypeVar("T")


def snapshot(state: PoolState[T], now: float) -> PoolStats:
    """Describe a pool at this instant."""
    roster, tallies = state.roster, state.tallies
    held, squares = roster.held()
    acquired, used = roster.acquired()
    kept = roster.in_state(KEPT)
    return PoolStats(
        name=state.name,
        state="down" if state.phase == "ready" and state.backoff.down else state.phase,
        min_size=state.min_size,
        max_size=state.max_size,
        size=len(roster) + len(state.connects),
        live=len(roster),
        idle=len(state.stack.idle) + kept,
        used=used,
        connecting=state.connecting,
        overdue=len(state.connects) - state.connecting,
        reserved=roster.in_state(RESERVED),
        resetting=roster.in_state(RESETTING),
        closing=len(roster.closing),
        waiting=len(state.waiters),
        acquired=acquired,
        released=acquired - used - roster.detached - roster.lost,
        detached=roster.detached,
        lost=roster.lost,
        waited=tallies.waited,
        wait_seconds=tallies.wait_seconds,
        timeouts=tallies.timeouts,
        cancelled=tallies.cancelled,
        failed=tallies.failed,
        saturated=tallies.saturated,
        created=roster.created,
        create_seconds=tallies.create_seconds,
        create_errors=tallies.create_errors,
        closed=dict(roster.closed),
        leaks=tallies.leaks,
        handoffs=tallies.handoffs,
        generation=state.stack.generation,
        at=now,
        since=state.since,
        use_seconds=held,
        use_seconds_squared=squares,
        wait_times=_with_instant(tallies.wait_times, acquired),
        use_times=_with_unlocked(tallies.use_times, roster),
        create_times=_optional(tallies.create_times),
        kept=kept,
    )


def _optional(histogram: Histogram | None) -> Distribution | None:
    return None if histogram is None else histogram.snapshot()


def _with_unlocked(histogram: Histogram | None, roster: Roster[T]) -> Distribution | None:
    """Add the leases that ended without the core, which their entries counted."""
    return None if histogram is None else histogram.snapshot() + roster.use_times()


def _with_instant(histogram: Histogram | None, acquired: int) -> Distribution | None:
    """Add the leases that did not wait at all, which nobody counted."""
    if histogram is None:
        return None
    waits = histogram.snapshot()
    first, *rest = waits.counts
    return Distribution((first + max(0, acquired - waits.count), *rest), waits.total)


def holder(state: PoolState[T], entry: Entry[T], now: float) -> Holder:
    """Describe a lease that is out."""
    who, stack = state.describe(entry.holder)
    where = borrowed_at(entry.site) or stack.partition(CALLED_BY)[0]
    trail, gone = in_words(entry.trail, entry.uses), state.is_gone(entry.holder)
    held = max(0.0, now - entry.leased_at)
    return Holder(who, held, where, stack, trail, gone, state.key)


def holders(state: PoolState[T], now: float) -> list[Holder]:
    """Describe the leases that are out, longest held first."""
    return [holder(state, entry, now) for entry in state.roster.leased()]


def lost(name: str, entry: Entry[T], now: float) -> str:
    """Describe a lease that was garbage-collected."""
    site = borrowed_at(entry.site)
    place = f", borrowed at {site}" if site else ""
    return (
        f"a lease of pool {name!r} was dropped without being returned "
        f"(held {seconds(now - entry.leased_at)}{place}): use a with block, or release it"
    )


def leak(name: str, holder: Holder) -> str:
    """Describe a lease that is held too long."""
    present = f", now at {holder.stack}" if holder.stack else ""
    held = f"a connection of pool {name!r} has been held {holder}{present}"
    trail = f"; borrowed by:\n{holder.trail}" if holder.trail else ""
    return f"{held}: a leak, or a hold too long{trail}"


def leak_returned(name: str, holder: Holder) -> str:
    """Describe the end of a lease that was reported."""
    return f"the connection of pool {name!r} reported as leaked came back, held {holder}"


def seconds(value: float) -> str:
    """Write a duration."""
    return f"{value:.1f} s" if value >= 0.1 or value <= 0 else f"{value * 1000:.1f} ms"
