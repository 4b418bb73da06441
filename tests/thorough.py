"""How much a test that only computes goes through: all of it on the compiled build.

The pure build is several times as slow, and traced for coverage besides. It takes a sample: what it
computes the compiled build's run holds against the compiled twin, and ``make proof`` goes through
everything on both.
"""

from __future__ import annotations

import os

import cenote

THOROUGH = cenote.implementation == "speedups" or os.environ.get("CENOTE_PROOF") == "1"


def some(examples: int) -> int:
    """Return how many of so many examples to go through."""
    return examples if THOROUGH else -(-examples // 3)
