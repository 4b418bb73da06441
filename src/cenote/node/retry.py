"""When a failed request may be sent again: the one retry there is.

Strategy: a server, a load balancer or a restart closes idle connections, and the first use after
that fails although nothing is wrong. That failure has a signature: the connection had been used
before, it ended, and not one byte of the reply had come. Only then, only once, and only for a
request that does no harm when it is carried out twice, is the request sent again, within the same
deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.errors import ConnectionLost

if TYPE_CHECKING:
    from cenote.protocol import Request


def may_retry(request: Request, error: BaseException, *, uses: int) -> bool:
    """Tell whether ``request`` may be sent again after ``error``.

    Args:
        request: The request that failed.
        error: What its connection raised.
        uses: How often the connection had been leased, this time included.
    """
    return (
        isinstance(error, ConnectionLost) and not error.replied and uses > 1 and request.idempotent
    )
