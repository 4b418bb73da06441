"""The SASL database of a memcached for tests (``-S``): everything in one folder.

Strategy: Cyrus SASL, which memcached uses, reads its configuration from ``SASL_CONF_PATH`` and the
users from a database that ``saslpasswd2`` writes (Debian: ``sasl2-bin``); their realm is the name
of the host, as memcached has it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from cenote.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MECHANISMS = "plain scram-sha-1 scram-sha-256"


def write_users(folder: Path, users: Mapping[str, str], mechanisms: str) -> dict[str, str]:
    """Write who may log in; return the environment that memcached needs to find it.

    Args:
        folder: A private folder.
        users: Passwords by user.
        mechanisms: Those that the server offers, as Cyrus SASL names them.

    Raises:
        LocalServerError: There is no ``saslpasswd2``.
    """
    database = folder / "sasldb2"
    database.unlink(missing_ok=True)
    tool, realm = _tool(), socket.gethostname()
    for user, password in users.items():
        subprocess.run(  # noqa: S603 - no shell reads it
            [tool, "-p", "-c", "-a", "memcached", "-u", realm, "-f", str(database), user],
            input=password.encode(),
            check=True,
        )
    (folder / "memcached.conf").write_text(
        "pwcheck_method: auxprop\n"
        "auxprop_plugin: sasldb\n"
        f"sasldb_path: {database}\n"
        f"mech_list: {mechanisms}\n"
    )
    return {"SASL_CONF_PATH": str(folder)}


def _tool() -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which("saslpasswd2", path=path)
    if found is None:
        raise LocalServerError(
            "no saslpasswd2 to write SASL users with: install it (Debian, Ubuntu: apt install "
            "sasl2-bin libsasl2-modules)"
        )
    return found
