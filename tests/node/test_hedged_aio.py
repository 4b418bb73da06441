"""Reads that are sent twice because their reply is late, and the delay until then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from time import monotonic

import pytest

from cenote import AsyncClient, Client
from cenote.errors import ConfigurationError, ConnectionLost
from cenote.node.hedged_aio import first_good
from cenote.node.hedging import Delay, check_hedge
from cenote.testing.endpoint import ConfigurationEndpoint
from cenote.testing.faults import Chunk, Fault, Send, Step, Wait
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy

LATE = 3.0


class SlowOnce(Fault):
    """Hold back the first chunk that comes, whatever its connection; pass on the others."""

    def __init__(self) -> None:
        self.held = False

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        """Say that only the first one waits."""
        if not self.held:
            self.held = True
            yield Wait(LATE)
        yield Send(chunk.data)


async def test_the_answer_of_another_connection_counts_where_one_is_stuck() -> None:
    with MemcachedServer() as server, FaultProxy(server.endpoint) as proxy:
        assert isinstance(proxy.address, tuple)
        url = f"{proxy.address[0]}:{proxy.address[1]}"
        async with AsyncClient(url, hedge_after=0.05, timeout=30.0) as client:
            for number in range(10):
                await client.set(f"key:{number}", number)
            proxy.replies = SlowOnce()
            began = monotonic()
            assert await client.get("key:1") == 1
            assert monotonic() - began < LATE
            assert client.client_stats().hedged == 1
            assert [await client.get(f"key:{number}") for number in range(10)] == list(range(10))
            assert await client.get_many(["key:1", "key:2"]) == {"key:1": 1, "key:2": 2}
            assert client.pools()[url].closed["error"] == 0, "the loser has cost a connection"


async def test_servers_that_are_found_are_asked_twice_too() -> None:
    with (
        MemcachedServer() as server,
        FaultProxy(server.endpoint) as proxy,
        ConfigurationEndpoint([("127.0.0.1", *_address(proxy))]) as endpoint,
    ):
        async with AsyncClient(
            endpoint.url, discovery="elasticache", hedge_after=0.05, timeout=30.0
        ) as client:
            await client.set("key", "value")
            proxy.replies = SlowOnce()
            assert await client.get("key") == "value"
            assert client.client_stats().hedged == 1


def _address(proxy: FaultProxy) -> tuple[str, int]:
    assert isinstance(proxy.address, tuple)
    return proxy.address[0], proxy.address[1]


async def test_a_write_is_never_sent_twice() -> None:
    with MemcachedServer() as server, FaultProxy(server.endpoint) as proxy:
        assert isinstance(proxy.address, tuple)
        url = f"{proxy.address[0]}:{proxy.address[1]}"
        async with AsyncClient(url, hedge_after=0.01, timeout=30.0) as client:
            await client.set("counter", 1)
            proxy.replies = SlowOnce()
            assert await client.incr("counter") == 2
            assert client.client_stats().hedged == 0
            assert await client.get("counter") == 2


async def settled(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


async def test_the_first_try_wins_without_a_second() -> None:
    def never() -> None:
        pytest.fail("it was in time")

    assert await first_good(settled(None), 30.0, never) == (None, False)


async def test_the_first_good_answer_wins_and_a_failure_waits_for_the_other() -> None:
    loop = asyncio.get_running_loop()
    first, second, begun = loop.create_future(), loop.create_future(), asyncio.Event()

    def begin() -> asyncio.Future[object]:
        begun.set()
        return second

    waiting = asyncio.ensure_future(first_good(first, 0.0, begin))
    await begun.wait()
    first.set_exception(ConnectionLost("gone"))
    await asyncio.sleep(0)
    assert not waiting.done()
    second.set_result("found")
    assert await waiting == ("found", True)


async def test_where_both_fail_the_first_error_is_told() -> None:
    first = asyncio.get_running_loop().create_future()

    def begin() -> asyncio.Future[object]:
        first.set_exception(ConnectionLost("the first"))
        return asyncio.ensure_future(settled(ConnectionLost("the second")))

    with pytest.raises(ConnectionLost, match="the first"):
        await first_good(first, 0.0, begin)


async def test_without_a_token_the_first_try_is_waited_for() -> None:
    first = asyncio.get_running_loop().create_future()

    def refuse() -> None:
        first.set_result("late")

    assert await first_good(first, 0.0, refuse) == ("late", False)


async def test_a_cancel_drops_both_tries() -> None:
    loop = asyncio.get_running_loop()
    first, second, begun = loop.create_future(), loop.create_future(), asyncio.Event()

    def begin() -> asyncio.Future[object]:
        begun.set()
        return second

    waiting = asyncio.ensure_future(first_good(first, 0.0, begin))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert first.cancelled()
    assert second.cancelled()


def test_the_delay_settles_where_one_in_twenty_takes_longer() -> None:
    delay, rng = Delay("p95"), Random(1)
    for _ in range(20_000):
        delay.took(rng.uniform(0.0, 1.0))
    assert 0.85 < delay.seconds < 1.0
    for _ in range(20_000):
        delay.took(rng.uniform(0.0, 0.01))
    assert 0.0085 < delay.seconds < 0.01
    fixed = Delay(0.5)
    fixed.took(9.0)
    assert fixed.seconds == 0.5


@pytest.mark.parametrize("after", [0, -1, "p99", True, float("inf"), "0.1"])
def test_what_is_no_delay_is_refused(after: object) -> None:
    with pytest.raises(ConfigurationError, match="hedge_after"):
        check_hedge(after)


async def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs two connections"):
        AsyncClient("a", hedge_after=0.1, max_size=1)
    with pytest.raises(ConfigurationError, match="needs two connections"):
        AsyncClient("memcached://a?max_size=1&discovery=dns", hedge_after=0.1)
    with pytest.raises(ConfigurationError, match=r"option of AsyncClient: .* Leave it out"):
        Client("memcached://a?hedge_after=0.1")
    for text in ("p95", "0.1", "none"):
        await AsyncClient(f"memcached://a?hedge_after={text}").close()
    with pytest.raises(ConfigurationError, match="is not a number"):
        AsyncClient("memcached://a?hedge_after=soon")
