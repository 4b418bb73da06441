"""What is known about one server's health: a frozen snapshot, made from its pool's evidence.

Strategy: nothing is probed to answer this question. The pool already knows whether connects
succeed, when the last one failed and why; the node adds what happened to its requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cenote.pool import PoolStats

State = Literal["unknown", "up", "down"]


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """One server, as its client sees it now.

    Attributes:
        name: The server's name, as in ``host:port`` or a socket's path.
        state: ``"unknown"`` until the first connection was tried, then ``"up"`` or ``"down"``.
        connections: Connections open now, idle or in use.
        connect_failures: Connects that failed since the client was made.
        retries: Requests that were sent a second time because an idle connection turned out dead.
        last_error: Text of the last failed connect, None if there was none since the last success.
    """

    name: str
    state: State
    connections: int
    connect_failures: int
    retries: int
    last_error: str | None


def assess(name: str, stats: PoolStats, *, retries: int, last_error: str | None) -> NodeHealth:
    """Make a server's health from its pool's statistics.

    Args:
        name: The server's name.
        stats: A snapshot of its pool.
        retries: Requests that were sent a second time.
        last_error: Text of the latest failed connect, None if the latest succeeded.
    """
    return NodeHealth(
        name=name,
        state=_state(stats, last_error),
        connections=stats.live,
        connect_failures=stats.create_errors,
        retries=retries,
        last_error=last_error,
    )


def _state(stats: PoolStats, last_error: str | None) -> State:
    if stats.state == "down" or (last_error is not None and not stats.live):
        return "down"
    return "up" if stats.created else "unknown"
