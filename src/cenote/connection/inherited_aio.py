"""What a forked child has from its parent's event loop: not to be used, only to be closed.

Strategy: the child counts its forks, so that an inherited connection is told by one comparison. The
loop's selector is shared with the parent: what is inherited is closed by its descriptor alone, and
its transport kept for ever, since a transport's finalizer might tell the loop, or close a number
that is another's by then.
"""

from __future__ import annotations

import os
import socket

forks = 0

_KEPT: list[object] = []


def close_inherited(sock: socket.socket, transport: object) -> None:
    """In a forked child: close the descriptor behind the loop's back."""
    descriptor = sock.detach()
    if descriptor >= 0:
        _KEPT.append(transport)
        os.close(descriptor)


def _forked() -> None:
    global forks  # noqa: PLW0603 - a count of the process
    forks += 1


os.register_at_fork(after_in_child=_forked)
