"""Options are checked once, with the legal range in the message."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cenote.errors import ConfigurationError, PoolTimeout
from cenote.pool import (
    AsyncKeyedPool,
    AsyncPool,
    KeyedPool,
    Pool,
    PoolOptions,
    PoolStats,
    ThreadMappedPool,
)
from cenote.pool.connector import async_hooks, hooks, judge
from cenote.pool.core import PoolCore
from cenote.pool.stats import Histogram
from tests.pool.links import CheckedLinks, HandDriven, Link, Links


@pytest.mark.parametrize(
    ("options", "legal"),
    [
        ({"max_size": 0}, "an integer >= 1"),
        ({"max_size": 2.5}, "an integer >= 1"),
        ({"max_size": True}, "an integer >= 1"),
        ({"min_size": -1}, "an integer >= 0"),
        ({"min_size": 11}, "0 .. max_size (10)"),
        ({"max_waiting": -1}, "an integer >= 0"),
        ({"max_connecting": 0}, "an integer >= 1"),
        ({"down_after": 0}, "an integer >= 1"),
        ({"max_uses": 0}, "an integer >= 1"),
        ({"timeout": -0.1}, "seconds >= 0"),
        ({"timeout": "5"}, "seconds >= 0"),
        ({"timeout": math.nan}, "seconds >= 0"),
        ({"fair_after": -1}, "seconds >= 0"),
        ({"check_after": -1}, "seconds >= 0"),
        ({"connect_timeout": 0}, "seconds > 0"),
        ({"backoff_base": 0}, "seconds > 0"),
        ({"backoff_cap": 0.01}, ">= backoff_base (0.05)"),
        ({"max_idle": 0}, "seconds > 0"),
        ({"max_lifetime": -5}, "seconds > 0"),
        ({"lifetime_jitter": 1.0}, "0 <= x < 1"),
        ({"histograms": 3}, "True or False"),
        ({"keepalive": 0}, "seconds > 0"),
        ({"leak_after": 0}, "seconds > 0"),
        ({"fairness": "fair"}, "'eventual', 'strict', 'barging'"),
        ({"order": "random"}, "'lifo', 'fifo'"),
        ({"on_down": "panic"}, "'wait', 'fail'"),
    ],
)
def test_an_option_out_of_range_is_refused_with_the_legal_ones(
    options: dict[str, Any], legal: str
) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError) as caught:
        PoolOptions(**options)
    assert legal in str(caught.value)
    assert str(caught.value).startswith(f"{name}=")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("given", "need"),
    [
        ({"burst_after": 5.0}, "burst above 0"),
        ({"burst_after": 0.0, "burst": 0}, "burst above 0"),
        ({"fair_after": 0.001, "fairness": "strict"}, 'fairness="eventual"'),
        ({"fair_after": 0.5, "fairness": "barging"}, 'fairness="eventual"'),
        ({"lifetime_jitter": 0.25, "max_lifetime": None}, "a max_lifetime"),
        ({"lifetime_jitter": 0.0, "max_lifetime": None}, "a max_lifetime"),
    ],
    ids=str,
)
def test_an_option_that_would_have_no_effect_is_refused(given: dict[str, Any], need: str) -> None:
    name = next(iter(given))
    with pytest.raises(ConfigurationError, match=f"^{name}=.* has no effect without {need}"):
        PoolOptions(**given)
    partners = {other: value for other, value in given.items() if other != name}
    options = PoolOptions(**partners)  # it says nothing of itself
    assert getattr(replace(options, timeout=1.0), name) == getattr(PoolOptions(), name)


@pytest.mark.parametrize(
    "given",
    [
        {"burst_after": 0.0, "burst": 1},
        {"fair_after": 0.5},
        {"lifetime_jitter": 0.0},
        {"fairness": "strict"},
        {"max_lifetime": None},
    ],
    ids=str,
)
def test_options_that_go_together_are_taken(given: dict[str, Any]) -> None:
    options = PoolOptions(**given)
    assert {name: getattr(options, name) for name in given} == given


class Plain:
    """Opens and closes, and no more."""

    def connect(self, timeout: float) -> Link:
        return Link(1)

    def close(self, link: Link) -> None: ...


class AsyncPlain:
    """The same for asyncio."""

    async def connect(self, timeout: float) -> Link:
        return Link(1)

    def close(self, link: Link) -> None: ...


def plain(key: str) -> Plain:
    """Connect to any key."""
    return Plain()


def async_plain(key: str) -> AsyncPlain:
    """Connect to any key, in asyncio."""
    return AsyncPlain()


def any_pools(**options: Any) -> list[Callable[[], object]]:
    """Return makers of each kind of pool, with connectors that can do nothing more."""
    return [
        lambda: Pool(Plain(), **options),
        lambda: Pool.from_options(Plain(), PoolOptions(**options)),
        lambda: ThreadMappedPool(Plain(), **options),
        lambda: KeyedPool(plain, **options).front("a"),
        lambda: AsyncPool(AsyncPlain(), **options),
        lambda: AsyncKeyedPool(async_plain, **options).front("a"),
    ]


@pytest.mark.parametrize(
    ("option", "need"),
    [
        ("keepalive", r"keepalive=1.5 needs a connector with ping\(resource\)"),
        ("check_after", r"check_after=1.5 needs a check: a connector with is_alive\("),
    ],
)
def test_an_option_that_needs_a_callback_is_refused_where_there_is_none(
    option: str, need: str
) -> None:
    for make in any_pools(**{option: 1.5}):
        with pytest.raises(ConfigurationError, match=need):
            make()
    for make in any_pools():
        make()
    Pool(Plain(), check_after=1.5, check=lambda link: link.alive)
    Pool(CheckedLinks(), check_after=1.5)
    with pytest.raises(ConfigurationError, match="check_after"):
        Pool(CheckedLinks(), check_after=1.5, check=False)


def test_a_pool_refuses_what_its_options_refuse() -> None:
    with pytest.raises(ConfigurationError, match="max_size=0"):
        Pool(Links(), max_size=0)


@pytest.mark.parametrize("connector", [object(), 5, None])
def test_what_can_not_connect_is_refused(connector: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"connect\(timeout\) and close"):
        Pool(connector)


def test_a_connector_without_close_is_refused() -> None:
    class Half:
        def connect(self, timeout: float) -> None: ...

    with pytest.raises(ConfigurationError):
        hooks(Half())  # type: ignore[arg-type]


def test_hooks_are_the_connectors_unless_replaced_or_switched_off() -> None:
    class Full(Links):
        def is_alive(self, link: Link) -> bool:
            return True

        def reset(self, link: Link) -> None: ...

    connector = Full()
    own = hooks(connector)
    assert own.is_alive == connector.is_alive
    assert own.reset == connector.reset
    assert own.ping is None
    bare = hooks(connector, check=False, reset=False)
    assert bare.is_alive is None
    assert bare.reset is None

    def check(link: Link) -> bool:
        return False

    assert hooks(connector, check=check).is_alive is check


def test_asynchronous_connectors_are_taken_apart_likewise() -> None:
    class Connector:
        async def connect(self, timeout: float) -> str:
            return "c"

        def close(self, resource: str) -> None: ...

    connector = Connector()
    assert async_hooks(connector).connect == connector.connect


def test_what_nobody_classified_discards_and_so_does_a_classifier_that_raises() -> None:
    def broken(error: BaseException) -> Any:
        raise RuntimeError

    assert judge(None, ValueError()) == "discard"
    assert judge(broken, ValueError()) == "discard"
    assert judge(lambda _: "ok", ValueError()) == "ok"
    assert judge(lambda _: "ok", KeyboardInterrupt()) == "discard"


def test_stats_and_errors_can_be_pickled() -> None:
    pool = HandDriven(max_size=1)
    pool.lease()
    waiter = pool.ask()
    pool.timed_out(waiter)
    error = pool.core.timeout_error(waiter, pool.now)
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, PoolTimeout)
    assert str(again) == str(error)
    assert again.stats == error.stats
    assert isinstance(again.stats, PoolStats)


def test_a_histogram_tells_its_quantiles() -> None:
    histogram = Histogram()
    for value in (0.0015, 0.0015, 0.3, 1000.0):
        histogram.record(value)
    snapshot = histogram.snapshot()
    assert snapshot.count == 4
    assert snapshot.quantile(0.5) == pytest.approx(0.002)
    assert snapshot.quantile(0.75) == pytest.approx(0.5)
    assert snapshot.quantile(1.0) == math.inf
    assert Histogram().snapshot().quantile(0.99) == 0.0


def test_the_delays_of_the_back_off_are_within_its_bounds() -> None:
    pool = HandDriven(backoff_base=0.05, backoff_cap=2.0)
    backoff = pool.core.backoff
    for failures in range(5000):
        backoff.failed(OSError(), 100.0)
        delay = backoff.retry_at - 100.0
        assert 0.0 <= delay <= min(2.0, 0.05 * 2.0 ** min(failures, 64))
    backoff.succeeded()
    assert not backoff.down
    assert backoff.error is None


def test_the_cores_generic_parameter_is_its_resource() -> None:
    assert PoolCore[str]
