"""``local://``: a private memcached for development and tests, one for each process that asks.

Strategy: the first client that connects to ``local://`` starts the server, every other client of
the process shares it, and it ends with the process (see ``_server_process``). It listens on a unix
socket in a folder only its owner may enter, never on the network. A forked child that asks gets a
server of its own. Nothing here runs unless ``local://`` was asked for by name.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from cenote._server_process import ServerProcess
from cenote.errors import LocalServerError

# sun_path holds 108 bytes with its closing NUL (104 on macOS).
_LONGEST_SOCKET_PATH = 103
_SOCKET_NAME = "memcached.sock"


def private_folder() -> Path:
    """Make a folder (mode 0700) whose name leaves room for a unix socket's.

    Raises:
        LocalServerError: No such folder can be made.
    """
    parents = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - mkdtemp makes it private
    for parent in parents:
        if len(os.fsencode(parent / "cenote-XXXXXXXX" / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
            return Path(tempfile.mkdtemp(prefix="cenote-", dir=parent))
    raise LocalServerError(
        f"{parents[0]} is too long a path for a unix socket: set a shorter TMPDIR"
    )


class LocalServer:
    """A private memcached on a unix socket; it is running when the constructor returns.

    Args:
        memory: Memory for items, in megabytes (2**20 bytes).
        threads: Worker threads of the server.

    Raises:
        LocalServerError: There is no memcached to run, or it did not start.
    """

    def __init__(self, *, memory: int = 64, threads: int = 2) -> None:
        folder = private_folder()
        self.path = str(folder / _SOCKET_NAME)
        try:
            self._process = ServerProcess(
                ["-s", self.path, "-a", "0700", "-m", str(memory), "-t", str(threads)],
                self.path,
                folder,
            )
        except BaseException:
            with suppress(FileNotFoundError):  # a supervisor that started has removed it
                folder.rmdir()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the server is still running."""
        return not self._process.died_within(0)

    def stop(self) -> None:
        """End the server now and remove its folder; a second call does nothing."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


_lock = threading.Lock()
_shared: LocalServer | None = None


def local_server_address() -> str:
    """Return the socket path of this process's private memcached, starting it if need be.

    It takes some milliseconds the first time. A server that has died is replaced by a new, empty
    one. Safe to call from several threads, and after a fork.

    Raises:
        LocalServerError: There is no memcached to run, or it did not start.
    """
    global _shared  # noqa: PLW0603 - one server a process is the point
    with _lock:
        if _shared is None or not _shared.alive:
            _stop_shared()
            _shared = LocalServer()
        return _shared.path


def _stop_shared() -> None:
    global _shared
    server, _shared = _shared, None
    if server is not None:
        server.stop()


def _forget_shared() -> None:
    """In a forked child: the parent's server is the parent's, and so is its lock."""
    global _lock, _shared  # noqa: PLW0603
    _lock = threading.Lock()
    _shared = None


atexit.register(_stop_shared)
os.register_at_fork(after_in_child=_forget_shared)
