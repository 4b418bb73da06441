"""How blocks are entered and left: compiled where that was built, else as any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.pool._entering"):
    from cenote.pool._entering_native import Done, hasten, hasten_async
else:
    from cenote.pool._entering import Done, hasten, hasten_async

__all__ = ["Done", "hasten", "hasten_async"]
