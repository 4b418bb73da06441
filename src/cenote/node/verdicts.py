"""What an error says about the connection it came from, and about the server behind it.

Strategy: an error reply leaves the connection good (the channel itself says when it does not: it is
no longer clean). A connection that ended says the server restarted or went away, so its siblings
are not to be trusted either: hot ones would otherwise slip through the window in which they are not
checked. A timeout or a broken protocol condemns the one connection only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.errors import ClientError, ConnectionLost, ServerError

if TYPE_CHECKING:
    from cenote.pool.connector import Verdict


def classify(error: BaseException) -> Verdict:
    """Judge what ended a lease: ``"ok"``, ``"discard"``, or ``"invalidate_all"``."""
    if isinstance(error, (ServerError, ClientError)):
        return "ok"
    if isinstance(error, ConnectionLost):
        return "invalidate_all"
    return "discard"
