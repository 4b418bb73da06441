"""The pieces run: servers, a process a contender, every workload. How fast is nobody's test."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from bench import adapters, runner
from bench.adapters import Contender
from bench.workloads import GROUPS, Group, group_named

# What a checkout of the tests has without the peers.
AT_HAND = ("cenote", "bare_socket", "stdlib_queues")
SHORT = 0.02


def at_hand(contender: Contender) -> bool:
    """One build of ours is enough: which one is up to CENOTE_IMPL."""
    return contender.module in AT_HAND and not contender.environment


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_contender_at_hand_has_figures_in_every_column(group: Group) -> None:
    results = runner.run_group(group, 1, SHORT, lambda _: None, at_hand)
    assert tuple(results) == group.columns
    for column, contenders in results.items():
        assert any(name.startswith("cenote") for name in contenders)
        for name, (figures,) in contenders.items():
            assert figures.get(group.figure, 0) > 0, f"{name}, {column}: {figures}"


def test_rounds_are_interleaved_and_turn_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B, then B A: each contender's slices lie between the others'."""
    asked: list[str] = []

    class Worker:
        def __init__(self, contender: Contender, *_: object) -> None:
            self.name = contender.name

        def __enter__(self):
            def ask(column: str, seconds: float) -> dict[str, float]:
                asked.append(self.name)
                return {"ns": 1.0}

            return ask

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(runner, "_worker", Worker)
    two = [Contender("A", "a", "a"), Contender("B", "b", "b")]
    monkeypatch.setattr(runner, "contenders", lambda _: two)
    results = runner.run_group(group_named("checkout"), 3, 1.0, lambda _: None)
    assert asked == ["A", "B", "B", "A", "A", "B"]
    assert results == {"cycle": {"A": [{"ns": 1.0}] * 3, "B": [{"ns": 1.0}] * 3}}


def test_a_contender_that_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [
        Contender("broken", "stdlib_queues", "no such factory"),
        Contender("queue", "stdlib_queues", "queue.SimpleQueue"),
    ]
    monkeypatch.setattr(runner, "contenders", lambda _: both)
    results = runner.run_group(group_named("checkout"), 1, SHORT, lambda _: None)
    assert results["cycle"]["broken"] == [{"error": "KeyError: 'no such factory'"}]
    assert results["cycle"]["queue"][0]["ns"] > 0


def test_a_contender_whose_process_can_not_start_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashing = Contender("x", "stdlib_queues", "queue.SimpleQueue", {"PYTHONHOME": "/nowhere"})
    monkeypatch.setattr(runner, "contenders", lambda _: [crashing])
    results = runner.run_group(group_named("checkout"), 1, SHORT, lambda _: None)
    assert "process ended" in results["cycle"]["x"][0]["error"]


def test_a_peer_that_is_not_installed_is_reported_as_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing_installed(distribution: str) -> str:
        raise PackageNotFoundError(distribution)

    monkeypatch.setattr(adapters, "version", nothing_installed)
    assert adapters.absent()["bmemcached"] == "python-binary-memcached"
    assert "stdlib_queues" not in adapters.absent()
    assert {c.module for c in adapters.contenders("checkout")} == {"stdlib_queues"}


def test_the_pure_build_takes_part_in_a_process_of_its_own() -> None:
    pure = next(c for c in adapters.contenders("single") if c.name == "cenote (pure)")
    assert pure.environment == {"CENOTE_IMPL": "native"}
