"""Servers that hold the same keys: what is asked of whom, and who may lack what others have."""

from __future__ import annotations

import pickle
from random import Random

import pytest

from cenote.cluster.failover import Board, FailoverOptions
from cenote.cluster.replicas import (
    Kind,
    Replicas,
    answer_of,
    check_replicas,
    completed,
    fastest,
    forgetting,
    is_miss,
    kind_of,
    lacking,
    members_of,
    try_until,
)
from cenote.cluster.router import HASHING_NAMES, placer_for
from cenote.cluster.server import LOCAL, Server
from cenote.cluster.topology import refuse_namesakes
from cenote.connection import TCPAddress
from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    OperationTimeout,
    OutOfMemory,
    PoolClosed,
    PoolTimeout,
    ServerError,
    ValueTooLarge,
)
from cenote.node.health import IN_A_ROW, Vigil
from cenote.protocol import (
    DELETED,
    EXISTS,
    NOT_FOUND,
    NOT_STORED,
    STORED,
    binary,
    cas,
    delete,
    delete_many,
    flush_all,
    gat,
    get,
    get_many,
    gets,
    incr,
    set_many,
    store,
    touch,
)

LOST, LATE = ConnectionLost("lost"), OperationTimeout("late", phase="exchange")


def test_replicas_stand_in_the_place_of_a_server():
    both = Replicas(["a", Server.at("b:1", name="second"), TCPAddress("c", 2)], weight=2)
    assert both.name == "a:11211+second+c:2"
    assert both.address == Server.at("a").address
    assert [server.name for server in both.servers] == ["a:11211", "second", "c:2"]
    assert (both.read, both.weight) == ("first", 2)
    assert both == Replicas([*both.servers], weight=2)
    assert both != Replicas([*both.servers], "fastest", weight=2)
    assert pickle.loads(pickle.dumps(both)) == both
    assert hash(both) == hash(Replicas([*both.servers], weight=2))
    assert members_of(both) == both.servers
    assert members_of(both.servers[0]) == (both.servers[0],)


@pytest.mark.parametrize(
    ("servers", "options", "says"),
    [
        ([], {}, "two servers or more"),
        (["a"], {}, "two servers or more"),
        (["a", "a:11211"], {}, "each of its own name"),
        ("a,b", {}, "a sequence of servers"),
        (3, {}, "a sequence of servers"),
        (["a", 3], {}, "an address is a str"),
        (["a", "memcached://b"], {}, "is a URL"),
        (["a", LOCAL], {}, "can not be one"),
        (["a", Replicas(["b", "c"])], {}, "can not be one"),
        (["a", Server.at("b", 2)], {}, "one weight"),
        (["a", "b"], {"read": "nearest"}, "'first', 'fastest'"),
        (["a", "b"], {"weight": 0}, "above 0"),
        (["a", "b"], {"name": 3}, "a server's name"),
    ],
)
def test_replicas_that_can_not_be_are_refused(servers, options, says):
    with pytest.raises(ConfigurationError, match=says):
        Replicas(servers, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (FailoverOptions(failover="rehash"), "step in for each other"),
        (FailoverOptions(failover="gutter", gutter=(Server.at("g"),)), "step in for each other"),
        (FailoverOptions(on_return="delete"), "flushed when they come back"),
    ],
)
def test_options_that_mean_nothing_for_replicas_are_refused(options, says):
    check_replicas([Server.at("a"), Server.at("b")], options)
    with pytest.raises(ConfigurationError, match=says):
        check_replicas([Server.at("a"), Replicas(["b", "c"])], options)


def test_replicas_neither_discover_nor_stand_by():
    with pytest.raises(ConfigurationError, match="discovery="):
        check_replicas([Replicas(["b", "c"])], FailoverOptions(), "dns")
    spares = FailoverOptions(failover="gutter", gutter=(Replicas(["b", "c"]),))
    with pytest.raises(ConfigurationError, match="gutter="):
        check_replicas([Server.at("a")], spares)


def test_no_name_is_that_of_two():
    refuse_namesakes([Server.at("a"), Replicas(["b", "c"])])
    for others in (
        [Server.at("b")],
        [Replicas(["b", "d"])],
        [Server.at("x", name="b:11211+c:11211")],
    ):
        with pytest.raises(ConfigurationError, match="two servers are named"):
            refuse_namesakes([*others, Replicas(["b", "c"])])


@pytest.mark.parametrize("hashing", HASHING_NAMES)
def test_every_scheme_places_replicas_as_one_server(hashing):
    """By their name, or by the address of the first where a scheme looks at addresses."""
    keys = [b"key:%d" % number for number in range(200)]
    plain = [Server.at("a"), Server.at("b"), Server.at("c")]
    some = [plain[0], Replicas(["b", "d"], name="b:11211"), plain[2]]
    ours, theirs = placer_for(hashing, some), placer_for(hashing, plain)
    assert [ours.place(key) for key in keys] == [theirs.place(key) for key in keys]


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (get(b"k"), Kind.READ),
        (get_many([b"k"]), Kind.READ),
        (binary.get(b"k"), Kind.READ),
        (binary.get_many([b"k"]), Kind.READ),
        (store("set", b"k", b"", 0, 0), Kind.SAME),
        (set_many([(b"k", b"", 0)], 0, meta=False), Kind.SAME),
        (binary.set_many([(b"k", b"", 0)], 0, meta=False), Kind.SAME),
        (delete(b"k"), Kind.SAME),
        (delete_many([b"k"], meta=False), Kind.SAME),
        (binary.delete_many([b"k"], meta=False), Kind.SAME),
        (touch(b"k", 1), Kind.SAME),
        (gat(b"k", 1), Kind.SAME),
        (binary.gat(b"k", 1), Kind.SAME),
        (flush_all(), Kind.SAME),
        (gets(b"k"), Kind.DECIDED),
        (cas(b"k", b"", 0, 0, 1), Kind.DECIDED),
        (incr(b"k", 1), Kind.DECIDED),
        (binary.incr(b"k", 1), Kind.DECIDED),
        *((store(verb, b"k", b"", 0, 0), Kind.DECIDED) for verb in ("add", "replace", "append")),
    ],
)
def test_what_depends_on_what_is_stored_is_decided_by_one(request_, kind):
    assert kind_of(request_) is kind


@pytest.mark.parametrize(
    ("replies", "lack", "answer"),
    [
        ([STORED, STORED], [], STORED),
        ([NOT_FOUND, DELETED], [], NOT_FOUND),
        ([STORED, LATE], [1], STORED),
        ([LOST, STORED, ConnectFailed("no")], [0, 2], STORED),
        ([PoolTimeout("full", stats=None), STORED], [0], STORED),
        ([OutOfMemory("full"), STORED], [], STORED),
        ([ValueTooLarge("long"), STORED], [], STORED),
        ([ServerError("odd"), STORED], [0], STORED),
        ([ServerError("odd"), LATE], [1], None),
        ([LATE, LOST], [0, 1], None),
        ([ConnectFailed("no"), ConnectFailed("no")], [], None),
        ([PoolClosed("closed"), PoolClosed("closed")], [], None),
        ([ConnectFailed("no"), LATE], [0, 1], None),
    ],
)
def test_whoever_may_lack_a_write_is_known(replies, lack, answer):
    assert lacking(replies) == lack
    assert answer_of(replies) is (replies[0] if answer is None else answer)


def test_a_refusal_says_more_than_silence():
    refusal = OutOfMemory("full")
    assert answer_of([LATE, refusal]) is refusal


def test_the_others_forget_a_key_that_one_has_changed():
    for forget in (forgetting(cas(b"k", b"", 0, 0, 1), STORED), forgetting(incr(b"k", 1), 0)):
        assert forget is not None
        assert forget.payload == delete(b"k").payload
    forget = forgetting(binary.incr(b"k", 1), 7)
    assert forget is not None
    assert forget.verb == "delete"
    assert forget.payload[0] == 0x80
    for reply in (NOT_STORED, EXISTS, NOT_FOUND, None):
        assert forgetting(cas(b"k", b"", 0, 0, 1), reply) is None
    assert forgetting(gets(b"k"), (b"v", 0, 1)) is None


def test_what_a_read_has_not_found_is_completed_by_another():
    both = get_many([b"a", b"b", b"a"])
    a, b = (b"1", 0, 0), (b"2", 0, 0)
    assert is_miss(get(b"a"), None)
    assert not is_miss(get(b"a"), a)
    assert is_miss(both, {b"a": a})
    assert not is_miss(both, {b"a": a, b"b": b})
    assert completed({b"a": a}, {b"b": b}) == {b"a": a, b"b": b}
    assert completed(None, a) is a


def test_a_try_leaves_time_for_the_next():
    assert try_until(10.0, 13.0, 3) == 11.0
    assert try_until(11.0, 13.0, 2) == 12.0
    assert try_until(12.0, 13.0, 1) == 13.0


def test_another_is_read_from_only_if_it_is_clearly_faster():
    assert fastest("a", {"a": None, "b": None}) == "a"
    assert fastest("a", {"a": 0.010, "b": 0.009}) == "a"
    assert fastest("a", {"a": 0.010, "b": 0.007}) == "b"
    assert fastest("b", {"a": 0.006, "b": 0.007}) == "b"
    assert fastest("a", {"a": None, "b": 1.0}) == "b"
    assert fastest("gone", {"a": 0.02, "b": 0.01}) == "b"


def watched(count: int, max_ejected: float = 0.5) -> tuple[Board, list[Vigil]]:
    board = Board(max_ejected)
    vigils = [Vigil(3, Random(number)) for number in range(count)]
    board.enrol(vigils, [vigils])
    return board, vigils


def test_the_last_replica_in_service_stays():
    """Whoever takes it out, and however large a share may be down."""
    board, vigils = watched(3, max_ejected=1.0)
    assert board.take_out(vigils[0], "it lacks a write", 0.0) is not None
    assert board.take_out(vigils[0], "it lacks a write", 0.0) is None
    for vigil in vigils[1:]:
        for _ in range(IN_A_ROW):
            vigil.failed(0, 0.0)
        board.review(vigil, 0.0)
    assert [vigil.down for vigil in vigils] == [True, True, False]
    assert board.take_out(vigils[2], "it lacks a write", 0.0) is None
    board.restore(vigils[0], 1.0)
    assert board.take_out(vigils[2], "it lacks a write", 1.0) is not None


def test_a_replica_that_lacks_a_write_goes_however_many_are_down():
    board, vigils = watched(3, max_ejected=0.0)
    assert board.take_out(vigils[1], "it lacks a write", 0.0) is not None
    assert board.take_out(vigils[2], "it lacks a write", 0.0) is not None
    assert board.ejected == 2


def test_a_server_that_is_no_replica_is_not_taken_out():
    board = Board(1.0)
    vigils = [Vigil(3, Random(number)) for number in range(2)]
    board.enrol(vigils)
    assert board.take_out(vigils[0], "it lacks a write", 0.0) is None


def test_a_replica_that_is_far_away_stays_in_service():
    board, vigils = watched(3)
    alone = Board(0.5)
    alone.enrol(vigils)
    for number, vigil in enumerate(vigils):
        for _ in range(20):
            vigil.measured(0.5 if number == 2 else 0.001)
    assert board.review(vigils[2], 0.0) is None
    assert alone.review(vigils[2], 0.0) is not None
