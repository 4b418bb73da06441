"""The command line in this process, against a real memcached."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result

from cenote.cli.commands import cli
from cenote.testing.memcached import MemcachedServer
from tests.patience import PATIENCE

Run = Callable[..., Result]


@pytest.fixture
def run(memcached_server: MemcachedServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give ``run("get", "key")``: the command as a user types it, with ``CENOTE_URL`` set."""
    patient = urlencode(PATIENCE)
    monkeypatch.setenv("CENOTE_URL", f"unix://{memcached_server.url}?{patient}")
    runner = CliRunner()
    return lambda *arguments, stdin=None: runner.invoke(cli, arguments, input=stdin)
