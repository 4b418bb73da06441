"""What an error says about the connection it came from, and about the server behind it.

Strategy: an error reply leaves the connection good (the channel itself says when it does not: it is
no longer clean). A connection that ended says the server restarted or went away, so its siblings
are not to be trusted either: hot ones would otherwise slip through the window in which they are not
checked. A timeout or a broken protocol condemns the one connection only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.errors import (
    ClientError,
    ConnectionLost,
    OperationTimeout,
    ProtocolError,
    ServerError,
)

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict

SOONER: Final = 0.9
"""The share of a pool's time to connect that a connector takes: its error, which tells what was
tried, comes before the pool's, which tells that it took too long."""


NOT_ANSWERED: Final = (ConnectionLost, OperationTimeout, ProtocolError)
"""What a request ends with that its server has not answered as it should."""


class Told(ConnectionLost):
    """A connection has ended whose requests were reported as late already."""


def classify(error: BaseException) -> Verdict:
    """Judge what ended a lease: ``"ok"``, ``"discard"``, or ``"invalidate_all"``."""
    if isinstance(error, (ServerError, ClientError)):
        return "ok"
    if isinstance(error, ConnectionLost):
        return "invalidate_all"
    return "discard"
