"""Which twin of a compiled module to use: the extension or its pure-Python double.

``CENOTE_IMPL=native`` forces pure Python, ``CENOTE_IMPL=speedups`` demands the compiled modules;
unset takes the compiled ones where they were built. An extension that was built but fails to import
is an error, never silently replaced.

This module imports nothing of cenote, and every layer may import it.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

_VARIABLE = "CENOTE_IMPL"
_FORCED = os.environ.get(_VARIABLE, "")

if _FORCED not in ("", "native", "speedups"):
    raise ImportError(
        f"{_VARIABLE}={_FORCED!r} is not known: use 'native', 'speedups', or unset it"
    )


def use_compiled(module: str) -> bool:
    """Tell whether the extension ``module`` (a full dotted name) is the one to import."""
    if _FORCED == "native":
        return False
    return _FORCED == "speedups" or find_spec(module) is not None
