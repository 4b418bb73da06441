"""Asking where all threads are never hangs, whatever is collected meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from textwrap import dedent

from cenote.pool.frames_sync import current_frames

# Garbage whose end takes the lock that the interpreter holds while it makes the frames.
CHILD = """
    import gc, sys, threading
    from cenote.pool.frames_sync import current_frames

    class Garbage:
        def __init__(self):
            self.itself, self.local = self, threading.local()

    over = threading.Event()
    threads = [threading.Thread(target=lambda: over.wait()) for _ in range(20)]
    for thread in threads:
        thread.start()
    gc.set_threshold(1)
    for _ in range(100):
        gc.disable()
        Garbage()
        gc.enable()
        assert len(ask()) >= 21
    over.set()
"""


def test_it_does_not_hang_where_garbage_would_be_collected_meanwhile() -> None:
    code = dedent(CHILD).replace("ask()", "current_frames()")
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_the_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    assert current_frames()[threading.get_ident()].f_code.co_name == "current_frames"
    assert gc.isenabled()
    gc.disable()
    try:
        current_frames()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_forked_child_can_ask_too() -> None:
    child = os.fork()
    if not child:
        os._exit(0 if len(current_frames()) == 1 and gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
