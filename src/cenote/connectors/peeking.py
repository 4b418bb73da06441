"""What can be seen of a connected socket without waiting: whether it has ended, or says something.

Strategy: a peek is one system call. Under TLS what has arrived may be TLS's own affair (session
tickets come by themselves, after the handshake), so there only an end or what is decrypted already
tells at a glance; to be sure TLS itself must be asked to read, which is for idle connections.
The sockets must not block: one with a timeout of Python's waits before each call, flags or not.
"""

from __future__ import annotations

import socket
import ssl

_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


def is_quiet(sock: socket.socket) -> bool:
    """Whether nothing has arrived, not even the end, as far as a glance tells."""
    over_tls = isinstance(sock, ssl.SSLSocket)
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return False
    try:
        return bool(socket.socket.recv(sock, 1, _PEEK)) and over_tls
    except BlockingIOError:
        return True
    except OSError:
        return False


def is_idle(sock: socket.socket) -> bool:
    """Whether an idle connection can be used."""
    if not isinstance(sock, ssl.SSLSocket):
        return is_quiet(sock)
    try:
        sock.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    return False
