"""``ping`` and ``stats``, with and without a server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from cenote.testing.memcached import MemcachedServer
from tests.certificates import Certificates
from tests.cli.conftest import Run
from tests.patience import PATIENCE


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


PASSWORD = "tr0ub4dor"


@pytest.fixture(scope="module")
def guarded(certificates: Certificates) -> Iterator[MemcachedServer]:
    good = certificates.server
    with MemcachedServer(certificate=good.cert, key=good.key, users={"ann": PASSWORD}) as server:
        yield server


@pytest.mark.parametrize("command", ["ping", "doctor", "stats"])
def test_a_server_with_tls_and_a_password_is_reached_by_its_url(
    run: Run, guarded: MemcachedServer, certificates: Certificates, command: str
) -> None:
    query = urlencode(PATIENCE | {"ca": certificates.authority.path})
    url = f"memcacheds://ann:{PASSWORD}@{guarded.url}?{query}"
    result = run(command, "--url", url)
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("user", "trusted", "says"),
    [("ann:tr0ub4", True, "refused user 'ann'"), (f"ann:{PASSWORD}", False, "not trusted")],
)
def test_who_is_not_let_in_is_told_why_without_his_password(
    run: Run, guarded: MemcachedServer, certificates: Certificates, user, trusted, says
) -> None:
    trusting = {"ca": certificates.authority.path} if trusted else {}
    url = f"memcacheds://{user}@{guarded.url}?{urlencode(PATIENCE | trusting)}"
    for command, code in (("ping", 2), ("doctor", 1)):
        result = run(command, "--url", url)
        assert result.exit_code == code
        assert says in result.output
        assert "tr0ub4" not in result.output
