"""A request under way, as its caller awaits it and as its connection queues it (pure twin).

Strategy: with a future of asyncio for each request, the loop is given a callback for each reply
that arrives, and running it costs more than all the rest. A ``Pending`` is awaited by a task like a
future, but those of all the replies that arrived together are woken by one callback of the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cenote.connection import inherited_aio
from cenote.errors import CenoteError

if TYPE_CHECKING:
    from typing import Self

    from cenote.protocol import Request

Callback: TypeAlias = Callable[["Pending"], object]

# The states of a ``Pending``.
WAITING = 0
ANSWERED = 1
FAILED = 2
CANCELLED = 3


class Pending:
    """A request under way, and what its caller awaits: a future of its reply.

    It is compatible with ``asyncio.Future`` as far as tasks and asyncio's functions need. But who
    awaits a reply is called where it arrives, without a ``call_soon`` (see ``wake``), and an error
    that nobody asks for is not logged. Cancelling takes nothing back.

    Attributes:
        request: The request.
        began: When it was made.
        deadline: When its caller gives up.
        followers: How many of those queued behind it share its reply.
        posted: Nobody waits for it.
        again: It has been sent a second time.
        state: WAITING, ANSWERED, FAILED or CANCELLED.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_callback", "_context", "_loop", "_others", "_value", "again",
        "began", "deadline", "followers", "posted", "request", "state",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, request: Request, began: float, deadline: float
    ) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._callback: Callback | None = None
        self._context: contextvars.Context | None = None
        self._others: list[tuple[Callback, contextvars.Context]] | None = None
        self._value: Any = None  # the reply, the error, or the message of the cancel
        self.request = request
        self.began = began
        self.deadline = deadline
        self.followers = 0
        self.posted = False
        self.again = False
        self.state = WAITING

    def settle(self, reply: object) -> bool:
        """Note the reply, or an error, unless it is too late; True: ``wake`` must be called."""
        if self.state != WAITING:
            return False
        self.state = FAILED if isinstance(reply, CenoteError) else ANSWERED
        self._value = reply
        return self._callback is not None

    def fail(self, error: CenoteError) -> None:
        """Note an error and have whoever awaits it called soon."""
        if self.settle(error):
            _wake_soon(self)

    # As a future has them.

    def __await__(self) -> Generator[Any, None, Any]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Self:
        if self.state == WAITING:
            self._asyncio_future_blocking = True
            return self
        raise StopIteration(self.result())

    def result(self) -> Any:
        """Return the reply, or raise what it failed with."""
        if self.state == ANSWERED:
            return self._value
        error = self._error()
        try:
            raise error
        finally:
            del self, error  # as in ``call``

    def _error(self) -> BaseException:
        if self.state == FAILED:
            return cast(BaseException, self._value)
        if self.state == WAITING:
            return asyncio.InvalidStateError("the reply has not come")
        return self._make_cancelled_error()

    def exception(self) -> BaseException | None:
        """Return what it failed with; None: it did not."""
        if self.state == ANSWERED:
            return None
        if self.state == FAILED:
            return cast(BaseException, self._value)
        raise self._error()

    @property  # asyncio asks for this and the next
    def _cancel_message(self) -> object:
        return self._value if self.state == CANCELLED else None

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        message = self._cancel_message
        return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    def done(self) -> bool:
        """Tell whether it is not waited for any more."""
        return self.state != WAITING

    def cancelled(self) -> bool:
        """Tell whether its caller has left."""
        return self.state == CANCELLED

    def cancel(self, msg: object = None) -> bool:
        """Stop waiting; False: it was over already."""
        if self.state != WAITING:
            return False
        self.state = CANCELLED
        self._value = msg
        if self._callback is not None:
            _wake_soon(self)
        return True

    def add_done_callback(
        self, fn: Callback, *, context: contextvars.Context | None = None
    ) -> None:
        """Have ``fn`` called with this once it is over, soon."""
        if context is None:
            context = contextvars.copy_context()
        if self.state != WAITING:
            self._loop.call_soon(fn, self, context=context)
        elif self._callback is None:
            self._callback = fn
            self._context = context
        else:
            self._others = [*(self._others or []), (fn, context)]

    def remove_done_callback(self, fn: Callback) -> int:
        """Have ``fn`` not called; returns how often it would have been."""
        kept = [each for each in self.callbacks() if each[0] != fn]
        removed = len(self.callbacks()) - len(kept)
        self._callback, self._context = kept[0] if kept else (None, None)
        self._others = kept[1:] or None
        return removed

    def callbacks(self) -> list[tuple[Callback, contextvars.Context]]:
        """Return who is to be called, in the order they came."""
        if self._callback is None or self._context is None:
            return []
        return [(self._callback, self._context), *(self._others or [])]

    def call(self) -> None:
        """Call whoever awaits it."""
        callback, context = self._callback, self._context
        if callback is None or context is None:
            return
        others = self._others
        self._callback = self._context = self._others = None
        for fn, within in others or ():
            self._loop.call_soon(fn, self, context=within)
        try:
            context.run(callback, self)
        finally:
            del self, callback  # an error has a traceback, which has this frame


class Origin:
    """Where requests set out: an event loop, in the process it was made in.

    Attributes:
        loop: The event loop.
    """

    __slots__ = ("_forks", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._forks = inherited_aio.forks
        self.loop = loop

    def inherited(self) -> bool:
        """Tell whether this is a child that was forked from the loop's process."""
        return self._forks != inherited_aio.forks

    def now(self) -> float:
        """Return the time, as deadlines count it."""
        return time.monotonic()

    def begin(self, request: Request, now: float, deadline: float) -> Pending:
        """Make a request one that is under way."""
        return Pending(self.loop, request, now, deadline)


def _loop_of(pending: Pending) -> asyncio.AbstractEventLoop:
    """Return the loop it belongs to; the attribute is named as asyncio asks for it."""
    return pending._loop  # noqa: SLF001


def _wake_soon(pending: Pending) -> None:
    _loop_of(pending).call_soon(wake, [pending])


def wake(settled: list[Pending]) -> None:
    """Call whoever awaits these; as the event loop does, whatever one of them raises."""
    settled.reverse()
    try:
        while settled:
            _call(settled.pop())
    finally:
        if settled:  # the loop is to stop; when it goes on, the others are called
            settled.reverse()
            _loop_of(settled[0]).call_soon(wake, settled)


def _call(pending: Pending) -> None:
    try:
        pending.call()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - passed on to who is there for it
        _loop_of(pending).call_exception_handler(
            {"message": f"a callback of {pending!r} failed", "exception": error}
        )
    finally:
        del pending
