"""Something done every so many seconds, in a daemon thread of its own.

Strategy: not the keeper's work (``pool/keeper_sync.py``): what is done here is the user's and may
block, and pools must not wait for it. One event ends it at once. What raises is logged and tried
again the next time. A forked child has no such thread: start one there if it is wanted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Self

from cenote.errors import ConfigurationError

_log = logging.getLogger("cenote.telemetry")


class Periodic:
    """Calls something every so many seconds until it is closed; ends with the process.

    Args:
        action: What is called.
        seconds: The time between two calls; above 0.
        name: The thread's name.

    Raises:
        ConfigurationError: The action can not be called, or the seconds are not above 0.
    """

    def __init__(self, action: Callable[[], object], seconds: float, name: str) -> None:
        if not callable(action):
            raise ConfigurationError(f"action={action!r} can not be called")
        if not seconds > 0:
            raise ConfigurationError(f"seconds={seconds!r} is out of range: use seconds > 0")
        self._action = action
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self, timeout: float = 5.0) -> None:
        """Call no more; a call under way has ``timeout`` seconds to end. A second call is none."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._action()
            except Exception:
                _log.exception("%s failed; it is tried again in %g s", self._thread.name,
                               self._seconds)  # fmt: skip
