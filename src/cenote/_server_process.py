"""A memcached that can not outlive the process that started it.

Strategy: a tiny shell stands between us and the server. Its standard input is a pipe, the lifeline,
whose other end only we hold. However we end (return, exception, SIGKILL, exec), the kernel closes
that end, the shell reads end-of-file, kills the server, removes its folder and goes. Unlike
``PR_SET_PDEATHSIG`` this does not mind which thread started the server. The shell is the server's
parent until the end, so the pid it kills can not have been given to another process.

A forked child closes its copy of the lifeline at once: the server belongs to the process that
started it, not to its children. ``_spawning`` is held while a lifeline exists that ``_running``
does not list yet, and around every fork, so that no fork can miss one.

Standard error is a second pipe that only the server holds open, so its end-of-file says that the
server has died, and what was written before says why.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cenote.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A path, for a unix socket, or (host, port).
Endpoint = str | tuple[str, int]

_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 10.0
# Letters of thread states, as in ``/proc/*/task/*/stat``. The dead have closed what they had.
_DEAD = "ZX"
_STOPPED = "Tt" + _DEAD

# $1 is the folder to remove at the end (or empty), the rest is the server's command.
# Signals meant for our process group or session do not end the supervisor: only the lifeline does.
_SUPERVISOR = """
trap '' HUP INT TERM
folder=$1; shift
"$@" >/dev/null &
server=$!
echo "$server"
exec >/dev/null 2>&1
read -r _
kill -KILL "$server"
wait "$server"
[ -z "$folder" ] || rm -rf "$folder"
"""


def memcached_binary() -> str:
    """Return the path of the memcached to run: ``CENOTE_MEMCACHED``, else the one on PATH.

    Raises:
        LocalServerError: There is none; the message says how to install it.
    """
    wanted = os.environ.get("CENOTE_MEMCACHED") or "memcached"
    # Debian's sbin folders are not on every user's PATH, nor Homebrew's on that of a service.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/sbin"])
    found = shutil.which(wanted, path=path)
    if found is None:
        raise LocalServerError(
            f"no {wanted!r} to run: install memcached (Debian, Ubuntu: apt install memcached; "
            "Fedora: dnf install memcached; macOS: brew install memcached), "
            "or name one in CENOTE_MEMCACHED"
        )
    return found


class ServerProcess:
    """A running memcached that accepts connections, under its supervisor.

    Args:
        arguments: Command-line options for memcached, the listening ones included.
        endpoint: Where it will listen; the constructor returns when it accepts connections there.
        folder: A folder to remove when the server ends, or None.
        environment: Variables that memcached finds beside ours.

    Raises:
        LocalServerError: There is no binary, or the server did not start; says what it printed.

    Attributes:
        pid: The process id of memcached itself.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        endpoint: Endpoint,
        folder: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        command = [memcached_binary(), *_user_options(), *arguments]
        self._endpoint = endpoint
        self._said = b""
        with _spawning:
            self._spawn(command, str(folder or ""), {**os.environ, **environment})
            _running.add(self)
        try:
            self.pid = self._read_pid()
            self._wait_until_it_accepts()
        except BaseException:
            self.stop()
            raise

    def _spawn(self, command: list[str], folder: str, environment: dict[str, str]) -> None:
        self._report, report_end = os.pipe()
        lifeline_end, self._lifeline = os.pipe()
        # memcached must never wait for us to read what it has to say.
        os.set_blocking(report_end, False)
        try:
            self._supervisor = subprocess.Popen(  # noqa: S603 - a fixed script; "$@" is not re-read
                ["/bin/sh", "-c", _SUPERVISOR, "cenote-supervisor", folder, *command],
                stdin=lifeline_end,
                stdout=subprocess.PIPE,
                stderr=report_end,
                start_new_session=True,
                env=environment,
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(lifeline_end)
            os.close(report_end)

    def died_within(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the server to end; tell whether it has."""
        if self not in _running:
            return True
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        deadline = time.monotonic() + seconds
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            chunk = os.read(self._report, 4096)
            if not chunk:
                return True
            self._said = (self._said + chunk)[-4096:]
        return False

    def send_signal(self, number: int) -> None:
        """Send a signal to memcached itself."""
        # Its parent reaps it only when the lifeline is cut: the pid is still its own.
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stop the server's threads (``SIGSTOP``) and wait until each of them has stopped.

        The signal is taken by one of them; the others answer until it has told them.

        Raises:
            TimeoutError: One of them still runs after 10 seconds.
        """
        self._signal_and_wait(signal.SIGSTOP, until=_STOPPED)

    def kill(self) -> None:
        """Kill the server (``SIGKILL``) and wait until its sockets are closed.

        Raises:
            TimeoutError: It is still there after 10 seconds.
        """
        self._signal_and_wait(signal.SIGKILL, until=_DEAD)
        self.died_within(_STOP_TIMEOUT)

    def _signal_and_wait(self, number: signal.Signals, until: str) -> None:
        """Send a signal; return when each thread is in one of these states, as Linux names them.

        Where there is no ``/proc`` nobody can be asked: the signal may take a moment there.
        """
        self.send_signal(number)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while any(state not in until for state in self._states()):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"memcached {self.pid} runs {_STOP_TIMEOUT:g} s after {number.name}"
                )
            time.sleep(0.0002)

    def _states(self) -> list[str]:
        states = []
        for thread in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                text = thread.read_text("ascii", "replace")
                states.append(text.rpartition(")")[2].split()[0])  # what follows the name
        return states

    def stop(self) -> None:
        """End the server at once and wait until it, its supervisor and its folder are gone."""
        if self not in _running:
            return
        _running.discard(self)
        self._close_pipes()
        self._supervisor.wait(_STOP_TIMEOUT)

    def disown(self) -> None:
        """In a forked child: let go of a server that belongs to the parent."""
        self._close_pipes()
        self._supervisor.returncode = 0  # not this process's child to wait for

    def _close_pipes(self) -> None:
        os.close(self._lifeline)
        os.close(self._report)

    def _read_pid(self) -> int:
        assert self._supervisor.stdout is not None
        with self._supervisor.stdout as stdout:
            poll = select.poll()
            poll.register(stdout, select.POLLIN)
            line = stdout.readline() if poll.poll(_START_TIMEOUT * 1000) else b""
        if not line.strip().isdigit():
            raise LocalServerError(
                "the shell that was to start memcached did not say that it has: is /bin/sh one, "
                "and may processes be started?"
            )
        return int(line)

    def _wait_until_it_accepts(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        pause = 0.0002
        while not _accepts(self._endpoint):
            if self.died_within(pause):
                said = self._said.decode(errors="replace").strip() or "nothing"
                raise LocalServerError(f"memcached ended while starting; it said: {said}")
            if time.monotonic() > deadline:
                raise LocalServerError(
                    f"memcached does not accept connections after {_START_TIMEOUT:g} s"
                )
            pause = min(pause * 2, 0.01)


def _user_options() -> list[str]:
    """Return the option without which memcached refuses to run as root.

    It stays the user it is, so that its socket is reachable by its owner alone.
    """
    return ["-u", pwd.getpwuid(0).pw_name] if os.geteuid() == 0 else []


def _accepts(endpoint: Endpoint) -> bool:
    if isinstance(endpoint, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
    with socket.socket(family) as probe, suppress(OSError):
        probe.connect(endpoint)
        return True
    return False


_spawning = threading.RLock()
_running: set[ServerProcess] = set()


def _disown_all() -> None:
    try:
        while _running:
            _running.pop().disown()
    finally:
        _spawning.release()


os.register_at_fork(
    before=_spawning.acquire,
    after_in_parent=_spawning.release,
    after_in_child=_disown_all,
)
