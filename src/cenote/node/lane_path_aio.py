"""The lanes of an asyncio node: compiled where they were built, else as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.node._lane_aio_c"):
    from cenote.node.lane_aio import Lane, Lanes
else:
    from cenote.node._lane_aio_c import Lane, Lanes

__all__ = ["Lane", "Lanes"]
