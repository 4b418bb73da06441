"""A pool of PostgreSQL connections: returned clean, kept when a statement is refused.

python examples/postgres.py "dbname=postgres"        # needs psycopg
"""

from __future__ import annotations

import sys

import psycopg

from cenote import Pool, connectors


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    dsn = sys.argv[1]
    database = connectors.dbapi(lambda: psycopg.connect(dsn), ping="select 1")
    with Pool(database, max_size=1) as pool:  # so that each block gets the same connection
        with pool.connection() as connection:
            connection.execute("create temporary table notes (text text)")
            connection.commit()
            connection.execute("insert into notes values ('never committed')")

        with pool.connection() as connection:
            print("rows left:", connection.execute("select count(*) from notes").fetchone())

        try:
            with pool.connection() as connection:
                connection.execute("select 1 / 0")
        except psycopg.errors.DivisionByZero as error:
            print("refused:", error, "- the connection is", database.classify(error))

        print("connections opened:", pool.stats().created)


if __name__ == "__main__":
    main()
