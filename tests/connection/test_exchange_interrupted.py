"""Whatever interrupts an exchange, nobody is ever given the reply to somebody else's request."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from types import FrameType
from typing import Any

import pytest

from cenote.connection import _exchange_native, _exchange_turn
from cenote.errors import CenoteError, ConnectionLost, LeaseError, OperationTimeout
from cenote.protocol import Reply, get, meta_set, quiet
from tests.connection.conftest import ChannelType
from tests.connection.peers import KEY_A, KEY_B, A, B, Pair, Peer, soon

MAIN = threading.get_ident()


class Interrupted(BaseException):
    """What a handler or another thread raises into an exchange."""


# A second caller.


def test_a_second_thread_is_refused_and_the_first_gets_its_reply(pair: Pair) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: pair.channel.exchange(get(b"b"), soon()),
        lambda: pair.channel.post(quiet(meta_set(b"k", b"v", b""))),
        lambda: pair.channel.converse((get(b"b"),), soon()),
    ]

    def intrude() -> None:
        pair.hear(7)
        for use in refusals:
            with pytest.raises(LeaseError, match="one caller at a time"):
                use()
        assert not pair.channel.is_alive()
        pair.say(KEY_A)

    with Peer(intrude):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_a_connection_aborted_under_an_exchange_ends_it(pair: Pair) -> None:
    """The descriptor is closed by the thread inside: its number can not be another socket's."""
    seen = []

    def abort() -> None:
        pair.hear(7)
        pair.channel.abort()
        seen.append(pair.peer.recv(1))

    with Peer(abort), pytest.raises(ConnectionLost, match="the peer closed it"):
        pair.channel.exchange(get(b"a"), soon())
    assert seen == [b""]
    assert pair.channel.fileno() == -1
    assert pair.channel.closed


# Signals.


@contextmanager
def handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def signal_until(over: threading.Event) -> None:
    """Signal the main thread until it reacts: a signal may come just before it begins to wait."""
    while not over.wait(0.005):
        signal.pthread_kill(MAIN, signal.SIGUSR1)


def raise_interrupted(over: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handler(_: int, __: FrameType | None) -> None:
        if not over.is_set():
            over.set()
            raise Interrupted

    return handler


@pytest.mark.parametrize("replied", [b"", b"VALUE a 0 1", b"VALUE a 0 100000\r\nx"])
def test_an_exception_from_a_signal_handler_leaves_at_once_and_dirty(
    pair: Pair, replied: bytes
) -> None:
    """Ctrl-C in a read, and then the next user is answered "value-of-a" (python-memcached)."""
    over = threading.Event()

    def interrupt() -> None:
        pair.hear(7)
        pair.say(replied)
        signal_until(over)

    with handling(raise_interrupted(over)), Peer(interrupt), pytest.raises(Interrupted):
        pair.channel.exchange(get(b"a"), soon())
    assert not pair.channel.clean
    pair.say(KEY_A)
    with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
        pair.channel.exchange(get(b"b"), soon())


def test_a_keyboard_interrupt_while_sending_leaves_at_once_and_dirty(pair: Pair) -> None:
    over = threading.Event()
    request = get(b"a")
    large = meta_set(b"k", bytes(8 << 20), b"")
    with (
        handling(raise_interrupted(over)),
        Peer(lambda: pair.hear(1000), lambda: signal_until(over)),
        pytest.raises(Interrupted),
    ):
        pair.channel.exchange(large, soon())
    assert not pair.channel.clean
    with pytest.raises(ConnectionLost):
        pair.channel.exchange(request, soon())


def test_a_handler_that_returns_does_not_disturb_the_exchange(pair: Pair) -> None:
    handled = threading.Event()

    def answer() -> None:
        pair.hear(7)
        signal_until(handled)
        pair.say(KEY_A)

    with handling(lambda *_: handled.set()), Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_a_handler_that_uses_the_interrupted_connection_is_refused(pair: Pair) -> None:
    """It would be answered with the reply to what it interrupted."""
    refused = threading.Event()

    def use(_: int, __: FrameType | None) -> None:
        try:
            pair.channel.exchange(get(b"b"), soon())
        except LeaseError:
            refused.set()

    def answer() -> None:
        pair.hear(7)
        signal_until(refused)
        pair.say(KEY_A)

    with handling(use), Peer(answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_a_handler_may_abort_the_interrupted_connection(pair: Pair) -> None:
    aborted = threading.Event()

    def abort(_: int, __: FrameType | None) -> None:
        pair.channel.abort()
        aborted.set()

    with (
        handling(abort),
        Peer(lambda: pair.hear(7), lambda: signal_until(aborted)),
        pytest.raises(ConnectionLost),
    ):
        pair.channel.exchange(get(b"a"), soon())
    assert pair.channel.fileno() == -1


def test_a_hail_of_signals_does_not_extend_the_deadline(pair: Pair) -> None:
    """A profiler's timer interrupts every wait; the pure twin can not see it (its file says so)."""
    if pair.channel.__class__ is _exchange_native.Channel:
        pytest.skip("Python's own recv waits anew after every signal")
    over = threading.Event()
    with handling(lambda *_: None), Peer(lambda: pair.hear(7), lambda: signal_until(over)):
        try:
            deadline = soon(0.15)
            with pytest.raises(OperationTimeout):
                pair.channel.exchange(get(b"a"), deadline)
            assert soon(0) - deadline < 2.5  # what a loaded machine may add; else there is no end
        finally:
            over.set()


# Exceptions raised into a thread.


@pytest.mark.stress
def test_an_exception_set_by_another_thread_never_shifts_a_reply(pair: Pair) -> None:
    """It is raised when the interpreter next looks: the exchange is whole, or it is dirty.

    Python 3.11 has the other threads stand still until then, if they are traced.
    """
    outcome: list[object] = []

    def victim() -> None:
        try:
            outcome.append(pair.channel.exchange(get(b"a"), soon()))
            outcome.append("returned")
        except Interrupted:
            outcome.append(Interrupted)

    thread = threading.Thread(target=victim)
    thread.start()
    pair.hear(7)
    ident = ctypes.c_ulong(thread.ident or 0)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Interrupted)) == 1
    pair.say(KEY_A)
    thread.join()
    assert outcome[-1] is Interrupted
    if pair.channel.clean:
        assert pair.ask(get(b"b"), KEY_B) == B
    else:
        with pytest.raises(ConnectionLost):
            pair.ask(get(b"b"), KEY_B)


class Bytecodes:
    """Raises ``Interrupted`` at the k-th bytecode of the exchange's own code."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: object) -> Bytecodes | None:
        if frame.f_code.co_filename not in {_exchange_native.__file__, _exchange_turn.__file__}:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.left -= 1
            if not self.left:
                raise Interrupted
        return self


@contextmanager
def raising_at(bytecode: int) -> Iterator[Bytecodes]:
    tracer, previous = Bytecodes(bytecode), sys.gettrace()
    sys.settrace(tracer)
    try:
        yield tracer
    finally:
        sys.settrace(previous)


def _posted_then(use: Callable[[Pair], Reply]) -> Callable[[Pair], Reply]:
    def run(pair: Pair) -> Reply:
        pair.channel.post(quiet(meta_set(b"k", b"v", b"")))
        return use(pair)

    return run


@pytest.mark.parametrize(
    ("use", "replies"),
    [
        (lambda pair: pair.channel.exchange(get(b"a"), soon()), KEY_A),
        (lambda pair: pair.channel.converse((get(b"a"),), soon()), KEY_A),
        (_posted_then(lambda pair: pair.channel.exchange(get(b"a"), soon())), b"MN\r\n" + KEY_A),
        (_posted_then(lambda pair: pair.channel.is_alive()), b"MN\r\n"),
    ],
    ids=["exchange", "converse", "post, exchange", "post, is_alive"],
)
def test_interrupted_at_any_bytecode_the_next_exchange_gets_its_own_reply(
    use: Callable[[Pair], Reply], replies: bytes
) -> None:
    """At every single one, in turn; what was interrupted closes without a trace."""

    def attack(bytecode: int) -> bool:
        with Pair(_exchange_native.Channel) as pair:
            pair.say(replies)
            with suppress(Interrupted), raising_at(bytecode) as tracer:
                use(pair)
            assert tracer.left > 0 or _pairs_or_refuses(pair)
            return tracer.left <= 0

    # From 3.12 on a run may miss bytecodes, and the next one sees them: so try twice.
    reached = next(at for at in count(1) if not attack(at) and not attack(at))
    assert reached > 100


def _pairs_or_refuses(pair: Pair) -> bool:
    """Whether the next caller gets the reply to its own request, or nothing at all."""
    if not pair.channel.clean:
        with pytest.raises((ConnectionLost, LeaseError)):
            pair.channel.exchange(get(b"b"), soon())
        return True
    try:
        return pair.ask(get(b"b"), KEY_B) == B
    except CenoteError:
        return not pair.channel.clean


# fork.


def _in_child(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child, and fail as it does."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_can_not_use_what_it_inherited(pair: Pair) -> None:
    def child() -> None:
        assert not pair.channel.clean
        assert not pair.channel.is_alive()
        with pytest.raises(ConnectionLost, match="fork"):
            pair.channel.exchange(get(b"a"), soon())

    _in_child(child)
    assert pair.ask(get(b"b"), KEY_B) == B
    assert pair.hear(7) == b"get b\r\n"


def test_a_forked_child_closes_without_disturbing_the_parent(pair: Pair) -> None:
    def child() -> None:
        pair.channel.close()
        assert pair.channel.fileno() == -1

    _in_child(child)
    assert pair.ask(get(b"b"), KEY_B) == B
    assert pair.channel.clean


def test_a_child_forked_during_an_exchange_closes_its_copy(pair: Pair) -> None:
    """Whoever was inside stayed behind in the parent; the child's copy is closed all the same."""

    def fork_then_answer() -> None:
        pair.hear(7)
        _in_child(_abort_inherited)
        pair.say(KEY_A)

    def _abort_inherited() -> None:
        pair.channel.abort()
        assert pair.channel.fileno() == -1

    with Peer(fork_then_answer):
        assert pair.channel.exchange(get(b"a"), soon()) == A
    assert pair.channel.clean


def test_a_channel_that_was_aborted_from_inside_closes_at_the_latest_when_it_dies(
    channel_type: ChannelType,
) -> None:
    near, far = socket.socketpair()
    with far:
        channel = channel_type(near, 5.0, "the peer")
        channel.abort()
        del channel
        assert far.recv(1) == b""
    assert near.fileno() == -1
