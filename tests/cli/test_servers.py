"""``ping`` and ``stats``, with and without a server."""

from __future__ import annotations

import json
import re

import pytest

from cenote.testing.memcached import MemcachedServer
from tests.cli.conftest import Run


def test_ping_tells_the_version_and_the_round_trip(run: Run) -> None:
    result = run("ping")
    assert result.exit_code == 0
    assert re.search(r"is up: memcached [\d.]+, \d+\.\d\d ms a round trip\n$", result.stdout)


def test_ping_tells_it_as_json_too(run: Run, memcached_server: MemcachedServer) -> None:
    printed = json.loads(run("ping", "--json").stdout)
    assert printed["server"] == memcached_server.url
    assert 0 < printed["seconds"] < 5


def test_the_url_may_be_an_option_or_in_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, memcached_server: MemcachedServer
) -> None:
    monkeypatch.delenv("CENOTE_URL")
    assert run("ping", "--url", memcached_server.url).exit_code == 0


def test_nobody_there_is_one_line_and_exit_code_2(run: Run) -> None:
    with MemcachedServer() as server:
        server.stop()
        result = run("ping", "--url", server.url)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert server.url in line
    assert "refused" in line


def test_stats_are_a_line_each(run: Run) -> None:
    result = run("stats")
    assert result.exit_code == 0
    assert re.search(r"^curr_connections +\d+", result.stdout, re.MULTILINE)


def test_a_group_of_stats_can_be_asked_for(run: Run, memcached_server: MemcachedServer) -> None:
    printed = json.loads(run("stats", "settings", "--json").stdout)
    assert printed[memcached_server.url]["num_threads"] == "1"
