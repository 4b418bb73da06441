"""When a request is sent again, what an error says of its connection, what health is made of."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from cenote.errors import (
    ClientError,
    ConnectionLost,
    OperationTimeout,
    ProtocolError,
    ServerError,
    ValueTooLarge,
)
from cenote.node.health import Vigil, assess
from cenote.node.retry import may_retry
from cenote.node.verdicts import classify
from cenote.pool import Pool
from cenote.protocol import cas, decr, delete, get, get_many, incr, store, touch

LOST = ConnectionLost("lost")


@pytest.mark.parametrize(
    "request_", [get(b"k"), get_many([b"k"]), store("set", b"k", b"v", 0, 0), delete(b"k"),
                 touch(b"k", 5)],
    ids=lambda request: request.verb,
)  # fmt: skip
def test_what_may_be_carried_out_twice_is_sent_again(request_) -> None:
    assert may_retry(request_, LOST, uses=2)


@pytest.mark.parametrize(
    "request_", [incr(b"k", 1), decr(b"k", 1), store("append", b"k", b"v", 0, 0),
                 store("prepend", b"k", b"v", 0, 0), store("add", b"k", b"v", 0, 0),
                 cas(b"k", b"v", 0, 0, 7)],
    ids=lambda request: request.verb,
)  # fmt: skip
def test_what_must_not_be_carried_out_twice_is_not_sent_again(request_) -> None:
    assert not may_retry(request_, LOST, uses=2)


def test_nothing_is_sent_again_after_a_connections_first_use() -> None:
    assert not may_retry(get(b"k"), LOST, uses=1)


def test_nothing_is_sent_again_once_its_reply_had_begun() -> None:
    assert not may_retry(get(b"k"), ConnectionLost("lost", replied=True), uses=2)


@pytest.mark.parametrize(
    "error",
    [OperationTimeout("late"), ProtocolError("odd"), ServerError("no"), KeyboardInterrupt()],
)
def test_only_an_ended_connection_is_a_reason_to_send_again(error) -> None:
    assert not may_retry(get(b"k"), error, uses=2)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ServerError("busy"), "ok"),
        (ValueTooLarge("big"), "ok"),
        (ClientError("not a number"), "ok"),
        (LOST, "invalidate_all"),
        (OperationTimeout("late"), "discard"),
        (ProtocolError("odd"), "discard"),
        (RuntimeError("a bug"), "discard"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_says_what_becomes_of_connections(error, verdict) -> None:
    assert classify(error) == verdict


def test_health_is_unknown_then_up_then_down() -> None:
    """Down means: the pool says so, or the latest connect failed and nothing is open."""
    fresh = Pool(lambda: None).stats()
    up = replace(fresh, created=1, live=1)

    def state(stats, last_error=None):
        return assess("n", stats, retries=0, last_error=last_error, vigil=Vigil(3, Random(1))).state

    assert state(fresh) == "unknown"
    assert state(up) == "up"
    assert state(replace(up, live=0)) == "up"
    assert state(up, last_error="refused") == "up"
    assert state(fresh, last_error="refused") == "down"
    assert state(replace(up, state="down")) == "down"
