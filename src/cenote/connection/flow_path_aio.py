"""The flow of requests over an asyncio connection: compiled where it was built, else as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.connection._flow_aio_c"):
    from cenote.connection.flow_aio import Flow
else:
    from cenote.connection._flow_aio_c import Flow

__all__ = ["Flow"]
