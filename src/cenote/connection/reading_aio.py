"""How much a transport reads at once: little, until much has come.

Strategy: for each read asyncio allocates as much as may come, 256 KB, and cuts it to what did. From
128 KB on, malloc gets that from the system and gives it back: three system calls and some page
faults, which cost a lone request half its time. So a transport reads a quarter of that, which
malloc has at hand, and again as much as asyncio does while its reads are full. uvloop has buffers
of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

SHORT = 65536
"""Bytes of a read at first, and after one that was shorter."""

LONG = 262144
"""Bytes of a read after one that was not."""


class Reads:
    """The size of the reads of one transport.

    Args:
        transport: Any; only asyncio's own have a size to set.
    """

    __slots__ = ("_long", "_transport")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport if hasattr(transport, "max_size") else None
        self._long = True
        self.came(0)

    def came(self, size: int) -> None:
        """Fit the next read to the last, which brought ``size`` bytes."""
        if (size >= SHORT) is self._long:
            return
        self._long = not self._long
        if self._transport is not None:
            self._transport.max_size = LONG if self._long else SHORT
