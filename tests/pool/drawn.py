"""Options drawn by chance: those that would have no effect are left out, as a pool refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def effective(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that say more about another one that is off."""
    useless = {
        "burst_after": not drawn.get("burst"),
        "fair_after": drawn.get("fairness", "eventual") != "eventual",
        "lifetime_jitter": drawn.get("max_lifetime", 1.0) is None,
    }
    return {name: value for name, value in drawn.items() if not useless.get(name)}
