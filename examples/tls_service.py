"""A service that speaks TLS, and whose certificate somebody of one's own has signed.

    python examples/tls_service.py HOST PORT CA_FILE QUESTION...

Each question is sent as a line, and a line is read as its answer.
"""

from __future__ import annotations

import sys

import cenote
from cenote import connectors


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    host, port, authority, *questions = sys.argv[1:]
    service = connectors.tcp(host, int(port), tls=cenote.TLS(ca=authority))
    with cenote.Pool(service, max_size=4, timeout=5.0) as pool:
        for question in questions:
            with pool.connection() as stream:
                stream.send_all(question.encode() + b"\n")
                print(stream.readline().decode().rstrip())
        print("handshakes:", pool.stats().created)


if __name__ == "__main__":
    main()
