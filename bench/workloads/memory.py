"""Memory of idle connections on our side: what opening thousands of them adds to a process.

Strategy: memory that a process has freed serves the next connections without its size growing, and
then they seem to cost nothing. So every round is measured in a process of its own, forked before
the first connection; and there the first fifth of the connections is not counted: it fills what
importing and warming up left free. What is read is anonymous resident memory: heap, whoever
allocated from it, and stacks; neither the kernel's buffers nor code. Every connection has made a
request, so that nothing that is allocated on first use is missed.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from bench.adapters.verbs import Place

SPARE_FILES = 200


def prepare(factory: Any, place: Place) -> Callable[[str, float], dict[str, float]]:
    return lambda _column, _seconds: in_fresh_process(lambda: grown(factory, place))


def grown(factory: Any, place: Place) -> dict[str, float]:
    """Return by how much each connection makes this process grow."""
    most = min(place.connections, _most_files() - SPARE_FILES)
    first = most // 5
    counted = most - first
    with ExitStack() as closing:  # keeps them open, and makes room at the server for the next
        factory(place, first, closing)
        before = _resident()
        factory(place, counted, closing)
        return {"bytes": (_resident() - before) / counted, "connections": counted}


def in_fresh_process(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Call ``measure`` in a child that inherits none of what former rounds have left behind."""
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(answer, json.dumps(measure()).encode())
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(answer)
    with os.fdopen(answers, "rb") as lines:
        figures = lines.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"measuring failed with status {os.waitstatus_to_exitcode(status)}")
    return cast("dict[str, float]", json.loads(figures))


def _most_files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _resident() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text("ascii")
    kilobytes = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert kilobytes is not None
    return int(kilobytes[1]) * 1024
