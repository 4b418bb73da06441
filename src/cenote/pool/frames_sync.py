"""The frames of all threads, without the deadlock that older interpreters have in them.

Strategy: up to CPython 3.12, ``sys._current_frames`` makes frame objects while it holds the lock of
the interpreter's list of threads. Should that set off a collection of garbage, and the garbage have
a ``threading.local``, whose end takes the same lock, the process hangs for good, with the GIL
(python/cpython#106883). So nothing is collected meanwhile.

``_switch`` is held while the collector is off, and around every fork: no child begins without one.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from types import FrameType

_switch = threading.RLock()


def current_frames() -> dict[int, FrameType]:
    """Return the frame that each thread is in, by the thread's ident."""
    with _switch:
        collects = gc.isenabled()
        try:
            gc.disable()
            frames = sys._current_frames()
        finally:
            if collects:
                gc.enable()
    return frames


os.register_at_fork(
    before=_switch.acquire, after_in_parent=_switch.release, after_in_child=_switch.release
)
