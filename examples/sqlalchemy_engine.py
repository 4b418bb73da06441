"""A SQLAlchemy engine whose connections cenote keeps.

python examples/sqlalchemy_engine.py                 # needs cenote[sqlalchemy]
python examples/sqlalchemy_engine.py postgresql+psycopg:///postgres
"""

from __future__ import annotations

import sys
import tempfile

from sqlalchemy import create_engine, text

from cenote.integrations.sqlalchemy import CenotePool


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/example.db"
        engine = create_engine(
            url, poolclass=CenotePool, pool_size=5, max_overflow=10, leak_after=30
        )
        for word in ("one", "two"):
            with engine.connect() as connection:
                print(connection.execute(text("select :word"), {"word": word}).scalar())
        pool = engine.pool
        assert isinstance(pool, CenotePool)
        print(pool.status())
        print("connections opened:", pool.stats().created)
        engine.dispose()


if __name__ == "__main__":
    main()
