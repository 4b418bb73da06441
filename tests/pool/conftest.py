"""Runs coroutines for tests of the asyncio pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.pool.virtual_time import VirtualLoop

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function in each kind of loop; it may leave nothing behind."""
    return lambda scenario: run_in(request.param, scenario)


@pytest.fixture
def virtually() -> Run:
    """Run a coroutine function in virtual time; it may leave nothing behind."""
    return lambda scenario: run_in(VirtualLoop, scenario)


def run_in(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    scenario: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Run a scenario in a new loop; fail if the loop is told of an error, or a task is left."""
    reported: list[dict[str, Any]] = []

    async def guarded() -> None:
        await scenario()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left running: {left}"

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
        runner.run(guarded())
    assert not reported, f"the loop was told of {reported}"
