"""Connections to two web servers in one pool, with a limit for each and one for both.

python examples/http_hosts.py                        # starts the two itself
python examples/http_hosts.py http://one.example http://two.example
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from cenote import KeyedPool, connectors


class Echo(BaseHTTPRequestHandler):
    """Answers with the path that it was asked for."""

    protocol_version = "HTTP/1.1"  # which keeps connections

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextmanager
def local_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def main() -> None:
    with ExitStack() as servers:
        hosts = sys.argv[1:] or [servers.enter_context(local_server()) for _ in range(2)]
        with KeyedPool(connectors.origin, max_total=100, max_per_key=10) as web:
            for number, host in enumerate(hosts, 1):
                for path in ("/one", "/two"):
                    with web.connection(host) as connection:
                        response = connection.fetch("GET", path)
                        print(f"host {number}:", response.status, len(response.body), "bytes")
            print("connections opened:", web.stats().created)


if __name__ == "__main__":
    main()
