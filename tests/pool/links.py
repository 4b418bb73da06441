"""A connector for threads under the test's control, and a core driven by hand.

Strategy: a ``Link`` records what is done to it and asserts at once what no pool may do: two owners
at a time, use after close, two closes. ``Links`` makes them; each of its operations can be told to
fail or to wait at a gate. ``HandDriven`` performs what a ``PoolCore`` asks for, when told, on a
manual clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Self

from cenote.pool.actions import Close, Connect, Ping, Reset, Tell, Warn
from cenote.pool.core import PoolCore
from cenote.pool.fast import RESERVED
from cenote.pool.fast_path import Entry
from cenote.pool.options import PoolOptions
from cenote.pool.stats import PoolStats
from cenote.pool.waiters import Ticket

PATIENCE = 10.0  # seconds; only ever spent by a test that fails


class Trouble(OSError):
    """What an operation that is told to fail raises."""


class Link:
    """A resource that knows what was done to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closes = 0
        self.aborts = 0
        self.alive = True
        self.clean = True
        self.owner: object = None

    def __enter__(self) -> Self:
        """Be used, by one at a time."""
        assert self.owner is None, f"{self} is in use by {self.owner}"
        assert not self.closes, f"{self} is closed"
        self.owner = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self.owner = None

    def __repr__(self) -> str:
        return f"<link {self.number}>"


class Gate:
    """Where an operation waits until the test lets it pass."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._passed = threading.Semaphore(0)

    def __call__(self) -> None:
        self.arrived.release()
        assert self._passed.acquire(timeout=PATIENCE)

    def await_arrival(self) -> None:
        """Wait until an operation has come to the gate."""
        assert self.arrived.acquire(timeout=PATIENCE)

    def let_pass(self, number: int = 1) -> None:
        """Let so many operations pass, now or later."""
        self._passed.release(number)


class Links:
    """Opens and closes links; ``before`` holds what to run before an operation is done."""

    def __init__(self, **before: Callable[[], None]) -> None:
        self.before = before
        self.made: list[Link] = []
        self.closed: list[Link] = []
        self.threads: set[str] = set()
        self.changed = threading.Condition()
        self._numbers = count(1)

    def _prepare(self, operation: str) -> None:
        self.threads.add(f"{operation} in {threading.current_thread().name}")
        if operation in self.before:
            self.before[operation]()

    def connect(self, timeout: float) -> Link:
        self._prepare("connect")
        link = Link(next(self._numbers))
        with self.changed:
            self.made.append(link)
            self.changed.notify_all()
        return link

    def close(self, link: Link) -> None:
        self._prepare("close")
        link.closes += 1
        assert link.closes == 1, f"{link} was closed twice"
        with self.changed:
            self.closed.append(link)
            self.changed.notify_all()

    def await_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something made or closed makes the condition true."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE)

    @property
    def live(self) -> list[Link]:
        """Every link not closed."""
        return [link for link in self.made if not link.closes]


class CheckedLinks(Links):
    """The same, with a check."""

    def is_alive(self, link: Link) -> bool:
        self._prepare("check")
        return link.alive


class ResettingLinks(Links):
    """The same, with a reset of links that are not clean."""

    def is_clean(self, link: Link) -> bool:
        return link.clean

    def reset(self, link: Link) -> None:
        self._prepare("reset")
        link.clean = True


def fail() -> None:
    """An operation that fails."""
    raise Trouble("refused")


class HandDriven:
    """A core and a clock; nothing happens but what the test says."""

    def __init__(self, *, seed: int = 1, checks: bool = False, resets: bool = False,
                 pings: bool = False, is_clean: Callable[[str], bool] | None = None,
                 observer: object = None, **options: object) -> None:  # fmt: skip
        self.now = 1000.0
        self.core: PoolCore[str] = PoolCore(
            "p",
            PoolOptions(**({"max_idle": None, "max_lifetime": None} | options)),  # type: ignore[arg-type]
            rng=Random(seed),
            checks=checks,
            resets=resets,
            pings=pings,
            is_clean=is_clean,
            observer=observer,  # type: ignore[arg-type]
        )
        self.closes: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.made = count(1)

    # What callers do.

    def ask(self) -> Ticket[str]:
        """Ask for a connection, and wait if there is none."""
        ticket: Ticket[str] = Ticket(self.now)
        self.core.acquire(ticket, self.now)
        return ticket

    def lease(self) -> Entry[str]:
        """Acquire, connecting as far as that is needed."""
        entry = self.core.stack.take(self.now)
        if entry is None:
            ticket = self.ask()
            self.connect_all()
            entry = self.served(ticket)
        assert entry is not None, "nothing was to be had"
        return entry

    def served(self, ticket: Ticket[str]) -> Entry[str] | None:
        """What a woken caller gets: what was granted, or what it finds when it looks."""
        if ticket.entry is None and (ticket.nudged or self.now >= ticket.again):
            self.core.acquire(ticket, self.now)
        return ticket.entry

    def give(self, entry: Entry[str]) -> None:
        """Give back as a driver does."""
        answer = self.core.stack.give(entry, self.now)
        if answer == 1:
            self.core.settle(self.now)
        elif answer == 2:
            is_clean = self.core.stack.is_clean
            clean = is_clean is None or is_clean(entry.resource)
            self.core.release(entry, self.now, clean=clean)

    def timed_out(self, ticket: Ticket[str]) -> Entry[str] | None:
        """The caller's deadline has passed."""
        return self.core.cancel(ticket, self.now, "timeout")

    def checked(self, ticket: Ticket[str], ok: bool) -> bool:
        """Answer for a reserved entry."""
        assert ticket.entry is not None
        assert ticket.entry.state == RESERVED
        return self.core.checked(ticket, ok, self.now)

    # What the driver does.

    def pending(self, kind: type) -> list:
        """Take the actions of a kind, doing the announcements on the way."""
        found: list = []
        others: list = []
        while self.core.actions:
            action = self.core.actions.popleft()
            if isinstance(action, Tell):
                action.call()
            elif isinstance(action, Warn):
                self.warnings.append(action.message)
            else:
                (found if isinstance(action, kind) else others).append(action)
        self.core.actions.extend(others)
        return found

    def connect_all(self) -> int:
        """Let everything that is being opened succeed; returns how many that were."""
        total = 0
        while connects := self.pending(Connect):
            total += len(connects)
            for connect in connects:
                self.core.connected(connect, f"c{next(self.made)}", self.now)
        return total

    def fail_all(self, error: BaseException | None = None) -> int:
        """Let everything that is being opened fail."""
        connects = self.pending(Connect)
        for connect in connects:
            self.core.connect_failed(connect, error or Trouble("refused"), self.now)
        return len(connects)

    def close_all(self) -> list[tuple[str, str]]:
        """Close whatever is to be closed; returns (resource, reason) of each."""
        closed = []
        while closes := self.pending(Close):
            for close in closes:
                closed.append((close.entry.resource, close.reason))
                self.core.closed(close, self.now)
        self.closes += closed
        return closed

    def to_ping(self) -> list[Entry[str]]:
        return [ping.entry for ping in self.pending(Ping)]

    def to_reset(self) -> list[Entry[str]]:
        return [reset.entry for reset in self.pending(Reset)]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, ticking whenever the core wants it."""
        end = self.now + seconds
        while self.core.due <= end:
            self.now = max(self.now, self.core.due)
            self.core.tick(self.now)
            assert self.core.due > self.now, "the core asks to be ticked without end"
        self.now = end

    def stats(self) -> PoolStats:
        return self.core.snapshot(self.now)
