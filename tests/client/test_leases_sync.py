# Generated from tests/client/test_leases_aio.py by tools/unasync.py; do not edit.
"""Leases when somebody else is faster: scripted replies for moments too short to be met."""

from __future__ import annotations

import time

from cenote.client.compute import Look, Terms
from cenote.client.leases_sync import ClassicLeases, MetaLeases
from cenote.client.values import LEASE
from cenote.protocol import DELETED, NOT_STORED, STORED, MetaReply

TERMS = Terms(exptime=90, fresh=60, stale_for=30, lease=11)
MISS = MetaReply("EN", None, {})


class Script:
    """Answers each request with the next reply, and remembers what was sent."""

    def __init__(self, *replies: object) -> None:
        self.replies = list(replies)
        self.sent: list[bytes] = []

    def __call__(self, request, deadline):
        self.sent.append(request.payload)
        reply = self.replies.pop(0)
        return self.own_token() if reply is OWN else reply

    def own_token(self) -> tuple[bytes, int, int]:
        """The item as it would be stored by the latest ``add`` or ``cas``."""
        line, token, _ = next(sent for sent in reversed(self.sent) if b"\r\n" in sent[:-2]).split(
            b"\r\n", 2
        )
        return token, int(line.split()[2]), 7


OWN = object()


def read(data: bytes, flags: int) -> tuple[bool, object]:
    return flags == 16, data.decode()


def test_a_key_that_goes_again_at_once_is_looked_at_again():
    script = Script(MISS, MISS)
    assert MetaLeases(script, read, b"k", TERMS).look(0) == Look("again")
    assert script.sent == [b"mg k v f c t k\r\n", b"mg k v f c t k N11 R30\r\n"]


def test_a_value_that_is_due_is_bounded_and_replaced_under_its_cas():
    flags = {"f": b"16", "c": b"7", "t": b"25"}
    won = flags | {"W": b""}
    script = Script(
        MetaReply("VA", b"old", flags),
        MetaReply("VA", b"old", won),
        None,
        MetaReply("HD", None, {}),
    )
    leases = MetaLeases(script, read, b"k", TERMS)
    assert (leases.look(0)).step == "compute"
    leases.store(b"new", 16, 0)
    assert script.sent[2:] == [b"touch k 11\r\n", b"ms k 3 C7 F16 T90\r\nnew\r\n"]


def test_a_value_given_back_has_the_time_it_had():
    won = {"f": b"16", "c": b"7", "t": b"25", "W": b""}
    script = Script(MetaReply("VA", b"old", won), None, MetaReply("HD", None, {}))
    leases = MetaLeases(script, read, b"k", TERMS)
    assert (leases.look(0)).step == "compute"
    leases.release(0)
    assert script.sent[-1] == b"md k C7 I T25\r\n"


def test_a_value_given_back_with_months_left_has_its_moment():
    """Over 30 days the wire wants Unix time, not seconds from now."""
    won = {"f": b"16", "c": b"7", "t": b"5000000", "W": b""}
    script = Script(MetaReply("VA", b"old", won), None, MetaReply("HD", None, {}))
    leases = MetaLeases(script, read, b"k", TERMS)
    leases.look(0)
    leases.release(0)
    moment = int(script.sent[-1].partition(b" T")[2])
    assert 5_000_000 <= moment - time.time() <= 5_000_001 + 60


def test_on_a_classic_server_the_first_to_add_has_the_lease():
    script = Script(None, STORED, OWN, STORED, STORED)
    leases = ClassicLeases(script, read, b"k", TERMS)
    assert leases.look(0) == Look("compute")
    leases.store(b"new", 16, 0)
    assert script.sent[1].startswith(b"add k %d 11 16\r\n" % LEASE)
    assert script.sent[3].startswith(b"set cenote-fresh:")
    assert script.sent[4] == b"cas k 16 90 3 7\r\nnew\r\n"


def test_on_a_classic_server_the_second_to_add_looks_again():
    script = Script(None, NOT_STORED)
    assert ClassicLeases(script, read, b"k", TERMS).look(0) == Look("again")


def test_a_classic_lease_deleted_or_taken_over_at_once_is_not_held():
    for now in (None, (b"token of another", LEASE, 8)):
        script = Script(None, STORED, now)
        assert ClassicLeases(script, read, b"k", TERMS).look(0) == Look("again")


def test_on_a_classic_server_the_second_to_mark_serves_the_old_value():
    script = Script((b"old", 16, 7), None, NOT_STORED)
    assert ClassicLeases(script, read, b"k", TERMS).look(0) == Look("serve", "old")


def test_on_a_classic_server_an_old_value_given_back_loses_its_marker():
    script = Script((b"old", 16, 7), None, STORED, DELETED)
    leases = ClassicLeases(script, read, b"k", TERMS)
    assert leases.look(0) == Look("compute")
    leases.release(0)
    assert script.sent[-1].startswith(b"delete cenote-fresh:")
