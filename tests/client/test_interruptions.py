"""Whatever interrupts a call, nobody is given somebody else's reply, and the client goes on.

The bugs of other clients: after a cancelled ``incr(a)``, ``incr(b)`` returned a's answer; after
Ctrl-C in a read, ``get('b')`` returned the value of a; forked children read each other's values.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from cenote.client.aio import AsyncClient
from cenote.client.sync import Client
from cenote.errors import CenoteError, InvalidArgument, OperationTimeout
from cenote.testing.faults import Stall
from cenote.testing.proxy import FaultProxy
from tests.patience import PATIENCE


class Interrupted(BaseException):
    """What a signal handler or a debugger raises in the middle of a call."""


@pytest.fixture
def proxy(server) -> Iterator[FaultProxy]:
    with FaultProxy(server.endpoint) as proxy:
        yield proxy


def url_of(proxy: FaultProxy) -> str:
    assert isinstance(proxy.address, tuple)
    return f"{proxy.address[0]}:{proxy.address[1]}"


async def cancelled_once_sent(call, proxy: FaultProxy) -> None:
    """Cancel a call when its request has left; its reply is held back."""
    sent = proxy.requested
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    await asyncio.to_thread(proxy.wait_for, lambda proxy: proxy.requested > sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_a_cancel_nobody_is_given_the_reply(proxy, protocol):
    async with AsyncClient(url_of(proxy), protocol=protocol, **PATIENCE) as client:
        await client.set_many({"a": 100, "b": 5, "c": "value of c"})
        proxy.replies = Stall()
        await cancelled_once_sent(client.incr("a"), proxy)
        await cancelled_once_sent(client.get("c"), proxy)
        await cancelled_once_sent(client.get_many(["a", "c"]), proxy)
        proxy.heal()
        assert await client.incr("b") == 6
        assert await client.get("a") == 101
        assert await client.get("c") == "value of c"
        assert await client.get("missing") is None


async def test_a_cancelled_computation_gives_its_lease_back(server, protocol):
    async with AsyncClient(server.url, protocol=protocol, **PATIENCE) as client:
        await client.flush_all()
        computing = asyncio.Event()

        async def compute() -> str:
            computing.set()
            await asyncio.Event().wait()
            return "never"

        task = asyncio.ensure_future(client.get_or_compute("k", compute, 60, lease_ttl=60))
        await computing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.get_or_compute("k", lambda: "value", 60, wait=1) == "value"


async def test_a_computation_whose_coroutine_is_closed_ends_at_once(server, protocol):
    """As when a loop is gone: nothing can be awaited any more, and nothing is tried."""
    async with AsyncClient(server.url, protocol=protocol, **PATIENCE) as client:
        await client.flush_all()
        computing = asyncio.Event()

        async def compute() -> None:
            computing.set()
            await asyncio.Event().wait()

        call = client.get_or_compute("k", compute, 60, lease_ttl=1)
        task = asyncio.ensure_future(call)
        await computing.wait()
        call.close()
        task.cancel()
        with pytest.raises(RuntimeError, match="already awaited"):
            await task


def test_a_coroutine_function_is_refused_by_the_blocking_client(server, protocol):
    async def compute() -> int:
        return 1

    with Client(server.url, protocol=protocol, **PATIENCE) as client:
        client.flush_all()
        with pytest.raises(InvalidArgument, match="use AsyncClient"):
            _ = client.get_or_compute("k", compute, 60, lease_ttl=30)
        assert client.get_or_compute("k", lambda: 1, 60, wait=0.1) == 1
        with pytest.raises(InvalidArgument, match="use AsyncClient"):
            _ = client.cached(60, key="k")(compute)


@pytest.fixture
def alarm(proxy) -> Iterator[None]:
    """Raise `Interrupted` in the main thread, by a real signal, once a reply is held back."""

    def interrupt(signum, frame):
        raise Interrupted

    previous = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, previous)


def interrupted_once_sent(call, proxy: FaultProxy) -> None:
    replied, calling = proxy.replied, threading.Event()

    def send_signal() -> None:
        calling.wait()
        proxy.wait_for(lambda proxy: proxy.replied > replied)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    thread = threading.Thread(target=send_signal)
    thread.start()
    with pytest.raises(Interrupted):
        calling.set()
        call()
    thread.join()


def test_after_a_signals_exception_nobody_is_given_the_reply(proxy, protocol, alarm):
    with Client(url_of(proxy), protocol=protocol, timeout=5) as client:
        client.set_many({"a": "value of a", "b": "value of b", "n": 1, "m": 10})
        proxy.replies = Stall()
        interrupted_once_sent(lambda: client.get("a"), proxy)
        interrupted_once_sent(lambda: client.incr("n"), proxy)
        interrupted_once_sent(lambda: client.get_many(["a", "n"]), proxy)
        proxy.heal()
        assert client.get("b") == "value of b"
        assert client.incr("m") == 11
        assert client.get("missing") is None
        (pool,) = client.pools().values()
        assert pool.used == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_shot_at_any_moment_harms_nobody(server, protocol):
    """PyThreadState_SetAsyncExc strikes between any two bytecodes; here, in 40 threads in turn."""
    wrong: list[object] = []

    def work(client: Client, working: threading.Event) -> None:
        for number in itertools.count():
            key = f"k{number % 7}"
            found = client.get(key)
            if found != f"value of {key}":
                wrong.append((key, found))
            working.set()

    with Client(server.url, protocol=protocol, max_size=2, timeout=5) as client:
        client.set_many({f"k{n}": f"value of k{n}" for n in range(7)})
        for _ in range(40):
            working = threading.Event()
            thread = threading.Thread(target=work, args=(client, working))
            thread.start()
            working.wait()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted)
            )
            thread.join()
            assert [client.get(f"k{n}") for n in range(7)] == [f"value of k{n}" for n in range(7)]
        assert wrong == []


def test_a_forked_child_and_its_parent_do_not_meet(server, protocol):
    with Client(server.url, protocol=protocol, timeout=5) as client:
        client.set_many({"parent": "of parent", "child": "of child"})
        child = os.fork()
        if child == 0:
            healthy = False
            try:
                healthy = all(client.get("child") == "of child" for _ in range(200))
            finally:
                os._exit(0 if healthy else 1)
        assert all(client.get("parent") == "of parent" for _ in range(200))
        assert os.waitpid(child, 0)[1] == 0
        assert client.get("child") == "of child"


def test_a_timeout_is_no_miss(proxy, protocol):
    """pylibmc returns None for both."""
    with Client(url_of(proxy), protocol=protocol, timeout=1.0) as client:
        client.set("a", 1)
        proxy.replies = Stall()
        with pytest.raises(OperationTimeout) as caught:
            client.get("a")
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, CenoteError)
