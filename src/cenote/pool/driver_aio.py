"""Ties a pool's core, its tasks and its callers to one event loop.

Strategy: no lock. The core is called from the pool's loop only, and nothing can interrupt a call
there. ``_order`` is the one way to it: the call, then what it has decided (``actor_aio.py``). A
pool belongs to the loop it is first used in; any other gets ``WrongLoop``. Giving back is a plain
function, which also works when the loop does not run any more.

Finalizers of lost leases run anywhere, in any thread: they only have the loop called back.

A forked child begins with an empty pool, for a loop of its own. The parent's loop shares its
selector with the child, and nothing that is done there may touch it: inherited connections are
aborted, which closes the descriptor and no more, and kept, lest a finalizer tell the loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from _thread import get_ident
from collections.abc import Callable
from random import Random
from types import EllipsisType, FrameType
from typing import Any, TypeVar

from cenote.errors import WrongLoop
from cenote.pool.actor_aio import Actor
from cenote.pool.budget import Budget
from cenote.pool.checkout_aio import Checkout
from cenote.pool.connector import AsyncHooks, check_needs, judge
from cenote.pool.core import PoolCore
from cenote.pool.fast import ALWAYS, DETACHED, FOREIGN
from cenote.pool.fast_path import Entry
from cenote.pool.fast_path_aio import AsyncFront
from cenote.pool.leaks import place
from cenote.pool.observer import Observer
from cenote.pool.options import PoolOptions

T = TypeVar("T")
R = TypeVar("R")


class AsyncDriver(AsyncFront[T]):
    """The slow half of ``AsyncPool``: whatever needs the core, a wait, or a task."""

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        found: AsyncHooks[T],
        observer: Observer | None,
        clock: Callable[[], float],
        rng: Random,
        *,
        budget: Budget[Any] | None = None,
        key: Any = None,
    ) -> None:
        check_needs(found, options)
        self._core: PoolCore[T] = PoolCore(
            name,
            options,
            rng=rng,
            describe=_describe,
            is_gone=_is_gone,
            is_clean=found.is_clean,
            checks=found.is_alive is not None,
            resets=found.reset is not None,
            pings=found.ping is not None,
            observer=observer,
            budget=budget,
            key=key,
        )
        self._core.eager = True
        super().__init__(self._core.stack, clock)
        self._hooks = found
        self._actor = Actor(self._core, found, clock)
        self._slow = Checkout(self._core, found, self._actor, clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poked = False
        self._core.stack.poke = self._poke
        _DRIVERS.add(self)

    def trace_leases(self, trace: Callable[[], object] | None) -> Callable[[], object] | None:
        """Have ``trace`` called when a lease begins, and its result kept; returns what was before.

        Args:
            trace: ``None``: no more.
        """
        return self.stack.keep_trails(trace)

    def _order(self, order: Callable[[float], R]) -> R:
        """Call the core, and do what it has decided."""
        self._stay()
        try:
            return order(self.clock())
        finally:
            self._actor.act()

    # What ``AsyncFront`` can not do on its own.

    async def _checkout(self, timeout: float | EllipsisType | None) -> Entry[T]:
        limit = self._core.options.timeout if isinstance(timeout, EllipsisType) else timeout
        return await self._slow.wait(self._enter(), limit)

    def _checkin(self, entry: Entry[T], error: BaseException | None) -> None:
        if entry.state == DETACHED or (entry.state == FOREIGN and error is not None):
            return  # detached; or inherited over a fork: the error in flight says more than ours
        verdict = "ok" if error is None else judge(self._hooks.classify, error)
        clean = verdict != "ok" or self._is_clean(entry.resource)
        self._order(lambda now: self._core.release(entry, now, verdict, clean))

    def _is_clean(self, resource: T) -> bool:
        is_clean = self.stack.is_clean
        return is_clean is None or bool(is_clean(resource))

    def _settle(self) -> None:
        if self._is_elsewhere():
            self._poke()
        else:
            self._order(self._core.settle)

    # Its loop.

    def _enter(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which becomes the pool's if it has none yet."""
        running = self._running()
        if self._loop is None:
            self._loop = running
            self.is_running = running.is_running
            self.instruments.follow(_TASKS, running)
            self._core.stack.who = self.instruments.task
        elif self._loop is not running:
            raise self._wrong_loop(f"used in {running!r}: make one pool for each event loop")
        self._actor.enter(running)
        self.thread = get_ident()  # a loop may be run by one thread after another
        return running

    def _running(self) -> asyncio.AbstractEventLoop:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            name = self._core.name
            text = (
                f"pool {name!r} was used where no event loop runs; after fork() the parent's does "
                "not run in the child, which needs one of its own"
            )
            raise WrongLoop(text, pool=name) from None

    def _stay(self) -> None:
        """Refuse to touch the core while its loop runs elsewhere."""
        if self._is_elsewhere():
            raise self._wrong_loop(
                "used in another thread: hand the call over with loop.call_soon_threadsafe"
            )

    def _is_elsewhere(self) -> bool:
        if self._loop is None or get_ident() == self.thread or not self._loop.is_running():
            return False
        try:
            return asyncio.get_running_loop() is not self._loop
        except RuntimeError:
            return True

    def _wrong_loop(self, what: str) -> WrongLoop:
        gone = ", which is closed" if self._loop is not None and self._loop.is_closed() else ""
        name = self._core.name
        text = f"pool {name!r} belongs to the event loop {self._loop!r}{gone}, and was {what}"
        return WrongLoop(text, pool=name)

    def _poke(self) -> None:
        """Have the core settle soon; from any thread, at any time, for finalizers."""
        if self._poked or self._loop is None:
            return
        self._poked = True
        try:
            self._loop.call_soon_threadsafe(self._on_poke)
        except RuntimeError:  # the loop is closed: whoever calls next settles
            self._poked = False

    def _on_poke(self) -> None:
        self._poked = False
        self._order(self._core.settle)

    def _renew(self) -> None:
        """In a forked child: begin anew, let go of what was inherited."""
        core, phase = self._core, self._core.phase
        inherited = self._disown()
        AsyncDriver.__init__(
            self, core.name, core.options, self._hooks, core.observer, self.clock, core.rng
        )
        self._core.min_size, self._core.max_size = core.min_size, core.max_size
        if phase == "closed":
            self._core.close(self.clock())
        self._let_go(inherited)

    def _disown(self) -> list[T]:
        """In a forked child: make what was inherited foreign, and return it."""
        core = self._core
        inherited = core.disown()
        core.stack.idle.clear()
        core.stack.barrier = ALWAYS
        core.phase = "closed"  # for whoever still waits in a parent's frame
        return inherited

    def _let_go(self, inherited: list[T]) -> None:
        _INHERITED.extend(inherited)
        for resource in inherited:
            self._actor.abort(resource)


# The cheapest way to ask for the current task of a loop.
_TASKS: dict[object, object] | Callable[[Any], object] = asyncio.current_task
if sys.version_info < (3, 12):  # where that is Python code around this dictionary
    _TASKS = asyncio.tasks._current_tasks  # type: ignore[attr-defined]

_INHERITED: list[object] = []
_DRIVERS: weakref.WeakSet[AsyncDriver[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for driver in list(_DRIVERS):
        driver._renew()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _describe(holder: object) -> tuple[str, str]:
    """Name a task, and say where it is now."""
    if not isinstance(holder, asyncio.Task):
        return holder if isinstance(holder, str) else "?", ""
    stack: list[FrameType] = []
    awaited: object = holder.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None:
            stack.insert(0, frame)
        awaited = getattr(awaited, "cr_await", None)
    runs = bool(stack) and stack[0].f_back is not None
    return holder.get_name(), place(*stack[:1] if runs else stack)


def _is_gone(holder: object) -> bool:
    return isinstance(holder, asyncio.Task) and holder.done()
