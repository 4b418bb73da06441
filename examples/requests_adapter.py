"""A requests session on cenote's pool: one limit over all hosts, bounded waits, statistics.

python examples/requests_adapter.py URL...           # needs cenote[requests]
"""

from __future__ import annotations

import sys

import requests

from cenote.integrations.requests import CenoteAdapter


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    adapter = CenoteAdapter(max_total=100, max_per_host=10, timeout=2.0)
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        for url in sys.argv[1:]:
            response = session.get(url, timeout=5.0)
            print(response.status_code, len(response.content), "bytes")
        stats = adapter.stats()
        print("connections opened:", stats.created, "idle:", stats.idle)


if __name__ == "__main__":
    main()
