"""A connection that is held too long, and what the pool says of it.

python examples/find_leak.py
"""

from __future__ import annotations

import logging
import sys
import threading
from io import StringIO

import cenote
from cenote.pool import debug


def hold(pool: cenote.Pool[StringIO], taken: threading.Event, enough: threading.Event) -> None:
    with pool.connection():
        taken.set()
        enough.wait()


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    taken, enough = threading.Event(), threading.Event()
    with cenote.Pool(StringIO, max_size=1, leak_after=0.1, name="files") as pool:
        holder = threading.Thread(target=hold, args=(pool, taken, enough), name="worker-3")
        holder.start()
        taken.wait()
        try:
            with pool.connection(timeout=1.0) as file:
                file.write("never written")
        except cenote.PoolTimeout as error:
            print("PoolTimeout:", error)
        print(debug.report(pool))
        enough.set()
        holder.join()


if __name__ == "__main__":
    main()
