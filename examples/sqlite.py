"""A pool of SQLite connections that four threads share.

python examples/sqlite.py
"""

from __future__ import annotations

import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cenote import Pool, connectors


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "numbers.db"
        # A connection goes from thread to thread, one at a time.
        database = connectors.dbapi(lambda: sqlite3.connect(path, check_same_thread=False))
        with Pool(database, max_size=2) as pool:

            def insert(number: int) -> None:
                with pool.connection() as connection, connection:  # its own block commits
                    connection.execute("insert into numbers values (?)", (number,))

            with pool.connection() as connection:
                connection.execute("create table numbers (number integer)")
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(insert, range(1, 11)))
            with pool.connection() as connection:
                print("sum:", connection.execute("select sum(number) from numbers").fetchone())
            print("at most two connections:", pool.stats().created <= 2)


if __name__ == "__main__":
    main()
