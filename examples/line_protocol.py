"""A line protocol over TCP, without a pool and with one, against a small service of its own.

python examples/line_protocol.py
"""

from __future__ import annotations

import socketserver
import threading

from cenote import Pool, connectors
from cenote.connectors import Stream


class Upper(socketserver.StreamRequestHandler):
    """Answers each line in capitals."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def ask(stream: Stream, question: bytes) -> str:
    stream.send_all(question + b"\n")
    return stream.readline().decode().rstrip()


def main() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        upper = connectors.tcp("127.0.0.1", service.server_address[1])

        for word in (b"one", b"two", b"three"):
            stream = upper.connect(timeout=1.0)
            print("without a pool:", ask(stream, word), "(a new connection)")
            stream.close()

        with Pool(upper, max_size=8) as pool:
            for word in (b"one", b"two", b"three"):
                with pool.connection() as stream:
                    print("with a pool:", ask(stream, word))
            print("connections opened by the pool:", pool.stats().created)
        service.shutdown()


if __name__ == "__main__":
    main()
