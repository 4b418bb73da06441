"""What callers await: compiled where it was built, else the pure twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.connection._pending_c"):
    from cenote.connection.pending_aio import Origin, Pending, wake
else:
    from cenote.connection._pending_c import Origin, Pending, wake

__all__ = ["Origin", "Pending", "wake"]
