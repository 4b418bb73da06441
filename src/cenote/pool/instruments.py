"""The instruments in use: compiled where they were built, else their Python twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.pool._instruments"):
    from cenote.pool._instruments_native import Instruments, Site, Times, Tools
else:
    from cenote.pool._instruments import Instruments, Site, Times, Tools

__all__ = ["Instruments", "Site", "Times", "Tools"]
