"""Every script of examples/ runs, on the real thing; so do the examples of the pages about pools.

What they print is compared in full; of the pages', which tell times, all but the figures.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cenote
from tests.certificates import Authority
from tests.connectors.mail import MailServer
from tests.connectors.postgres import PostgresServer
from tests.connectors.services import LineServer
from tests.connectors.web import WebServer

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {path.name for path in (ROOT / "examples").glob("*.py")}
ALONE = {
    "cache.py": """\
computing the report of monday
8 reports, all the same: True
computed: 1
""",
    "cache_asyncio.py": """\
each visit got a number of its own: True
the last one: 100
connections to local: 1
""",
    "line_protocol.py": """\
without a pool: ONE (a new connection)
without a pool: TWO (a new connection)
without a pool: THREE (a new connection)
with a pool: ONE
with a pool: TWO
with a pool: THREE
connections opened by the pool: 1
""",
    "sqlite.py": """\
sum: (55,)
at most two connections: True
""",
    "sqlalchemy_engine.py": """\
one
two
Pool size: 5  Connections in pool: 1 Current Overflow: -4 Current Checked out connections: 0
connections opened: 1
""",
    "http_hosts.py": """\
host 1: 200 4 bytes
host 1: 200 4 bytes
host 2: 200 4 bytes
host 2: 200 4 bytes
connections opened: 2
""",
}
WITH_A_SERVER = {"tls_service.py", "postgres.py", "requests_adapter.py", "smtp.py"}
ON_A_PAGE = {"find_leak.py"}


def printed(*command: str, warnings: str = "error") -> str:
    done = subprocess.run(
        [sys.executable, "-W", warnings, *command],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def run(name: str, *arguments: object, warnings: str = "error") -> str:
    return printed(f"examples/{name}", *map(str, arguments), warnings=warnings)


def shown(page: str, command: str) -> str:
    """Return what a page says that a command prints."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.search(rf"```console\n\$ {re.escape(command)}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def without_figures(text: str) -> str:
    return re.sub(r"\b[\d.]+\b", "N", text)


def test_each_is_tested_and_told_of() -> None:
    assert ALONE.keys() | WITH_A_SERVER | ON_A_PAGE == EXAMPLES
    readme = (ROOT / "examples/README.md").read_text("utf-8")
    told = re.findall(r"^\| \[(.*?)\]\(\1\)", readme, re.MULTILINE)
    assert sorted(told) == sorted(EXAMPLES)


@pytest.mark.parametrize("name", ALONE)
def test_it_runs_alone(name: str) -> None:
    assert run(name) == ALONE[name]


@pytest.mark.parametrize("name", sorted(WITH_A_SERVER))
def test_it_says_what_it_needs(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"examples/{name}"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"python examples/{name} " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_is_asked_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with LineServer(tls=authority.issue().serving()) as service:
        lines = run("tls_service.py", "localhost", service.port, authority.path, "say a", "say b")
    assert lines == "a\nb\nhandshakes: 1\n"
    assert service.accepted == 1


def test_connections_to_postgresql_come_back_clean() -> None:
    with PostgresServer() as server:
        lines = run("postgres.py", server.conninfo).splitlines()
    assert lines == [
        "rows left: (0,)",
        "refused: division by zero - the connection is ok",
        "connections opened: 1",
    ]


def test_a_session_of_requests_keeps_its_connections() -> None:
    with WebServer() as web:
        urls = f"{web.url}/one", f"{web.url}/three"
        # The adapter's close does not wait: the process may end before the sockets are closed.
        lines = run("requests_adapter.py", *urls, warnings="ignore::ResourceWarning")
    assert lines == "200 4 bytes\n200 6 bytes\nconnections opened: 1 idle: 1\n"
    assert web.accepted == 1


def test_mail_is_sent_in_one_session() -> None:
    receivers = ["ann@there.internal", "bob@there.internal"]
    with MailServer() as mail:
        lines = run("smtp.py", "127.0.0.1", mail.port, "us@here.internal", *receivers)
    assert lines == "sent to ann@there.internal\nsent to bob@there.internal\nsessions: 1\n"
    assert (mail.received, mail.sessions) == (receivers, 1)


def test_the_readme_runs_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert len(examples) >= 3
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path):
        for example in examples:
            exec(compile(example, "README.md", "exec"), names)
            said = re.findall(r"print\(.*  # (.*)", example)
            assert said
            assert capsys.readouterr().out.splitlines() == said


def test_the_page_about_the_client_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/client.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", page, re.DOTALL)
    assert len(examples) >= 5
    names: dict[str, object] = {"__name__": "page"}
    for code, expected in examples:
        exec(compile(code, "client.md", "exec"), names)
        assert capsys.readouterr().out == expected, code


def test_the_page_about_the_client_names_every_command() -> None:
    page = (ROOT / "docs/client.md").read_text("utf-8")
    commands = [name for name in dir(cenote.Client) if not name.startswith("_")]
    assert not [name for name in commands if not re.search(rf"\b{name}\b", page)]


def test_the_leak_is_reported_as_the_page_says() -> None:
    page = shown("find-a-leak.md", "python examples/find_leak.py")
    lines = printed("examples/find_leak.py", warnings="ignore::ResourceWarning")
    assert without_figures(lines) == without_figures(page)
    assert set(re.findall(r"find_leak.py:\d+", lines)) == set(re.findall(r"find_leak.py:\d+", page))


def test_sizes_are_computed_and_drawn_as_the_page_says(tmp_path: Path) -> None:
    command = "cenote size --rate 100 --duration 0.1 --target-wait 0.005 --plot"
    cenote = ("-X", "utf8", "-c", "from cenote.cli.main import main; main()")
    arguments = command.split()[1:]
    assert printed(*cenote, *arguments) == shown("size-a-pool.md", command)
    printed(*cenote, *arguments, str(tmp_path / "size.svg"))
    picture = (ROOT / "docs/pictures/size.svg").read_text()
    assert (tmp_path / "size.svg").read_text() == picture
