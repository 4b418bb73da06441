"""What the DNS has under a name. Pure values."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A host, or its address, and a port."""

    host: str
    port: int


class Found(NamedTuple):
    """What was found, in the order of the answer.

    Attributes:
        targets: Where to connect to.
        ttl: Seconds for which that holds; None: not known.
    """

    targets: list[Target]
    ttl: float | None = None
