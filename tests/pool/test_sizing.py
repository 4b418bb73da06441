"""What queueing theory says of pools, held against known figures and against a simulated queue."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given

import cenote
from cenote import AsyncKeyedPool, AsyncPool, ConfigurationError, KeyedPool, Pool
from cenote.pool.sizing import size, sizings
from tests.pool.conftest import Run
from tests.pool.doubles import GatedConnector
from tests.pool.virtual_time import ManualClock, virtual_clock


@pytest.mark.parametrize(
    ("servers", "load"), [(1, 0.3), (2, 1.0), (3, 2.0), (10, 8.0), (55, 50.0), (200, 190.0)]
)
def test_erlang_c_agrees_with_its_definition_in_exact_arithmetic(servers: int, load: float) -> None:
    exact = Fraction(load)
    last = exact**servers / math.factorial(servers) * servers / (servers - exact)
    others = sum(exact**k / math.factorial(k) for k in range(servers))
    found = {one.size: one for one in islice(sizings(load, 1.0, share=0.5, variation=1.0), 20)}
    assert found[servers].waiting == pytest.approx(float(last / (others + last)), rel=1e-9)


def test_no_pool_is_weighed_that_can_not_bear_the_load() -> None:
    assert next(sizings(4.0, 1.0, share=0.5, variation=1.0)).size == 5


@pytest.mark.parametrize("load", [1e-9, 170.0, 5000.0, 1e5])
def test_the_recursion_stays_finite_whatever_the_load(load: float) -> None:
    advice = size(load * 100, 0.01)
    assert load < advice.size < load + 10 + 10 * math.sqrt(load)
    assert 0 <= advice.expected.waiting <= 1


@given(
    rate=st.floats(0.01, 1e4), duration=st.floats(1e-4, 0.1), target=st.floats(0.0, 1.0),
    share=st.floats(0.5, 0.999), variation=st.floats(0.0, 3.0),
)  # fmt: skip
def test_the_size_is_the_least_that_keeps_the_target(
    rate: float, duration: float, target: float, share: float, variation: float
) -> None:
    advice = size(rate, duration, target_wait=target, share=share, variation=variation)
    assert advice.size > rate * duration
    assert advice.expected.wait <= target
    for smaller in sizings(rate, duration, share=share, variation=variation):
        if smaller.size >= advice.size:
            break
        assert smaller.wait > target


@pytest.mark.stress
@pytest.mark.parametrize(("rate", "duration"), [(100.0, 0.1), (20.0, 0.1), (400.0, 0.05)])
def test_a_simulated_queue_of_the_advised_size_keeps_the_target(
    rate: float, duration: float
) -> None:
    advice = size(rate, duration, target_wait=0.005)
    waits = queue(advice.size, rate, duration, callers=100_000)
    assert quantile(waits, 0.99) <= 0.005 * 1.3
    assert sum(wait > 0 for wait in waits) / len(waits) == pytest.approx(
        advice.expected.waiting, abs=0.005
    )
    assert quantile(queue(advice.size - 2, rate, duration, callers=100_000), 0.99) > 0.005


def queue(servers: int, rate: float, duration: float, *, callers: int) -> list[float]:
    """Simulate callers that come and hold by chance; return their waits."""
    rng, now, waits = Random(1), 0.0, []
    free = [0.0] * servers
    for _ in range(callers):
        now += rng.expovariate(rate)
        start = max(now, free[0])
        heapq.heapreplace(free, start + rng.expovariate(1 / duration))
        waits.append(start - now)
    return waits


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


def test_the_function_is_public_and_its_answer_readable() -> None:
    advice = cenote.size(100, 0.1, target_wait=0.005)
    assert advice.rule_of_thumb == 15
    expected = advice.expected
    first, erlang, thumb = str(advice).splitlines()
    assert first == (
        "100 callers a second hold a connection for 100 ms (variation 1): 10 in use on average"
    )
    assert erlang == (
        f"Erlang C          {advice.size}  99 % wait at most {expected.wait * 1e3:.3g} ms "
        f"(target 5 ms), {expected.utilisation * 100:.0f} % in use"
    )
    assert thumb == "rule of thumb     15  10 x 1.5"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"rate": 0}, "rate=0"),
        ({"duration": -1}, "duration=-1"),
        ({"rate": math.nan}, "rate=nan"),
        ({"duration": math.inf}, "duration=inf"),
        ({"target_wait": -0.1}, "target_wait=-0.1"),
        ({"share": 1.0}, "share=1.0"),
        ({"variation": math.inf}, "variation=inf"),
        ({"rate": 1e9}, "seconds, not milliseconds"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        size(**({"rate": 10.0, "duration": 0.1} | wrong))


class Conn:
    """Something that is dear to open."""

    def close(self) -> None:
        """Do nothing."""


def test_a_pool_advises_by_what_it_measured() -> None:
    clock = ManualClock()
    with Pool(Conn, clock=clock, max_size=4) as pool:
        assert pool.advise() is None
        for held in [0.1, 0.3] * 50:
            with pool.connection():
                clock.advance(held)
            clock.advance(0.05)
        advice = pool.advise()
        assert advice is not None
        assert advice.rate == pytest.approx(100 / (100 * 0.25))
        assert advice.duration == pytest.approx(0.2)
        assert advice.variation == pytest.approx(0.5)
        assert advice.measured == pytest.approx(25.0)
        assert advice.current == 4
        assert "max_size is 4: " in str(advice)
        before = pool.stats()
        for _ in range(10):
            with pool.connection():
                clock.advance(1.0)
        lately = pool.advise(since=before)
        assert lately is not None
        assert lately.rate == pytest.approx(1.0)
        assert lately.duration == pytest.approx(1.0)


def test_an_asyncio_pool_advises_alike_and_counts_those_who_got_nothing(virtually: Run) -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        async with AsyncPool(GatedConnector(clean=True), max_size=1, clock=clock) as pool:
            async with pool.connection():
                for _ in range(3):
                    with pytest.raises(cenote.PoolTimeout):
                        await pool.acquire(timeout=1.0)
            advice = pool.advise()
            assert advice is not None
            assert advice.rate == pytest.approx(4 / 3.0)
            assert advice.size > 1
            assert "raise it to" in str(advice)

    virtually(scenario)


def anywhere(key: str) -> Callable[[], Conn]:
    """Connect to any key."""
    return Conn


def controlled(key: str) -> GatedConnector:
    """Connect to any key, in asyncio."""
    return GatedConnector(clean=True)


def test_a_keyed_pool_advises_for_all_keys_together_and_for_each() -> None:
    clock = ManualClock()
    with KeyedPool(anywhere, clock=clock, max_total=9, max_per_key=4, target_wait=0.0) as pool:
        assert pool.advise() is None
        assert pool.advise_by_key() == {}
        for _ in range(20):
            with pool.connection("a"):
                clock.advance(0.1)
            with pool.connection("b"), pool.connection("b"):
                clock.advance(0.4)
        whole = pool.advise()
        assert whole is not None
        assert whole.target_wait == 0.0
        assert whole.load == pytest.approx(0.1 / 0.5 + 2 * 0.4 / 0.5)
        assert whole.current == 9
        assert "max_total is 9: " in str(whole)
        each = pool.advise_by_key()
        assert each["a"].load == pytest.approx(0.1 / 0.5)
        assert each["b"].load == pytest.approx(2 * 0.4 / 0.5, rel=0.2)  # it came a little later
        assert each["b"].size > each["a"].size
        assert "max_per_key is 4: " in str(each["a"])
        assert str(pool.front("a").advise()) == str(each["a"])


def test_a_keyed_pool_advises_by_what_was_measured_lately() -> None:
    clock = ManualClock()
    with KeyedPool(anywhere, clock=clock, max_per_key=None) as pool:
        for _ in range(10):
            with pool.connection("a"):
                clock.advance(1.0)
        before, before_each = pool.stats(), pool.stats_by_key()
        for _ in range(10):
            with pool.connection("a"):
                clock.advance(0.1)
            with pool.connection("b"):
                clock.advance(0.1)
        whole = pool.advise(since=before)
        assert whole is not None
        assert whole.duration == pytest.approx(0.1)
        assert whole.rate == pytest.approx(10.0)
        each = pool.advise_by_key(since=before_each)
        assert each["a"].duration == each["b"].duration == pytest.approx(0.1)
        assert each["a"].current is None, "a key has no limit of its own"


def test_a_key_that_was_forgotten_is_measured_anew() -> None:
    clock = ManualClock()
    with KeyedPool(anywhere, clock=clock, max_idle=None, max_lifetime=None) as pool:
        front = pool.front("a")  # kept in hand: its pool is the same when the key is known again
        with pool.connection("a"):
            clock.advance(5.0)
        before = pool.stats_by_key()
        pool.detach(pool.acquire("a"))
        pool.stats()
        assert pool.front("b") is not front
        assert pool.keys() == []
        clock.advance(100.0)
        for _ in range(4):
            with pool.connection("a"):
                clock.advance(1.0)
        assert pool.front("a") is front
        for since in (None, before):
            (advice,) = pool.advise_by_key(since=since).values()
            assert advice.duration == pytest.approx(1.0)
            assert advice.measured is not None
            assert advice.measured <= 104.0
        whole = pool.advise()
        assert whole is not None
        assert whole.duration == pytest.approx((5.0 + 4.0) / 6)
        assert whole.measured == pytest.approx(109.0)


def test_an_asyncio_keyed_pool_advises_alike(virtually: Run) -> None:
    async def scenario() -> None:
        clock = virtual_clock()
        async with AsyncKeyedPool(controlled, clock=clock, max_total=1, target_wait=0.5) as pool:
            async with pool.connection("a"):
                with pytest.raises(cenote.PoolTimeout):
                    await pool.acquire("b", timeout=1.0)
            whole = pool.advise()
            assert whole is not None
            assert whole.target_wait == 0.5
            assert whole.rate == pytest.approx(2 / 1.0)
            assert "max_total is 1: raise it to" in str(whole)
            assert list(pool.advise_by_key()) == ["a"]

    virtually(scenario)


def test_a_large_rate_is_written_in_full() -> None:
    assert str(size(22873.4, 0.0003)).startswith("22,873 callers a second")
    assert str(size(0.25, 0.1)).startswith("0.25 callers a second")
    assert "hold a connection for 1 s" in str(size(1, 0.9996))
