"""Which of two weighted draws is the higher, when floating point can not be trusted to say.

Strategy: a logarithm in double precision is right to within a few units of its last place, but not
to the same bit everywhere. Where two scores differ by more than ``CLOSE`` of themselves, any
machine decides alike; within that, they are compared with 60 digits, which the ``decimal`` module
rounds correctly, hence alike. That is needed once in some billions of keys.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

CLOSE: Final = 1e-12

_exact = Context(prec=60)
_HALF, _SCALE = Decimal("0.5"), Decimal(2**52)


def heavier(weight: float, draw: int, other_weight: float, other_draw: int) -> bool:
    """Tell whether ``-weight / ln(draw)`` is above the other; a draw is a number of 64 bits."""
    mine = _exact.multiply(Decimal(weight), _surprise(other_draw))
    other = _exact.multiply(Decimal(other_weight), _surprise(draw))
    return mine > other


def _surprise(draw: int) -> Decimal:
    """``-ln`` of a draw scaled to between 0 and 1, neither of which it is."""
    return _exact.minus(_exact.ln(_exact.divide(_exact.add(Decimal(draw >> 12), _HALF), _SCALE)))
