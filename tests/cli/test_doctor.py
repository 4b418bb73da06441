"""``cenote doctor``: what it finds, what it advises, and when it says no."""

from __future__ import annotations

import json
import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import cenote
from cenote.cli import doctor
from cenote.testing.memcached import MemcachedServer
from tests.cli.conftest import Run


def found(about: str, url: str = "local://") -> doctor.Finding:
    return next(finding for finding in doctor.examine(url) if finding.about == about)


def test_a_healthy_machine_is_exit_code_0(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "MISSING" not in result.stdout
    assert cenote.__version__ in result.stdout


def test_the_server_is_asked_for_its_version_and_commands(
    memcached_server: MemcachedServer,
) -> None:
    finding = found("server", memcached_server.url)
    assert finding.state == "fine"
    assert re.search(r"memcached [\d.]+, meta commands, [\d.]+ ms a round trip", finding.says)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        (
            "memcached://127.0.0.1:1",
            "start one there (memcached -l 127.0.0.1 -p 1), or name another",
        ),
        ("unix:///absent/m.sock", "start one there (memcached -s /absent/m.sock), or name another"),
    ],
)
def test_it_says_how_to_start_the_server_that_is_missing(url: str, remedy: str) -> None:
    assert found("server", url).remedy.startswith(remedy)


def test_a_server_that_is_not_there_is_missing_and_exit_code_1(run: Run) -> None:
    with MemcachedServer() as server:
        server.stop()
        result = run("doctor", "--url", server.url)
    assert result.exit_code == 1
    assert "MISSING  server" in result.stdout
    assert "memcached -l 127.0.0.1" in result.stdout


@pytest.mark.parametrize(("url", "state"), [("local://", "missing"), ("127.0.0.1:1", "note")])
def test_memcached_itself_is_needed_for_local_only(
    monkeypatch: pytest.MonkeyPatch, url: str, state: str
) -> None:
    monkeypatch.setenv("CENOTE_MEMCACHED", "no-such-memcached")
    finding = found("memcached", url)
    assert finding.state == state
    assert finding.remedy == "apt install memcached"


def test_without_memcached_itself_local_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENOTE_MEMCACHED", "no-such-memcached")
    assert [finding.about for finding in doctor.examine("local://")][-1] == "memcached"


def test_without_extensions_there_is_a_note_with_the_command_that_builds_them(
    tmp_path: Path,
) -> None:
    (finding,) = doctor._extensions(tmp_path)
    assert finding.state == "note"
    assert "not compiled" in finding.says
    assert "gcc" in finding.remedy


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one extension in it."""
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / f"_speedups{EXTENSION_SUFFIXES[0]}").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("in_use", "state", "remedy"), [(True, "fine", ""), (False, "note", "unset CENOTE_IMPL")]
)
def test_an_extension_that_was_built_is_in_use_or_switched_off(
    package: Path, monkeypatch: pytest.MonkeyPatch, state: str, remedy: str, *, in_use: bool
) -> None:
    monkeypatch.setattr(doctor, "use_compiled", lambda _: in_use)
    (finding,) = doctor._extensions(package)
    assert finding.about == "cenote.protocol._speedups"
    assert (finding.state, finding.remedy) == (state, remedy)


def test_an_optional_package_that_is_absent_is_a_note() -> None:
    finding = doctor._optional("no-such-distribution", "something nice")
    assert (finding.state, finding.remedy) == ("note", "pip install no-such-distribution")


def test_the_findings_are_there_as_json_too(run: Run) -> None:
    findings = json.loads(run("doctor", "--json").stdout)
    assert {"about", "state", "says", "remedy"} == set(findings[0])
    assert findings[-1]["about"] == "server"
