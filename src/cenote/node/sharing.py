"""How callers share connections in asyncio: the numbers, as one immutable value. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cenote.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How requests share connections.

    Attributes:
        max_in_flight: Requests under way on every connection from which one more is opened, up to
            the pool's ``max_size``. 1 or more.
        long_value: Bytes from which a value has a connection to itself, where the pool may have
            more than one. 1 or more.
    """

    max_in_flight: int = 512
    long_value: int = 65536

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "long_value"):
            number = getattr(self, name)
            if number < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {number!r}")


DEFAULTS = Sharing()
