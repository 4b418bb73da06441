"""What statsd is told."""

from __future__ import annotations

import logging
import threading

import pytest

from cenote import ConfigurationError, Pool
from cenote.telemetry import Periodic, StatsdPusher
from tests.telemetry.conftest import Thing


class Sink:
    """A statsd client that notes what it is given."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def gauge(self, stat: str, value: float) -> None:
        self.gauges[stat] = value

    def incr(self, stat: str, count: float) -> None:
        self.counts[stat] = self.counts.get(stat, 0.0) + count


def test_gauges_are_set_and_counters_grow_by_what_has_happened(pool: Pool[Thing]) -> None:
    sink = Sink()
    pusher = StatsdPusher(sink, pool, prefix="app")
    with pool.connection(5):
        pusher.push()
        assert sink.gauges["app.things.connections.used"] == 1
        assert sink.counts["app.things.leases"] == 1
    with pool.connection(5):
        pass
    pusher.push()
    pusher.push()
    assert sink.gauges["app.things.connections.used"] == 0
    assert sink.counts["app.things.leases"] == 2


def test_a_name_is_fit_for_statsd() -> None:
    sink = Sink()
    with Pool(Thing, name="[::1]:11211") as pool:
        StatsdPusher(sink, pool).push()
        assert "cenote._1_11211.waiting" in sink.gauges


class Broken(Sink):
    """Breaks off in the middle, once."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True

    def incr(self, stat: str, count: float) -> None:
        if self.broken and stat.endswith("connects"):
            self.broken = False
            raise OSError("the network is down")
        super().incr(stat, count)


def test_a_push_that_broke_off_is_made_up_for_and_nothing_is_counted_twice(
    pool: Pool[Thing],
) -> None:
    sink = Broken()
    pusher = StatsdPusher(sink, pool)
    with pool.connection(5):
        pass
    with pytest.raises(OSError, match="down"):
        pusher.push()
    pusher.push()
    assert sink.counts["cenote.things.leases"] == 1
    assert sink.counts["cenote.things.connects"] == 1


def test_pushing_goes_on_by_itself_whatever_the_sink_does(
    pool: Pool[Thing], caplog: pytest.LogCaptureFixture
) -> None:
    pushed = threading.Semaphore(0)

    class Sulky(Sink):
        def gauge(self, stat: str, value: float) -> None:
            pushed.release()
            raise OSError("no")

    with caplog.at_level(logging.ERROR, "cenote.telemetry"):
        with StatsdPusher(Sulky(), pool).every(0.001):
            assert pushed.acquire(timeout=10)
            assert pushed.acquire(timeout=10)
        assert "cenote-statsd failed; it is tried again" in caplog.text


def test_what_is_periodic_can_close_itself_and_needs_a_period() -> None:
    done = threading.Event()
    periods: list[Periodic] = []

    def once() -> None:
        if periods:
            periods[0].close()
            done.set()

    periods.append(Periodic(once, 0.001, "once"))
    assert done.wait(10)
    with pytest.raises(ConfigurationError, match="seconds > 0"):
        Periodic(once, 0, "never")
    with pytest.raises(ConfigurationError, match="action=3 can not be called"):
        Periodic(3, 1, "never")  # type: ignore[arg-type]


def test_what_is_no_statsd_client_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"3 is no statsd client: .* gauge\(name, value\)"):
        StatsdPusher(3)  # type: ignore[arg-type]
