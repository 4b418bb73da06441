"""A function whose results are cached: computed once, by one of eight threads that ask for it.

python examples/cache.py                                 # starts a memcached itself
python examples/cache.py memcached://127.0.0.1:11211
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cenote


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "local://"
    with cenote.Client(url, key_prefix="example:") as mc:
        mc.delete("report:monday")

        @mc.cached(ttl=60, key="report:{day}", stale_for=30)
        def report(day: str) -> dict[str, str]:
            print("computing the report of", day)
            time.sleep(0.1)  # something dear
            return {"day": day}

        with ThreadPoolExecutor(8) as threads:
            reports = list(threads.map(report, ["monday"] * 8))
        print(len(reports), "reports, all the same:", all(each == reports[0] for each in reports))
        print("computed:", mc.client_stats().computed)


if __name__ == "__main__":
    main()
