"""How long a client's operations take, for a client that is asked to count."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cenote import AsyncClient, Client, ConfigurationError, InvalidKey
from cenote.telemetry import operations
from cenote.telemetry.operations import OPERATIONS, durations, measure, release, trace
from tests.patience import PATIENCE


def counts(client: Client | AsyncClient) -> dict[tuple[str, str], int]:
    return {key: each.count for key, each in durations(client).items()}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_command_about_keys_is_measured(kind: type) -> None:
    commands = {
        name
        for part in kind.__mro__
        if part.__module__.split(".")[-1].startswith(("hot", "retrieval", "storage", "counting"))
        for name in vars(part)
        if name[0] != "_"
    }
    assert {"gets", "set_many", "touch", "incr"} <= commands
    assert commands <= set(OPERATIONS)
    assert all(callable(getattr(kind, name)) for name in OPERATIONS)


def test_operations_are_counted_and_answer_as_before() -> None:
    with Client("local://", **PATIENCE) as client:
        measure(client)
        measure(client)
        assert client.set("a", 1, ttl=60)
        assert client.get("a") == client.get("a", default=None) == 1
        assert client.get_many(["a", "b"]) == {"a": 1}
        assert counts(client) == {("set", ""): 1, ("get", ""): 2, ("get_many", ""): 1}
        assert durations(client)["get", ""].total > 0


def test_an_error_is_counted_by_its_class_and_raised() -> None:
    with Client("local://", **PATIENCE) as client:
        measure(client)
        with pytest.raises(InvalidKey):
            client.get("two words")
        assert counts(client) == {("get", "cenote.errors.InvalidKey"): 1}


def test_another_client_and_a_released_one_run_as_ever() -> None:
    with Client("local://", **PATIENCE) as client, Client("local://", **PATIENCE) as other:
        get = vars(client).get("get")
        measure(client)
        assert "get" in vars(client)
        assert "get" not in vars(other)
        release(client)
        release(client)
        assert vars(client).get("get") is get is None
        client.get("a")
        assert durations(client) == {}
        assert client not in operations.measured()


async def test_tasks_are_counted_and_so_is_a_cancel() -> None:
    async with AsyncClient("local://", **PATIENCE) as client:
        measure(client)
        assert inspect.iscoroutinefunction(client.get)
        await client.set("a", 1)
        assert await client.get("a") == 1
        getting = asyncio.create_task(client.get("a"))
        await asyncio.sleep(0)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        cancelled = ("get", "asyncio.exceptions.CancelledError")
        assert counts(client) == {("set", ""): 1, ("get", ""): 1, cancelled: 1}


def test_what_get_or_compute_asks_is_counted_and_not_what_it_computes() -> None:
    with Client("local://", **PATIENCE) as client:
        measure(client)
        client.delete("made")
        assert client.get_or_compute("made", lambda: 7, 60) == 7
        assert {operation for operation, _ in counts(client)} <= set(OPERATIONS)


@pytest.mark.stress
def test_no_operation_of_any_thread_is_missed() -> None:
    """Counting takes no lock: under the GIL it needs none."""
    with Client("local://", max_size=4, **PATIENCE) as client:
        measure(client)

        def work() -> None:
            for _ in range(500):
                client.get("nothing")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts(client) == {("get", ""): 2000}


def test_spans_and_counts_may_be_asked_for_together_in_either_order() -> None:
    seen: list[str] = []

    @contextmanager
    def around(operation: str, args: tuple[object, ...]) -> Iterator[None]:
        seen.append(operation)
        yield

    steps: list[Callable[[Client], None]] = [measure, lambda client: trace(client, around)]
    for order in (steps, steps[::-1]):
        with Client("local://", **PATIENCE) as client:
            for step in order:
                step(client)
            client.get("a")
            assert counts(client) == {("get", ""): 1}
    assert seen == ["get", "get"]


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no client"):
        measure("local://")  # type: ignore[arg-type]
