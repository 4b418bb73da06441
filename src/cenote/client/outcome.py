"""What a client answers with beside values, and which failures it may answer as misses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from cenote.errors import (
    ConnectFailed,
    ConnectionLost,
    NoNodesAvailable,
    OperationTimeout,
    PoolSaturated,
    PoolTimeout,
    ProtocolError,
    ServerError,
)

OUTAGES: Final = (
    ConnectFailed,
    ConnectionLost,
    NoNodesAvailable,
    OperationTimeout,
    PoolSaturated,
    PoolTimeout,
    ProtocolError,
    ServerError,
)
"""What can go wrong though the caller did nothing wrong (of ServerError, not ``ValueTooLarge``)."""


class Item(NamedTuple):
    """A value with what the server keeps beside it.

    Attributes:
        value: The value.
        cas: The token that changes with every write: give it to ``cas``.
        flags: Its flags, which say how it was serialised.
    """

    value: object
    cas: int
    flags: int


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What a client has counted since it was made; counters only grow.

    Attributes:
        outages: Operations that an outage turned into misses (``on_error="miss"``).
        unreadable: Values read as misses because their flags are not known or their bytes broken.
        computed: Values computed by ``get_or_compute``.
        ejections: How often one of the servers was ejected.
        diverted: Requests (of a command about many keys, those of a server) that went elsewhere
            because their server was down.
        second_tries: Likewise, those that went elsewhere after they had failed.
        hedged: Reads that were sent twice because their reply was late (``hedge_after``).
        retries_refused: What was not sent again, or elsewhere, because ``retry_budget`` was spent.
    """

    outages: int
    unreadable: int
    computed: int
    ejections: int = 0
    diverted: int = 0
    second_tries: int = 0
    hedged: int = 0
    retries_refused: int = 0
