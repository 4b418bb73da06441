"""How a conversation over a stream can fail, in words, and what that says about the connection.

Strategy: the two drivers (``stream_sync.py``, ``stream_aio.py``) know the state, this module the
sentences. A peer that ended a connection may have restarted: its siblings are not to be trusted
either, also those that were used so lately that they would not be checked. Pure.
"""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING

from cenote.errors import ConnectionLost, LeaseError, OperationTimeout

if TYPE_CHECKING:
    from cenote.connection.address import Address
    from cenote.pool.connector import Verdict

MOST = 65536
"""Bytes asked of the kernel at once, and the default limit of a line."""

Timeout = float | EllipsisType | None
"""Seconds; None: no limit; ``...``: what the connector was given."""


def classify(error: BaseException) -> Verdict:
    """Judge what ended a lease: nothing proves that a conversation that failed was over."""
    return "invalidate_all" if isinstance(error, ConnectionLost) else "discard"


def timed_out(address: Address, verb: str, unread: int) -> OperationTimeout:
    """The deadline of one call passed."""
    return OperationTimeout(
        f"deadline passed in {verb} on {address} with {unread} bytes received and not yet asked "
        "for; raise timeout, or look at the server",
        phase="exchange",
    )


def lost(address: Address, verb: str, unread: int, cause: object) -> ConnectionLost:
    """The connection ended before a call had what it was to have."""
    return ConnectionLost(
        f"connection to {address} lost in {verb} ({cause}), {unread} bytes received and not yet "
        "asked for",
        replied=unread > 0,
    )


def foreign(address: Address) -> LeaseError:
    """A forked child used its parent's connection."""
    return LeaseError(
        f"the connection to {address} belongs to the parent process and can not be used after "
        "fork(): lease anew"
    )


def in_use(address: Address) -> LeaseError:
    """A second task came while the first was still waiting."""
    return LeaseError(
        f"another task is waiting on the connection to {address}: a connection serves one caller "
        "at a time"
    )


END_OF_FILE = "the peer closed it"
CLOSED = "it is closed"
