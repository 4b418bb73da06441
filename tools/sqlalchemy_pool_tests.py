"""Run SQLAlchemy's own tests of its QueuePool on ``CenotePool``: what must fail, and nothing else.

    python tools/sqlalchemy_pool_tests.py [folder]

Strategy: pip fetches the sources of the SQLAlchemy that is installed (or ``folder`` has them,
unpacked), and ``test/engine/test_pool.py`` runs in them with ``CenotePool`` in QueuePool's place.
A few tests look into QueuePool's queue and counters, and one expects a connection that comes back
to a disposed pool to stay open; ours is closed. They are named below.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

NOT_APPLICABLE = (
    "test_recreate_state",  # compares the attributes of a pool with those of its copy
    "test_connect_handler_not_called_for_recycled",  # exchanges the queue
    "test_connect_checkout_handler_always_gets_info",  # likewise
    "test_error_on_pooled_reconnect_cleanup_",  # asks the queue whether it is empty
    "test_dispose_closes_pooled",  # expects what comes back after dispose() to stay open
)
RUN = """
import sys
sys.path.insert(0, "lib")
from sqlalchemy import pool
from cenote.integrations.sqlalchemy import CenotePool

class _StandIn(CenotePool):
    _overflow = property(CenotePool.overflow)

pool.QueuePool = _StandIn
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:cenote", "-p", "no:xdist",
                      "-W", "ignore::pytest.PytestUnraisableExceptionWarning",
                      "-k", sys.argv[1], "test/engine/test_pool.py"]))
"""


def fetched(folder: Path) -> Path:
    """Return the sources of the installed version, downloaded to ``folder`` and unpacked."""
    wanted = f"SQLAlchemy=={version('SQLAlchemy')}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--no-build-isolation", "--dest", str(folder), wanted],
        check=True,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def main() -> int:
    """Run them."""
    chosen = " and ".join(f"not {name}" for name in NOT_APPLICABLE)
    with tempfile.TemporaryDirectory() as temporary:
        sources = Path(sys.argv[1]) if len(sys.argv) > 1 else fetched(Path(temporary))
        command = [sys.executable, "-c", RUN, chosen]
        return subprocess.run(command, cwd=sources, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
