"""A connector under the test's control, and the resources it makes.

Strategy: each operation (connect, check, ping, reset, close) follows a ``Behaviour``: it succeeds,
fails, is slow (waits until the test opens its gate) or never ends. Every resource records what was
done to it and asserts at once what no pool may do: use two owners at a time, use after close, close
twice. Nothing here reads a clock.
"""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from cenote.pool.connector import Verdict


class Behaviour(enum.Enum):
    """How an operation of the connector goes."""

    OK = "ok"
    ERROR = "error"
    SLOW = "slow"
    NEVER = "never"


class Trouble(OSError):
    """What a failing operation raises."""


@dataclass(eq=False)
class Resource:
    """A connection that knows what was done to it.

    Attributes:
        number: From 1, in the order of connecting.
        closes: How often it was closed; a pool must make it exactly one.
        owner: Who holds it now, for ``hold`` and ``let_go``.
        tainted: It must never be handed out again.
        clean: What ``is_clean`` answers.
        alive: What ``is_alive`` answers.
    """

    number: int
    closes: int = 0
    owner: object | None = None
    tainted: bool = False
    clean: bool = False
    alive: bool = True
    done: Counter[str] = field(default_factory=Counter)

    def hold(self, owner: object) -> None:
        """State that ``owner`` has it now."""
        assert self.owner is None, f"{self} is held by {self.owner!r} and was given to {owner!r}"
        assert not self.closes, f"{self} was given to {owner!r} after it was closed"
        assert not self.tainted, f"{self} is tainted and was given to {owner!r}"
        self.owner = owner

    def let_go(self) -> None:
        """State that nobody has it any more."""
        self.owner = None

    def __repr__(self) -> str:
        return f"<resource {self.number}>"


class Gate:
    """Where slow operations wait, in line, until the test lets them pass."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len([future for future in self._waiting if not future.done()])

    async def passed(self) -> None:
        """Wait to be let through."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def open(self, error: BaseException | None = None) -> None:
        """Let the first in line pass, or fail with ``error``."""
        future = next(future for future in self._waiting if not future.done())
        self._waiting.remove(future)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def open_all(self) -> None:
        """Let everyone now in line pass."""
        while len(self):
            self.open()


class GatedConnector:
    """An asyncio connector whose every operation behaves as told.

    Attributes:
        behaviour: By operation: ``connect``, ``check``, ``ping``, ``reset``, ``close``; changeable
            at any time.
        gates: By operation, where the slow ones wait.
        clean: What new resources answer to ``is_clean``.
        resources: Every resource ever made.
        calls: How often each operation was begun.
    """

    OPERATIONS = ("connect", "check", "ping", "reset", "close")

    def __init__(self, *, clean: bool = False, **behaviour: Behaviour) -> None:
        assert set(behaviour) <= set(self.OPERATIONS)
        self.behaviour = dict.fromkeys(self.OPERATIONS, Behaviour.OK) | behaviour
        self.gates = {operation: Gate() for operation in self.OPERATIONS}
        self.resources: list[Resource] = []
        self.calls: Counter[str] = Counter()
        self.verdict: Verdict = "discard"
        self.clean = clean
        self._numbers = count(1)

    async def _go_through(self, operation: str) -> None:
        self.calls[operation] += 1
        match self.behaviour[operation]:
            case Behaviour.ERROR:
                raise Trouble(f"{operation} failed")
            case Behaviour.SLOW:
                await self.gates[operation].passed()
            case Behaviour.NEVER:
                await asyncio.get_running_loop().create_future()

    async def connect(self, timeout: float | None) -> Resource:
        await self._go_through("connect")
        resource = Resource(next(self._numbers), clean=self.clean)
        self.resources.append(resource)
        return resource

    async def is_alive(self, resource: Resource) -> bool:
        resource.done["check"] += 1
        await self._go_through("check")
        return resource.alive

    async def ping(self, resource: Resource) -> None:
        resource.done["ping"] += 1
        assert resource.owner is None, f"{resource} was pinged while {resource.owner!r} had it"
        await self._go_through("ping")

    async def reset(self, resource: Resource) -> None:
        resource.done["reset"] += 1
        assert resource.owner is None, f"{resource} was reset while {resource.owner!r} had it"
        await self._go_through("reset")

    async def close(self, resource: Resource) -> None:
        assert resource.owner is None, f"{resource} was closed while {resource.owner!r} had it"
        resource.closes += 1
        assert resource.closes == 1, f"{resource} was closed twice"
        await self._go_through("close")

    def is_clean(self, resource: Resource) -> bool:
        return resource.clean

    def classify(self, error: BaseException) -> Verdict:
        return self.verdict

    @property
    def live(self) -> list[Resource]:
        """Every resource not closed."""
        return [resource for resource in self.resources if not resource.closes]
