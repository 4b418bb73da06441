"""Memory of idle connections on our side: resident memory before and after opening them.

Kernel buffers are not part of a process's resident memory, so this is the client's state alone.
Every connection has made a request, so that nothing that is allocated on first use is missed.
"""

from __future__ import annotations

import gc
import os
import resource
from contextlib import ExitStack
from pathlib import Path

from bench.adapters.verbs import Place

SPARE_FILES = 200


def prepare(factory, place: Place):
    return lambda _column, _seconds: _measured(factory, place)


def _measured(factory, place: Place) -> dict[str, float]:
    count = min(place.connections, _most_files() - SPARE_FILES)
    with ExitStack() as closing:  # keeps them open, and makes room at the server for the next
        factory(place, 8, closing)  # what the first ones load is not a connection's
        before = _resident()
        factory(place, count, closing)
        return {"bytes": (_resident() - before) / count, "connections": count}


def _most_files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
