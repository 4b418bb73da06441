"""How callers share connections in asyncio: the numbers, as one immutable value. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cenote.errors import ConfigurationError
from cenote.node.hedging import HedgeAfter, check_hedge


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How requests share connections.

    Attributes:
        max_in_flight: Requests under way on every connection from which one more is opened, up to
            the pool's ``max_size``. 1 or more.
        long_value: Bytes from which a value has a connection to itself, where the pool may have
            more than one. 1 or more.
        hedge_after: Seconds after which a read whose reply has not come is sent a second time, on
            another connection, where there may be one; ``"p95"``: what 95 of a hundred do not take
            longer than. None: off.
    """

    max_in_flight: int = 512
    long_value: int = 65536
    hedge_after: HedgeAfter | None = None

    def __post_init__(self) -> None:
        check_hedge(self.hedge_after)
        for name in ("max_in_flight", "long_value"):
            number = getattr(self, name)
            if type(number) is not int or number < 1:
                raise ConfigurationError(f"{name}={number!r} is not an integer of 1 or more")

    def check(self, max_size: int) -> None:
        """Refuse what can not be done with at most so many connections to a server.

        Raises:
            ConfigurationError: There is no room for a second try.
        """
        if self.hedge_after is not None and max_size < 2:
            raise ConfigurationError("hedge_after needs two connections: max_size=2 or more")


DEFAULTS = Sharing()
