"""Cancel a coroutine at every point where it can be cancelled, one schedule at a time.

Strategy: a task can be cancelled only while it is suspended, so a scenario has finitely many
schedules: suspension k, and within it every turn of the loop from the first to the last, and the
moment at which what it waits for is done but the task has not run yet (the race of a grant and a
cancel). ``prove`` runs the scenario once undisturbed to count the suspensions and their turns, then
once per schedule, then once more per schedule with a second cancel at each later suspension reached
after the first. A scenario states its own invariants; the harness asserts that no cancel was
swallowed.

A scenario is ``async def scenario(victim)``: it builds its world, calls
``victim.start(coroutine)`` once, plays the other actors, awaits ``victim.ended()`` and asserts. It
must be deterministic, and end in a bounded number of turns when nothing is cancelled. Works on any
event loop: the coroutine is stepped by a wrapper that the loop takes for a plain one.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

LATE = -1
_MOST_TURNS = 60


@dataclass(frozen=True, slots=True)
class Cancel:
    """One cancel: at suspension ``at`` (from 1), after ``turn`` turns of the loop, or ``LATE``.

    ``LATE`` is once the awaited future is done and before the task runs again.
    """

    at: int
    turn: int

    def __str__(self) -> str:
        when = "as it resumes" if self.turn == LATE else f"turn {self.turn}"
        return f"cancel at suspension {self.at}, {when}"


Plan = tuple[Cancel, ...]


@dataclass
class Suspension:
    """What one suspension of the victim was like: how many turns it lasted, on a future or not."""

    turns: int = 0
    on_future: bool = False


@dataclass
class Victim:
    """The task under attack: counts its suspensions and cancels itself as planned.

    Attributes:
        plan: The cancels to deliver.
        suspensions: What has been seen so far, in order.
        delivered: How many cancels were requested while the task was not done.
    """

    plan: Plan = ()
    suspensions: list[Suspension] = field(default_factory=list)
    delivered: int = 0
    task: asyncio.Task[Any] | None = None
    _suspended: bool = False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``coroutine`` as the victim's task."""
        assert self.task is None, "a scenario starts its victim once"
        self.task = asyncio.get_running_loop().create_task(self._body(coroutine))
        return self.task

    async def ended(self) -> BaseException | None:
        """Wait for the victim; return what it raised, if anything."""
        assert self.task is not None, "the victim was never started"
        await asyncio.wait([self.task])
        if self.task.cancelled():
            return asyncio.CancelledError()
        return self.task.exception()

    @property
    def cancelled(self) -> bool:
        """Tell whether the victim's task ended as cancelled."""
        return self.task is not None and self.task.cancelled()

    async def _body(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await self._step(coroutine)

    @types.coroutine
    def _step(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        advance: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            try:
                awaited = advance(value)
            except StopIteration as stop:
                return stop.value
            self._on_suspend(awaited)
            try:
                value, advance = (yield awaited), coroutine.send
            except BaseException as error:  # whatever the loop throws goes to the coroutine
                value, advance = error, coroutine.throw
            self._suspended = False

    def _on_suspend(self, awaited: object) -> None:
        self._suspended = True
        seen = Suspension(on_future=asyncio.isfuture(awaited))
        self.suspensions.append(seen)
        number = len(self.suspensions)
        turn = next((cancel.turn for cancel in self.plan if cancel.at == number), None)
        if turn == LATE:
            self._cancel_late(awaited)
        asyncio.get_running_loop().call_soon(self._turn, seen, turn)

    def _cancel_late(self, awaited: object) -> None:
        if asyncio.isfuture(awaited):  # else the scenario has diverged, which ``delivered`` shows
            awaited.add_done_callback(lambda _: self._cancel())  # ahead of the task's own callback

    def _turn(self, seen: Suspension, cancel_at: int | None) -> None:
        if not self._suspended or self.suspensions[-1] is not seen:
            return
        if seen.turns == cancel_at:
            self._cancel()
        seen.turns += 1
        if seen.turns < _MOST_TURNS:
            asyncio.get_running_loop().call_soon(self._turn, seen, cancel_at)

    def _cancel(self) -> None:
        assert self.task is not None
        if self.task.cancel():
            self.delivered += 1


Scenario = Callable[[Victim], Awaitable[None]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def prove(scenario: Scenario, *, loop_factory: LoopFactory, twice: bool = True) -> int:
    """Run ``scenario`` in every schedule of one cancel and, with ``twice``, of two.

    Args:
        scenario: What to run; called once per schedule, each time in a fresh loop.
        loop_factory: Makes the loop (``asyncio.new_event_loop``, ``uvloop.new_event_loop``).
        twice: Also deliver a second cancel at each suspension that follows the first.

    Returns:
        The number of schedules proved, the undisturbed one included.

    Raises:
        AssertionError: In some schedule; the note on it names the schedule.
    """
    undisturbed = _run(scenario, (), loop_factory)
    proved = 1
    for first in _cancels(undisturbed, after=0):
        seen = _run(scenario, (first,), loop_factory)
        proved += 1
        for second in _cancels(seen, after=first.at) if twice else ():
            _run(scenario, (first, second), loop_factory)
            proved += 1
    return proved


def _cancels(seen: list[Suspension], *, after: int) -> Iterator[Cancel]:
    for number, suspension in enumerate(seen, start=1):
        if number <= after:
            continue
        for turn in range(suspension.turns):
            yield Cancel(number, turn)
        if suspension.on_future:
            yield Cancel(number, LATE)


def _run(scenario: Scenario, plan: Plan, loop_factory: LoopFactory) -> list[Suspension]:
    victim = Victim(plan)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_guarded(scenario, victim))
    except BaseException as error:
        error.add_note(f"schedule: {', '.join(map(str, plan)) or 'undisturbed'}")
        raise
    return victim.suspensions


async def _guarded(scenario: Scenario, victim: Victim) -> None:
    """Run the scenario; nothing may be swallowed, reported to the loop, or left running."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    await scenario(victim)
    assert victim.delivered == len(victim.plan), "the scenario is not the same each time"
    assert not victim.plan or victim.cancelled, "a cancel was swallowed"
    assert not reported, f"the loop was told of {reported}"
    leaked = asyncio.all_tasks() - {asyncio.current_task()}
    assert not leaked, f"tasks left running: {leaked}"
