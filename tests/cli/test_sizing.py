"""``size``: the answer, and the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import cenote
from tests.cli.conftest import Run

LOAD = ("--rate", "100", "--duration", "0.1")


def test_size_sets_erlang_c_beside_the_rule_of_thumb(run: Run) -> None:
    result = run("size", *LOAD, "--target-wait", "0.005")
    assert result.exit_code == 0
    assert result.stdout == f"{cenote.size(100, 0.1, target_wait=0.005)}\n"
    assert "rule of thumb     15" in result.stdout


def test_a_plot_in_the_terminal_names_both_answers(run: Run) -> None:
    lines = run("size", *LOAD, "--plot").stdout.splitlines()
    advised = cenote.size(100, 0.1).size
    (erlang,) = [line for line in lines if line.endswith("<- Erlang C")]
    (thumb,) = [line for line in lines if line.endswith("<- rule of thumb")]
    assert erlang.split()[0] == str(advised)
    assert thumb.split()[0] == "15"
    assert erlang.count("█") < thumb.count("█")


def test_a_plot_that_can_not_be_written_is_one_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "none" / "waits.svg"
    result = run("size", *LOAD, "--plot", str(file))
    assert result.exit_code == 2
    assert result.stderr == f"Error: '{file}' can not be written: No such file or directory\n"


def test_a_plot_in_a_file_is_an_svg(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "waits.svg"
    assert f"drawn in {file}" in run("size", *LOAD, "--plot", str(file)).stdout
    texts = [text.text for text in ET.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    assert f"Erlang C: {cenote.size(100, 0.1).size}" in texts
    assert "rule of thumb: 15" in texts
    assert "target 5 ms" in texts


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--rate", "0", "--duration", "1"), "rate=0.0 is out of range"),
        (("--rate", "1", "--duration", "1", "--share", "2"), "share=2.0 is out of range"),
        ((*LOAD, "--plot", "waits.gif"), "only files named .svg"),
        (("--rate", "1"), "Missing option '--duration'"),
    ],
)
def test_nonsense_is_refused_with_exit_code_2(
    run: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = run("size", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("load", [("0.001", "0.001"), ("5000", "0.5"), ("1", "1")])
def test_every_load_can_be_drawn(run: Run, load: tuple[str, str], tmp_path: Path) -> None:
    for where in ((), (str(tmp_path / "waits.svg"),)):
        result = run("size", "--rate", load[0], "--duration", load[1], "--plot", *where)
        assert result.exit_code == 0, result.output
