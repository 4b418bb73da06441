"""What finds the server of every key: compiled where it was built, else as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote._implementation import use_compiled

if TYPE_CHECKING or not use_compiled("cenote.cluster._placing"):
    from cenote.cluster._placing_native import (
        Crossing,
        Custom,
        EmcacheRendezvous,
        Modula,
        Placer,
        PymemcacheRendezvous,
        Rendezvous,
        Ring,
        Routes,
        WideRing,
        one_at_a_time,
    )
else:
    from cenote.cluster._placing import (
        Crossing,
        Custom,
        EmcacheRendezvous,
        Modula,
        Placer,
        PymemcacheRendezvous,
        Rendezvous,
        Ring,
        Routes,
        WideRing,
        one_at_a_time,
    )

__all__ = [
    "Crossing",
    "Custom",
    "EmcacheRendezvous",
    "Modula",
    "Placer",
    "PymemcacheRendezvous",
    "Rendezvous",
    "Ring",
    "Routes",
    "WideRing",
    "one_at_a_time",
]
