"""A real PostgreSQL on a unix socket, in a temporary folder, as a user that is not root.

Strategy: a shell stands between us and the server; its standard input is a pipe that only we hold,
so however we end, the server ends with it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import psycopg

_START_TIMEOUT = 60.0

# Started in the background, a shell's child ignores SIGINT; PostgreSQL minds SIGQUIT either way.
_SUPERVISOR = """
trap '' HUP INT TERM
"$@" >/dev/null 2>"$LOG" &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
"""


def binary(name: str) -> str:
    """The newest of Debian's, which are not on anybody's PATH, or the one on PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    found = str(installed[-1]) if installed else shutil.which(name)
    if found is None:
        raise RuntimeError(f"no {name}: install PostgreSQL (Debian: apt install postgresql)")
    return found


def _version(path: Path) -> int:
    return int(path.parts[-3])


class PostgresServer:
    """A server that may be stopped, which ends every session, and started again."""

    def __init__(self) -> None:
        self._user = None if os.geteuid() else "postgres"  # it refuses to run as root
        self.folder = Path(tempfile.mkdtemp(prefix="cenote-pg-"))
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._run(
            binary("initdb"), "--auth=trust", "--username=cenote", "--no-sync", "--locale=C",
            "--encoding=UTF8", "--no-instructions", "-D", str(self.folder / "data"),
        )  # fmt: skip
        self.start()

    @property
    def conninfo(self) -> str:
        return f"host={self.folder} user=cenote dbname=postgres"

    def start(self) -> None:
        log = {"LOG": str(self.folder / "log"), "PATH": os.defpath, "LC_ALL": "C"}
        options = (
            "listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off",
            "max_connections=40", "shared_buffers=1MB", "autovacuum=off",
        )  # fmt: skip
        server = [binary("postgres"), "-D", str(self.folder / "data")]
        self._supervisor = subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, "sh", *server, *_options(options)],
            stdin=subprocess.PIPE, cwd=self.folder, user=self._user, group=self._user, env=log,
            start_new_session=True,
        )  # fmt: skip
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the server at once, as a crash would for those who are connected."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            assert supervisor.stdin is not None
            supervisor.stdin.close()
            supervisor.wait(30)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def sleeps(self) -> bool:
        """Whether a session is in the middle of ``pg_sleep``."""
        with psycopg.connect(self.conninfo) as admin:
            asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
            return admin.execute(asleep).fetchone() is not None

    def terminate_sessions(self) -> int:
        """End every session but the one that orders it; returns how many."""
        others = "backend_type = 'client backend' and pid <> pg_backend_pid()"
        with psycopg.connect(self.conninfo, autocommit=True) as admin:
            ended = admin.execute(
                f"select pg_terminate_backend(pid, 20000) from pg_stat_activity where {others}"
            )
            return len(ended.fetchall())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, user=self._user, group=self._user, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        pause = 0.005
        while True:
            try:
                psycopg.connect(self.conninfo).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from error
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
            else:
                return


def _options(settings: Iterable[str]) -> list[str]:
    return [word for each in settings for word in ("-c", each)]
