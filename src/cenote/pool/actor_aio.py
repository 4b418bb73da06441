"""Carries out, in one event loop, what a pool's core decides: wakes, tasks, and one timer.

Strategy: whoever calls the core calls ``act`` next. Everything that may take time or run a user's
code for long (connect, close, ping, reset, check) runs in a task that belongs to the pool: never
in the caller that happened to cause it, so a cancelled caller interrupts none of it. Tasks are
referenced here until they end, start in an empty context, and always answer the core, however they
end. Each is bounded by ``connect_timeout``, so that a peer that has gone silent can not keep a
slot for ever.

When the loop is closed no task can run: connections are then let go without a goodbye. The same
goes while it ends: that is known by the pool's tasks being cancelled by somebody else, as
``asyncio.run`` does. Nothing is begun then, unless a caller waits or comes after all.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from cenote.errors import ConnectFailed, PoolClosed
from cenote.pool.actions import Action, Close, Connect, Ping, Reset, Tell, Warn
from cenote.pool.connector import AsyncHooks
from cenote.pool.core import PoolCore
from cenote.pool.fast import NEVER
from cenote.pool.fast_path import Entry
from cenote.pool.observer import tell

T = TypeVar("T")
Answer = Callable[[float], object]

_log = logging.getLogger("cenote.pool")


class Actor(Generic[T]):
    """The hands of one ``AsyncPool``.

    Args:
        core: Decides.
        hooks: The connector's callbacks.
        clock: Monotonic seconds.

    Attributes:
        afterwards: Called after each act, if there is somebody else to look after.
    """

    def __init__(self, core: PoolCore[T], hooks: AsyncHooks[T], clock: Callable[[], float]) -> None:
        self._core = core
        self._hooks = hooks
        self._clock = clock
        self.afterwards: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._acting = False
        self._ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = NEVER
        self._closes: set[asyncio.Task[Answer]] = set()
        self._others: set[asyncio.Task[Answer]] = set()
        self._unclosed: set[Close[T]] = set()
        self._watches: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Act in ``loop``, where a caller has come."""
        self._loop = loop
        self._ending = False

    def act(self) -> None:
        """Do what the core has decided. Never suspends; may be called from within itself.

        The outermost call does the work of the inner ones, so that what ends at once (a task
        factory may be eager) is a loop here and not a recursion.
        """
        if self._acting:
            return
        self._acting = True
        core = self._core
        try:
            while core.woken or core.actions:
                if core.woken:
                    core.woken.popleft().wake()
                else:
                    self._perform(core.actions.popleft())
        finally:
            self._acting = False
        self._arm()
        self._notify()
        if self.afterwards is not None:
            self.afterwards()

    async def until(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``reached()``, asked after each act; False: not within ``timeout`` seconds."""
        if reached():
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        watch = (reached, future)
        self._watches.append(watch)
        alarm = None if timeout is None else loop.call_later(timeout, _resolve, future)
        try:
            await future  # a cancel leaves nothing behind but what ``finally`` removes
        finally:
            self._watches.remove(watch)
            if alarm is not None:
                alarm.cancel()
        return reached()

    @property
    def idle(self) -> bool:
        """True when none of the pool's tasks is running."""
        return not self._closes and not self._others

    def cancel_tasks(self, *, closes: bool) -> None:
        """Cancel what is under way, with ``closes`` also the closing of connections."""
        for task in [*self._others, *(self._closes if closes else ())]:
            task.cancel()

    def check(
        self, entry: Entry[T], verdict: Awaitable[object], answer: Callable[[bool, float], object]
    ) -> None:
        """Find out in a task whether a reserved entry is alive: ``answer(ok, now)`` tells."""
        work = self._attempt(lambda _: verdict, entry, answer, judged=True)
        self._start("check", work, partial(answer, False))

    def abort(self, resource: T) -> None:
        """Let go of what can not be closed in an orderly way, as far as the connector can."""
        if self._hooks.abort is not None:
            self._call_now(self._hooks.abort, resource)

    @property
    def _live_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if something may still be begun in it."""
        if self._loop is None or self._loop.is_closed():
            return None
        return None if self._ending and not self._core.waiters else self._loop

    # The timer.

    def _arm(self) -> None:
        due = self._core.due
        loop = self._live_loop
        if due == NEVER or loop is None:
            self._disarm()
        elif due < self._armed_for:
            self._disarm()
            self._armed_for = due
            delay = max(0.0, due - self._clock())
            self._timer = loop.call_later(delay, self._tick, context=contextvars.Context())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed_for = None, NEVER

    def _tick(self) -> None:
        self._timer, self._armed_for = None, NEVER
        self._core.tick(self._clock())
        self.act()

    def _notify(self) -> None:
        for reached, future in self._watches:
            if reached():
                _resolve(future)

    # Actions.

    def _perform(self, action: Action[T]) -> None:
        core = self._core
        if isinstance(action, Tell):
            tell(action.call)
        elif isinstance(action, Warn):
            _warn(action)
        elif self._live_loop is None:
            self._give_up(action)
        elif isinstance(action, Connect):
            cancelled = ConnectFailed("connecting was cancelled", pool=core.name)
            failed = partial(core.connect_failed, action, cancelled)
            self._start("connect", self._connect(action), failed)
        elif isinstance(action, Close):
            self._unclosed.add(action)
            self._start("close", self._close(action), partial(self._closed, action))
        elif isinstance(action, Ping):
            answer = partial(core.pinged, action.entry)
            self._run_hook("ping", self._hooks.ping, answer, action.entry)
        else:
            answer = partial(core.was_reset, action.entry)
            self._run_hook("reset", self._hooks.reset, answer, action.entry)

    def _run_hook(
        self,
        what: str,
        hook: Callable[[T], object] | None,
        answer: Callable[[bool, float], object],
        entry: Entry[T],
    ) -> None:
        assert hook is not None, f"the core asks for a {what} only where there is one"
        self._start(what, self._attempt(hook, entry, answer), partial(answer, False))

    def _start(self, what: str, work: Coroutine[Any, Any, Answer], failed: Answer) -> None:
        """Run ``work``; give the answer it returns, or ``failed`` if it was cancelled, to the core.

        The answer is given when the task is done and not by the task itself, since a task that is
        cancelled before its first step never runs a line.
        """
        assert self._loop is not None
        task = contextvars.Context().run(self._loop.create_task, work)
        task.set_name(f"cenote {what} of {self._core.name}")
        (self._closes if what == "close" else self._others).add(task)
        task.add_done_callback(partial(self._ended, failed))

    def _ended(self, failed: Answer, task: asyncio.Task[Answer]) -> None:
        self._closes.discard(task)
        self._others.discard(task)
        self._ending |= task.cancelled() and self._core.phase != "closed"
        lost = task.cancelled() or task.exception() is not None
        answer = failed if lost else task.result()
        answer(self._clock())
        self.act()

    async def _connect(self, action: Connect) -> Answer:
        core, limit = self._core, asyncio.timeout(action.deadline - self._clock())
        try:
            async with limit:
                resource = await self._hooks.connect(core.options.connect_timeout)
        except Exception as error:
            cause = self._overdue() if limit.expired() else error
            return partial(core.connect_failed, action, cause)
        return partial(core.connected, action, resource)

    async def _close(self, action: Close[T]) -> Answer:
        self._unclosed.discard(action)
        resource = action.entry.resource
        try:
            await self._bounded(self._hooks.close, resource)
        except Exception:
            _log.debug("closing %r failed", resource, exc_info=True)
            self.abort(resource)
        except BaseException:
            self.abort(resource)
            raise
        return partial(self._closed, action)

    def _closed(self, action: Close[T], now: float) -> None:
        if action in self._unclosed:  # its task was cancelled before its first step
            self._unclosed.discard(action)
            self._call_now(self._hooks.abort or self._hooks.close, action.entry.resource)
        self._core.closed(action, now)

    async def _attempt(
        self,
        hook: Callable[[T], object],
        entry: Entry[T],
        answer: Callable[[bool, float], object],
        *,
        judged: bool = False,
    ) -> Answer:
        """Run a hook and say whether it went well; ``judged``: whether it returned true."""
        try:
            result = await self._bounded(hook, entry.resource)
        except Exception:
            _log.debug("%r does not answer well", entry.resource, exc_info=True)
            return partial(answer, False)
        return partial(answer, bool(result) if judged else True)

    async def _bounded(self, hook: Callable[[T], object], resource: T) -> object:
        async with asyncio.timeout(self._core.options.connect_timeout):
            result = hook(resource)
            return await result if inspect.isawaitable(result) else result

    def _overdue(self) -> TimeoutError:
        limit = self._core.options.connect_timeout
        return TimeoutError(f"connecting took longer than {limit:g} s")

    # Without a loop.

    def _give_up(self, action: Connect | Close[T] | Ping[T] | Reset[T]) -> None:
        now = self._clock()
        if isinstance(action, Connect):
            error = PoolClosed("the pool's event loop has ended", pool=self._core.name)
            self._core.connect_failed(action, error, now)
        elif isinstance(action, Close):
            self._unclosed.add(action)
            self._closed(action, now)
        elif isinstance(action, Ping):
            self._core.pinged(action.entry, False, now)
        else:
            self._core.was_reset(action.entry, False, now)

    def _call_now(self, hook: Callable[[T], object], resource: T) -> None:
        """Call a hook as far as it goes without waiting."""
        try:
            result = hook(resource)
            if inspect.iscoroutine(result):
                result.send(None)
                result.close()
        except StopIteration:
            pass
        except Exception:
            _log.debug("letting go of %r failed", resource, exc_info=True)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _warn(notice: Warn) -> None:
    if notice.logged:
        _log.warning("%s", notice.message)
    try:
        warnings.warn(notice.message, ResourceWarning, stacklevel=2)
    except ResourceWarning:
        _log.error("%s", notice.message)
