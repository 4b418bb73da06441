"""The entry point: with and without the packages it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules[{name!r}] = None
from cenote.cli.main import main
main()
"""


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_its_packages_it_says_in_one_line_what_to_install(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cenote: {name} is not installed: pip install 'cenote[cli]'\n"


def test_a_module_of_our_own_that_is_missing_is_not_excused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name="cenote.cli.items")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cenote.cli.items" in done.stderr


def test_python_m_cenote_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cenote", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("cenote, version ")
