"""Requests whose times to live are bounded: every command that sets one, none that does not."""

from __future__ import annotations

import pytest

from cenote import protocol
from cenote.protocol import binary
from cenote.protocol.capped import capped

NOW = 1_800_000_000.5
MONTH = 30 * 86400


@pytest.mark.parametrize(
    ("expiry", "bounded"),
    [
        (0, 10),
        (5, 5),
        (10, 10),
        (11, 10),
        (MONTH, 10),
        (-1, -1),
        (1_800_000_005, 1_800_000_005),
        (1_900_000_000, 1_800_000_010),
    ],
)
def test_no_expiry_is_further_away_than_the_bound(expiry: int, bounded: int) -> None:
    for made, meant in (
        (
            protocol.store("set", b"k", b"v", 7, expiry),
            protocol.store("set", b"k", b"v", 7, bounded),
        ),
        (protocol.cas(b"k", b"v", 7, expiry, 9), protocol.cas(b"k", b"v", 7, bounded, 9)),
        (protocol.touch(b"k", expiry), protocol.touch(b"k", bounded)),
        (protocol.gat(b"k", expiry), protocol.gat(b"k", bounded)),
        (protocol.gats(b"k", expiry), protocol.gats(b"k", bounded)),
        (protocol.gat_many([b"k", b"l"], expiry), protocol.gat_many([b"k", b"l"], bounded)),
        (
            protocol.meta_set(b"k", b"v", b"F7 T%d" % expiry),
            protocol.meta_set(b"k", b"v", b"F7 T%d" % bounded),
        ),
        (
            protocol.meta_get(b"k", b"v T%d" % expiry),
            protocol.meta_get(b"k", b"v T%d" % bounded),
        ),
    ):
        assert capped(made, 10, NOW).payload == meant.payload


@pytest.mark.parametrize(("expiry", "bounded"), [(0, 10), (5, 5), (11, 10), (-1, -1)])
def test_frames_are_bounded_likewise(expiry: int, bounded: int) -> None:
    items = [(b"one", b"a value", 0), (b"two", b"", 3)]
    for make in (
        lambda exptime: binary.store("set", b"k", b"value", 7, exptime),
        lambda exptime: binary.store("add", b"k", b"", 7, exptime),
        lambda exptime: binary.store("append", b"k", b"value", 7, exptime),
        lambda exptime: binary.cas(b"k", b"value", 7, exptime, 9),
        lambda exptime: binary.touch(b"k", exptime),
        lambda exptime: binary.gat(b"k", exptime),
        lambda exptime: binary.gat_many([b"k", b"l"], exptime),
        lambda exptime: binary.set_many(items, exptime, meta=False),
        lambda exptime: binary.set_many(items, exptime, meta=False, quiet=False),
    ):
        assert without_opaques(capped(make(expiry), 10, NOW)) == without_opaques(make(bounded))
    for made in (binary.get_many([b"k", b"l"]), binary.incr(b"k", 3), binary.delete(b"k")):
        assert capped(made, 10, NOW).payload == made.payload


def without_opaques(request: protocol.Request) -> bytes:
    """The frames, but for the numbers that no two of them share."""
    payload, at = bytearray(request.payload), 0
    while at < len(payload):
        payload[at + 12 : at + 16] = bytes(4)
        at += 24 + int.from_bytes(payload[at + 8 : at + 12], "big")
    return bytes(payload)


def test_a_meta_set_that_never_expires_is_given_an_expiry() -> None:
    made = protocol.meta_set(b"k", b"v", b"F7")
    assert capped(made, 10, NOW).payload == protocol.meta_set(b"k", b"v", b"F7 T10").payload


def test_a_batch_is_bounded_value_by_value_and_values_are_not_read() -> None:
    items = [(b"one", b"set x 0 0 1\r\n1\r\nmn\r\n", 0), (b"two", b"", 3), (b"three", b"\r\n", 0)]
    for meta in (True, False):
        for quiet in (True, False):
            made = protocol.set_many(items, 60, meta=meta, quiet=quiet)
            meant = protocol.set_many(items, 10, meta=meta, quiet=quiet)
            assert capped(made, 10, NOW).payload == meant.payload


@pytest.mark.parametrize(
    "request_",
    [
        protocol.get(b"T99"),
        protocol.get_many([b"k", b"T99"]),
        protocol.delete(b"k"),
        protocol.incr(b"k", 99),
        protocol.store("append", b"k", b"v", 0, 0),
        protocol.meta_get(b"T99", b"v k"),
        protocol.version(),
    ],
    ids=lambda request: request.verb,
)
def test_what_sets_no_expiry_stays_as_it_is(request_: protocol.Request) -> None:
    assert capped(request_, 10, NOW).payload == request_.payload


def test_the_rest_of_a_request_stays_as_it_is() -> None:
    for made in (
        protocol.store("set", b"k", b"v", 0, 0),
        protocol.store("add", b"k", b"v", 0, 0),
        protocol.gat_many([b"k", b"l"], 0),
        protocol.meta_get(b"k", b"v k T0 Otoken"),
    ):
        other = capped(made, 10, NOW)
        for name in ("kind", "key", "keys", "count", "idempotent", "verb", "opaque", "echo"):
            assert getattr(other, name) == getattr(made, name), name
