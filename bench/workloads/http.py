"""Small GETs of an HTTP server in a process of its own, one after the other.

The server does next to nothing: it sends a fixed response to whatever arrives.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from bench.workloads.slices import repeat_for

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def prepare(factory, _place):
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.workloads.http"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    get = factory(f"http://127.0.0.1:{int(server.stdout.readline())}/")
    get()
    return lambda _column, seconds: _measured(get, seconds)


def _measured(get, seconds: float) -> dict[str, float]:
    count, took = repeat_for(seconds, get)
    return {"rate": count / took}


def serve() -> None:
    """Serve until the standard input, which whoever started this holds, comes to its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        sys.stdin.read()


def _accept(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket) -> None:
    while sock.recv(65536):
        sock.sendall(RESPONSE)


if __name__ == "__main__":
    serve()
