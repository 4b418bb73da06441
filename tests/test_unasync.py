"""The generator of blocking twins: what it changes, what it leaves, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tools import unasync


def twin(source: str) -> str:
    return unasync.Unasync().convert(dedent(source))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f(): pass\n", "def f(): pass\n"),
        ("async with a as b, c: pass\n", "with a as b, c: pass\n"),
        ("async for x in y: pass\n", "for x in y: pass\n"),
        ("z = [await x async for x in y]\n", "z = [x for x in y]\n"),
        ("return (await f(await g()))[0]\n", "return (f(g()))[0]\n"),
        ("class AsyncClient: pass\n", "class Client: pass\n"),
        ("from cenote.runtime.aio import sleep\n", "from cenote.runtime.sync import sleep\n"),
        ("from cenote.client.base_aio import A\n", "from cenote.client.base_sync import A\n"),
        ("def __aenter__(self): pass\n", "def __enter__(self): pass\n"),
    ],
)
def test_code_loses_its_asynchrony(source: str, expected: str) -> None:
    assert twin(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "awaitable = asynchronous = 1\n",
        "class MyAsyncClient: pass\n",
        "x.aiohttp = faio\n",
        'regex = r"\\s*\t{}"\n',
        "if x:\n\n\n    y = [\n        1,  # one\n    ]\n",
        "x = f'{{literal}} {value!r:>{width}} {{'\n",
        "s = 'ünï' + \"cödé\"; t = 1\n",
        "no_newline = 1",
    ],
)
def test_everything_else_is_copied_as_it_stands(source: str) -> None:
    assert unasync.Unasync().convert(source) == source


def test_docstrings_and_comments_read_right_on_the_blocking_side() -> None:
    source = '''
        async def get(self):
            """Ask.

            async with AsyncClient("local://") as mc:
                value = await mc.get("k")  # MyAsyncClient and awaiting stay
            """
            return await self._get()  # await the reply of AsyncClient
    '''
    assert twin(source) == dedent(
        '''
        def get(self):
            """Ask.

            with Client("local://") as mc:
                value = mc.get("k")  # MyAsyncClient and awaiting stay
            """
            return self._get()  # the reply of Client
    '''
    )


def test_names_change_inside_f_strings_too() -> None:
    source = 'raise E(f"AsyncClient at {await self.name()} of {AsyncClient.x}")\n'
    assert twin(source) == 'raise E(f"Client at {self.name()} of {Client.x}")\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = f(\n    a, b\n)\n", "x = f(a, b)\n"),
        ("def f(\n    a\n) -> int:\n    pass\n", "def f(a) -> int:\n    pass\n"),
        ("x = f(\n    g(\n        a\n    )\n)\n", "x = f(\n    g(a)\n)\n"),
    ],
)
def test_a_call_that_now_fits_on_a_line_is_joined(text: str, expected: str) -> None:
    assert unasync.join_brackets(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x = f(\n    a,\n)\n",
        "x = f(\n    a  # why\n)\n",
        f"x = f(\n    {'a' * 95}\n)\n",
        "x = f(a, [\n    b\n    + c\n])\n",
        '"""\nf(\n    a\n)\n"""\n',
        "x = f(a,\n      b\n)\n",
    ],
)
def test_the_formatter_would_leave_other_calls_as_they_are(text: str) -> None:
    assert unasync.join_brackets(text) == text


def test_a_rule_that_nothing_uses_is_reported() -> None:
    converter = unasync.Unasync(dropped=("async", "await"), renamed={"A": "B", "C": "D"})
    converter.convert("async def f():\n    return A\n")
    assert converter.unused() == ["await", "C"]


def test_a_name_in_a_comment_does_not_count_as_used() -> None:
    """Prose alone does not keep a rule alive."""
    converter = unasync.Unasync(renamed={"A": "B"})
    converter.convert("# await A\n")
    assert converter.unused() == ["async", "await", "A"]


SOURCE = '''"""A face."""
from x.aio import AsyncClient, Other
async def f(): await g()
'''
TWIN = '''# Generated from src/cenote/client/get_aio.py by tools/unasync.py; do not edit.
"""A face."""
from x.sync import Client, Other
def f(): g()
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one source that uses every rule."""
    monkeypatch.setattr(unasync, "RENAMED", {"Async([A-Z].*)": r"\1", "aio": "sync"})
    (tmp_path / "src/cenote/client").mkdir(parents=True)
    (tmp_path / "src/cenote/client/get_aio.py").write_text(SOURCE)
    return tmp_path


def test_check_prints_what_differs_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unasync.main(["--check"], root=project) == 1
    assert "+def f(): g()" in capsys.readouterr().out
    assert not (project / "src/cenote/client/get_sync.py").exists()


def test_what_was_written_is_fresh_until_its_source_changes(project: Path) -> None:
    assert unasync.main([], root=project) == 0
    assert (project / "src/cenote/client/get_sync.py").read_text() == TWIN
    assert unasync.main(["--check"], root=project) == 0
    (project / "src/cenote/client/get_aio.py").write_text(SOURCE + "x = 1\n")
    assert unasync.main(["--check"], root=project) == 1


def test_an_unused_rule_fails_the_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = project / "src/cenote/client/get_aio.py"
    source.write_text(SOURCE.replace("AsyncClient", "Client"))
    assert unasync.main([], root=project) == 1
    assert "rules no source uses: Async" in capsys.readouterr().out


def test_tests_are_generated_beside_their_sources(project: Path) -> None:
    (project / "tests/client").mkdir(parents=True)
    (project / "tests/client/test_get_aio.py").write_text("async def test_a(): await b()\n")
    assert unasync.main([], root=project) == 0
    twin_text = (project / "tests/client/test_get_sync.py").read_text()
    assert twin_text.endswith("def test_a(): b()\n")


def test_the_committed_files_are_fresh() -> None:
    command = [sys.executable, unasync.__file__, "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
