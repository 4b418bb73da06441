"""Whose turn it is on a connection, in pure Python: one caller at a time, and the end of it.

Strategy:
1. A token is popped on the way in (atomically) and put back on the way out. Who finds none is a
   second thread or a signal handler, and gets a ``LeaseError``.
2. A descriptor is never closed under a thread that waits on it (its number could be given to
   another socket): such a socket is shut down, and the thread inside closes it on its way out.
3. In a forked child nobody gets a turn; there the descriptor is closed and nothing said.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from cenote.connection import failures
from cenote.connection._exchange_stream import Stream

if TYPE_CHECKING:
    from cenote.connection.tunnel import Tunnel
    from cenote.errors import CenoteError

_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - a count of the process
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class Turn(Stream):
    """A stream that one caller has at a time; ``Channel`` adds what he says."""

    __slots__ = ("_closed", "_dirty", "_forks", "_owner", "_token", "address", "timeout")

    timeout: float

    def __init__(self, sock: socket.socket, tunnel: Tunnel | None, address: object) -> None:
        super().__init__(sock, tunnel)
        self._token = [True]
        self._forks = _forks
        self._owner = os.getpid()
        self._dirty = False
        self._closed = False
        self.address = address

    def __repr__(self) -> str:
        state = "closed" if self._closed else "clean" if self.clean else "dirty"
        return f"<{type(self).__name__} to {self.address}, {state}>"

    def __del__(self) -> None:
        # Aborted while a caller was inside, or died on its way in or out: the last one closes.
        if self._closed:
            self._sock.close()

    @property
    def clean(self) -> bool:
        """Whether the next caller may use it.

        False from the first byte sent until the last reply has been parsed and no byte is left
        over, and for ever after anything interrupted that. Fences of posted requests do not count:
        the next exchange reads and verifies them before its own reply.
        """
        return bool(self._token) and not self._dirty and not self._closed and not self._inherited

    @property
    def closed(self) -> bool:
        """Whether ``close`` or ``abort`` was called."""
        return self._closed

    @property
    def pending(self) -> int:
        """How many requests went out whose reply has not been read (posted fences, when clean)."""
        return self._parser.pending

    @property
    def _inherited(self) -> bool:
        """Whether this is a forked child, and the connection its parent's."""
        return self._forks != _forks

    def fileno(self) -> int:
        """The socket's descriptor (-1 when closed)."""
        return self._sock.fileno()

    def abort(self) -> None:
        """Close the descriptor at once and say nothing to the peer. Safe in a forked child.

        An exchange under way in another thread ends with ``ConnectionLost``.
        """
        self._closed = True
        if not self._close_unless_in_use():
            self._expel()

    def _enter(self) -> None:
        """Become the one caller; refuse what can not begin an exchange."""
        try:
            self._token.pop()
        except IndexError:
            raise self._refusal() from None
        if self._dirty or self._closed or self._inherited:
            self._leave()
            raise self._refusal()

    def _leave(self) -> None:
        self._token.append(True)
        if self._closed:
            self._close_unless_in_use()

    def _refusal(self) -> CenoteError:
        if self._closed:
            return failures.unusable(self.address, failures.CLOSED)
        if self._inherited:
            return failures.unusable(self.address, failures.FOREIGN)
        if self._token:
            return failures.unusable(self.address, failures.DIRTY)
        return failures.in_use(self.address)

    def _close_unless_in_use(self) -> bool:
        try:
            self._token.pop()
        except IndexError:
            return False
        self._sock.close()
        return True

    def _expel(self) -> None:
        """Make the caller inside leave; a caller left behind in the parent process can not."""
        if self._owner != os.getpid():  # not the count: a pool's fork hook may run before ours
            self._sock.close()
            return
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer, or an earlier abort, was faster
