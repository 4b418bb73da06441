"""Events in words: for logs and for whoever looks later."""

from __future__ import annotations

import logging
import threading

import pytest

from cenote import ConfigurationError, Holder, Observer, Pool, PoolTimeout
from cenote.telemetry import Announcer, Event, LogEvents
from cenote.telemetry.events import LEVELS, EventLog
from cenote.telemetry.sources import Sources
from tests.telemetry.conftest import Thing


class Notes(Announcer):
    def __init__(self) -> None:
        super().__init__(clock=lambda: 7.0)
        self.events: list[Event] = []

    def announce(self, event: Event) -> None:
        self.events.append(event)


def test_every_event_of_an_observer_but_single_leases_is_put_into_words() -> None:
    notes = Notes()
    notes.timed_out("p", 0.25)
    notes.saturated("p")
    notes.connected("p", 0.0012)
    notes.connected("p", 1.25)
    notes.connect_failed("p", OSError("refused"), 0.1)
    notes.closed("p", "lifetime")
    notes.invalidated("p", 3)
    notes.down("p", OSError("refused"))
    notes.up("p")
    notes.resized("p", 12, "5 callers a second")
    notes.leaked("p", Holder("worker-3", 4.2, "app.py:88"))
    notes.lost("p")
    assert [event.text for event in notes.events] == [
        "no connection within 250 ms",
        "turned away: too many wait",
        "opened a connection in 1.2 ms",
        "opened a connection in 1.25 s",
        "connecting failed: refused",
        "closed a connection: lifetime",
        "discarding every connection of before",
        "down: connecting keeps failing: refused",
        "up again",
        "max_size is 12 now: 5 callers a second",
        "a connection has been held 4.2 s by 'worker-3' (app.py:88)",
        "a lease was dropped without being returned",
    ]
    events = {name for name in vars(Observer) if not name.startswith("_")}
    told = {event.kind for event in notes.events}
    assert told == set(LEVELS) == events - {"acquired", "released"}
    assert {event.at for event in notes.events} == {7.0}


def test_a_pool_logs_what_happens_with_structured_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cenote.pool.events")
    with (
        Pool(Thing, name="p", max_size=1, timeout=0, observer=LogEvents()) as pool,
        pool.connection(5),
        pytest.raises(PoolTimeout),
    ):
        pool.acquire()
    (record,) = [each for each in caplog.records if each.name == "cenote.pool.events"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("pool p: no connection within")
    said = vars(record)
    assert (said["cenote_pool"], said["cenote_event"]) == ("p", "timed_out")
    assert said["cenote_waited"] >= 0


def test_a_log_keeps_the_latest_events_newest_first(pool: Pool[Thing]) -> None:
    log = EventLog(size=3)
    log.follow(Sources(pool))
    with pool.connection(5), pool.connection(5):
        for _ in range(5):
            with pytest.raises(PoolTimeout):
                pool.acquire()
    pool.close()
    assert [event.kind for event in log.latest()] == ["closed", "closed", "timed_out"]


def test_a_log_calls_pools_by_their_labels() -> None:
    log = EventLog()
    with Pool(Thing, name="namesake") as first, Pool(Thing, name="namesake") as second:
        log.follow(Sources(first, second))
        with second.connection():
            pass
    assert {event.pool for event in log.latest()} == {"namesake-2"}


def test_following_twice_tells_once_and_leaving_ends_it(pool: Pool[Thing]) -> None:
    log, sources = EventLog(), Sources(pool)
    log.follow(sources)
    log.follow(sources)
    with pool.connection(5), pool.connection(5), pytest.raises(PoolTimeout):
        pool.acquire()
    assert [event.kind for event in log.latest()].count("timed_out") == 1
    log.leave(sources)
    assert pool._core.observer is None


@pytest.mark.stress
def test_a_log_is_read_while_threads_write_to_it(pool: Pool[Thing]) -> None:
    log = EventLog(size=50)
    log.follow(Sources(pool))
    over = threading.Event()

    def fail() -> None:
        while not over.is_set():
            with pytest.raises(PoolTimeout):
                pool.acquire()

    with pool.connection(5), pool.connection(5):
        threads = [threading.Thread(target=fail) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(500):
                assert len(log.latest()) <= 50
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_what_is_no_logger_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="logger='events' is no Logger"):
        LogEvents("events")  # type: ignore[arg-type]
