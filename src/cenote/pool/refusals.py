"""Why a caller gets no connection: the errors of acquire and release.

Strategy: every error says what happened, the state, and what to change. Texts are built from the
very snapshot that the error carries, so that the two can not disagree. The last connect error is
the cause.
"""

from __future__ import annotations

from copy import copy
from typing import TypeVar

from cenote.errors import (
    BadConnector,
    ConnectFailed,
    ConnectRejected,
    LeaseError,
    NestedAcquire,
    PoolClosed,
    PoolError,
    PoolSaturated,
    PoolTimeout,
)
from cenote.pool.fast import FOREIGN, KEPT
from cenote.pool.fast_path import Entry
from cenote.pool.options import NO_LIMIT
from cenote.pool.reports import holders, seconds, snapshot
from cenote.pool.state import PoolState
from cenote.pool.stats import PoolStats
from cenote.pool.waiters import Ticket

T = TypeVar("T")

_NAMED = 3  # holders that an error names


def timeout(state: PoolState[T], ticket: Ticket[T], now: float) -> PoolTimeout:
    """Build the error of a caller whose deadline has passed."""
    stats, waited, cause = snapshot(state, now), now - ticket.since, state.backoff.error
    text = f"no connection within {seconds(waited)}: {_circumstances(state, stats, now)}; "
    advice = _advice(state, stats, cause)
    error = PoolTimeout(text + advice, pool=state.name, waited=waited, stats=stats)
    error.__cause__ = cause
    return error


def saturated(state: PoolState[T], ticket: Ticket[T], now: float) -> PoolSaturated:
    """Build the error of a caller who may not even wait."""
    stats, waited = snapshot(state, now), now - ticket.since
    text = (
        f"too many callers wait for a connection: {_circumstances(state, stats, now)}; "
        f"raise {_limit(state)} or max_waiting, or shorten the hold"
    )
    error = PoolSaturated(text, pool=state.name, waited=waited, stats=stats)
    error.__cause__ = state.backoff.error
    return error


def down(state: PoolState[T], ticket: Ticket[T], now: float) -> PoolError:
    """Build the error of a caller that a pool which is down does not let wait."""
    return _down(state, now - ticket.since, now)


def _down(state: PoolState[T], waited: float, now: float) -> PoolError:
    stats, cause = snapshot(state, now), state.backoff.error
    if isinstance(cause, (ConnectRejected, BadConnector)):  # its own kind, for each caller anew
        error: PoolError = copy(cause)
        error.pool, error.waited, error.stats = state.name, waited, stats
    else:
        last = "" if cause is None else f". The last: {_name(cause)}"
        text = (
            f'pool {state.name!r} is down and probed until it recovers (on_down="wait" would wait '
            f"for that): {state.backoff.failures} connects in a row failed{last}"
        )
        error = ConnectFailed(text, pool=state.name, waited=waited, stats=stats)
    error.__cause__ = cause
    return error


def closed(state: PoolState[T], ticket: Ticket[T] | None, now: float) -> PoolClosed:
    """Build the error of a caller of a pool that is closed, or about to be."""
    text = f"pool {state.name!r} is closed: make a new one, a closed pool stays closed"
    waited = 0.0 if ticket is None else now - ticket.since
    return PoolClosed(text, pool=state.name, waited=waited, stats=snapshot(state, now))


def cold(state: PoolState[T], now: float) -> PoolError:
    """Build the error of whoever waited for ``min_size`` connections in vain."""
    if state.fails_fast:
        return _down(state, 0.0, now)
    stats, cause = snapshot(state, now), state.backoff.error
    text = f"{state.roster.active} of min_size={state.min_size} connections are open; "
    text += _advice(state, stats, cause)
    error = PoolTimeout(text, pool=state.name, stats=stats)
    error.__cause__ = cause
    return error


def nested(state: PoolState[T], ticket: Ticket[T], now: float) -> NestedAcquire:
    """Build the error of whoever would wait for a connection while holding one."""
    stats, who = snapshot(state, now), state.describe(ticket.holder)[0]
    text = (
        f"{who!r} holds a connection of pool {state.name!r} and asks for another while every slot "
        f"is taken, so it may wait for itself: {_circumstances(state, stats, now)}; release the "
        f"first one before, pass it on, or raise {_limit(state)} above the number of such callers"
    )
    return NestedAcquire(text, pool=state.name, waited=now - ticket.since, stats=stats)


def bad_resource(state: PoolState[T], resource: T) -> BadConnector:
    """Build the error of a connector that returned what can not be pooled."""
    what = "None" if resource is None else f"{resource!r}, which is in the pool already"
    text = f"the connector of pool {state.name!r} returned {what}: each call must open a new one"
    return BadConnector(text, pool=state.name)


def not_leased(state: PoolState[T], entry: Entry[T]) -> LeaseError:
    """Build the error of whoever returns what is not out on lease."""
    if entry.state == FOREIGN:
        text = f"the lease belongs to pool {state.name!r} of the parent process: lease anew"
    else:
        text = f"not out on lease from pool {state.name!r}: returned twice, or foreign"
    return LeaseError(text, pool=state.name)


def _advice(state: PoolState[T], stats: PoolStats, cause: BaseException | None) -> str:
    if state.phase == "paused":
        return "the pool is paused: call resume()"
    if cause is not None:
        return f"check that the server can be reached: connecting fails with {_name(cause)}"
    if stats.kept and stats.size >= stats.max_size:
        return "raise max_size, or have threads relinquish() what they do not use"
    if stats.used < stats.max_size and not _is_crowded_out(state):
        return "raise the timeout, or find out why connecting takes so long"
    return f"raise {_limit(state)} or shorten the hold"


def _limit(state: PoolState[T]) -> str:
    """Name the option by which there would be more slots."""
    if state.budget is None:
        return "max_size"
    return "max_total" if _is_crowded_out(state) else "max_per_key"


def _is_crowded_out(state: PoolState[T]) -> bool:
    """Say whether others hold the slots that the pool would open connections with."""
    budget = state.budget
    return budget is not None and state.size < state.max_size and budget.held >= budget.limit


def _circumstances(state: PoolState[T], stats: PoolStats, now: float) -> str:
    """Say what the pool's slots are doing, and who holds the oldest leases."""
    burst = f"+{state.options.burst}" if state.options.burst else ""
    limit = "" if stats.max_size >= NO_LIMIT else f"/{stats.max_size}{burst}"
    parts = [f"{stats.used}{limit} in use", *_counts(stats)]
    if stats.kept:
        parts.append(f"{stats.kept} kept unused by {_keepers(state)}")
    concerned = [state]
    if state.budget is not None and _is_crowded_out(state):
        parts.append(f"{state.budget.held}/{state.budget.limit} slots of all keys taken")
        concerned = list(state.budget.members)
    holding = [holder for each in concerned for holder in holders(each, now)]
    oldest = sorted(holding, key=lambda holder: -holder.seconds)[:_NAMED]
    if oldest:
        parts.append("longest held " + ", ".join(map(str, oldest)))
    return ", ".join(parts)


def _counts(stats: PoolStats) -> list[str]:
    counts = (
        (stats.idle - stats.kept, "idle"),
        (stats.connecting, "connecting"),
        (stats.overdue, "hanging in connect"),
        (stats.closing, "closing"),
        (stats.waiting, "waiting"),
    )
    return [f"{count} {what}" for count, what in counts if count]


def _keepers(state: PoolState[T]) -> str:
    """Name some of those who keep a connection for their next use, longest unused first."""
    kept = sorted(
        (entry for entry in state.roster if entry.state == KEPT), key=lambda entry: entry.idle_since
    )
    names = ", ".join(repr(state.describe(entry.holder)[0]) for entry in kept[:_NAMED])
    return names if len(kept) <= _NAMED else f"{names}, ..."


def _name(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
