"""Memory is measured in a process that inherits nothing from former rounds."""

from __future__ import annotations

import os

import pytest

from bench.workloads.memory import in_fresh_process


def test_the_figures_come_from_another_process() -> None:
    figures = in_fresh_process(lambda: {"pid": os.getpid()})
    assert figures["pid"] != os.getpid()


def test_what_a_round_allocates_is_gone_in_the_next() -> None:
    kept: list[int] = []

    def measure() -> dict[str, float]:
        kept.append(1)
        return {"kept": len(kept)}

    assert [in_fresh_process(measure)["kept"] for _ in range(2)] == [1, 1]


def test_a_measurement_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def measure() -> dict[str, float]:
        raise ConnectionRefusedError("no server")

    with pytest.raises(RuntimeError, match="status 1"):
        in_fresh_process(measure)
    assert "no server" in capfd.readouterr().err
