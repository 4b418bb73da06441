"""Who is ejected and how many may be, what may be sent elsewhere; with a clock of the test's."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cenote.cluster.failover import (
    Board,
    FailoverOptions,
    Journal,
    is_write,
    may_go_elsewhere,
)
from cenote.cluster.server import Server
from cenote.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    OperationTimeout,
    PoolTimeout,
    ServerError,
)
from cenote.node.health import IN_A_ROW, Vigil
from cenote.protocol import delete, get, get_many, gets, incr, meta_get, store


def board_of(count: int, max_ejected: float = 0.5) -> Board:
    board = Board(max_ejected)
    board.enrol([Vigil(3, Random(number)) for number in range(count)])
    return board


def let_fail(board: Board, number: int, now: float = 0.0) -> None:
    """Have a server answer nothing until it is ejected, or would be."""
    vigil = board.vigils[number]
    for _ in range(IN_A_ROW):
        vigil.failed(0, now)
    board.review(vigil, now)


@pytest.mark.parametrize(("compares", "ejected"), [(True, 1), (False, 0)])
def test_a_server_is_worse_than_others_only_where_those_can_serve_its_keys(compares, ejected):
    board = Board(0.5, compares=compares)
    board.enrol([Vigil(3, Random(number)) for number in range(4)])
    for number, vigil in enumerate(board.vigils):
        for _ in range(10):
            vigil.measured(0.001 if number else 0.9)
    board.review(board.vigils[0], 0.0)
    assert board.ejected == ejected


@pytest.mark.parametrize(
    ("count", "share", "limit"),
    [(1, 1.0, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (4, 0.1, 1), (4, 0.0, 0), (4, 1.0, 4)],
)
def test_a_share_of_the_servers_may_be_ejected(count: int, share: float, limit: int) -> None:
    board = board_of(count, share)
    assert board.limit == limit
    for number in range(count):
        let_fail(board, number)
    assert board.ejected == limit


def test_the_only_server_is_ejected_where_somebody_is_there_in_its_place() -> None:
    for alone, share, limit in [(True, 0.5, 1), (True, 0.0, 0), (False, 0.5, 0)]:
        board = Board(share, alone=alone)
        board.enrol([Vigil(3, Random(1))])
        assert board.limit == limit
        let_fail(board, 0)
        assert board.ejected == limit


def test_whoever_was_spared_is_ejected_when_there_is_room_again() -> None:
    board = board_of(4)
    for number in range(3):
        let_fail(board, number)
    assert [vigil.down for vigil in board.vigils] == [True, True, False, False]
    change = board.restore(board.vigils[0], now=1.0)
    assert change is not None
    assert change.reason is None
    let_fail(board, 2)
    assert [vigil.down for vigil in board.vigils] == [False, True, True, False]


def test_a_change_is_told_once() -> None:
    board = board_of(4)
    vigil = board.vigils[0]
    for _ in range(IN_A_ROW):
        vigil.failed(0, now=0.0)
    change = board.review(vigil, now=0.0)
    assert change is not None
    assert change.vigil is vigil
    assert board.review(vigil, now=0.0) is None
    assert board.restore(vigil, now=1.0) is not None
    assert board.restore(vigil, now=1.0) is None


def test_a_server_that_has_left_is_judged_no_more() -> None:
    board = board_of(4)
    gone = board.vigils[0]
    board.enrol(board.vigils[1:])
    for _ in range(IN_A_ROW):
        gone.failed(0, now=0.0)
    assert board.review(gone, now=0.0) is None


def test_nobody_is_left_when_nothing_can_be_connected_to() -> None:
    board = board_of(2)
    for vigil in board.vigils:
        assert not board.all_unreachable
        for _ in range(3):
            vigil.connect_failed(0, now=0.0)
        board.review(vigil, now=0.0)
    assert board.all_unreachable
    assert board.ejected == 1


class Servers(RuleBasedStateMachine):
    """Servers that answer, fail, are probed and come back in any order."""

    @initialize(count=st.integers(1, 6), share=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    def begin(self, count: int, share: float) -> None:
        self.board = board_of(count, share)
        self.answered = [0] * count
        self.now = 0.0
        self.told: dict[Vigil, bool] = {}

    def tell(self, change: Any) -> None:
        if change is None:
            return
        is_down = change.reason is not None
        assert self.told.get(change.vigil, False) is not is_down, "told twice"
        self.told[change.vigil] = is_down

    def pick(self, number: int) -> tuple[int, Vigil]:
        index = number % len(self.board.vigils)
        return index, self.board.vigils[index]

    @rule(seconds=st.floats(0.001, 40.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 5), count=st.integers(1, 5), lost=st.booleans())
    def fail(self, number: int, count: int, lost: bool) -> None:
        index, vigil = self.pick(number)
        vigil.failed(self.answered[index], self.now, count, lost=lost)
        self.tell(self.board.review(vigil, self.now))

    @rule(number=st.integers(0, 5), answers=st.integers(1, 1000))
    def answer(self, number: int, answers: int) -> None:
        index, vigil = self.pick(number)
        if not vigil.down:
            self.answered[index] += answers

    @rule(number=st.integers(0, 5), seconds=st.floats(0.0001, 1.0))
    def measure(self, number: int, seconds: float) -> None:
        _, vigil = self.pick(number)
        vigil.measured(seconds)
        self.tell(self.board.review(vigil, self.now))

    @rule(number=st.integers(0, 5))
    def fail_to_connect(self, number: int) -> None:
        index, vigil = self.pick(number)
        vigil.connect_failed(self.answered[index], self.now)
        self.tell(self.board.review(vigil, self.now))

    @rule(number=st.integers(0, 5))
    def connect(self, number: int) -> None:
        _, vigil = self.pick(number)
        vigil.connected()
        if vigil.may_return(self.now):
            self.tell(self.board.restore(vigil, self.now))

    @rule()
    def probe(self) -> None:
        due = self.board.next_probe()
        probed = self.board.to_probe(self.now)
        assert bool(probed) is (due <= self.now)
        assert not self.board.to_probe(self.now), "a second probe at a time"
        assert all(vigil.down and vigil.probing for vigil in probed)

    @precondition(lambda self: self.board.ejected)
    @rule()
    def mend(self) -> None:
        """A server that can be connected to when it is probed is back."""
        vigil = next(vigil for vigil in self.board.vigils if vigil.down)
        self.now = max(self.now, 0.0 if vigil.probing else vigil.probe_at)
        assert vigil.probing or vigil.probe(self.now)
        vigil.connected()
        assert vigil.may_return(self.now)
        self.tell(self.board.restore(vigil, self.now))

    @invariant()
    def no_more_are_ejected_than_may_be(self) -> None:
        assert self.board.ejected <= self.board.limit

    @invariant()
    def what_was_told_is_so(self) -> None:
        for vigil in self.board.vigils:
            assert vigil.down is self.told.get(vigil, False)
            assert (vigil.reason is not None) is vigil.down
            assert vigil.down or not vigil.probing

    @invariant()
    def whoever_is_down_is_probed_some_time(self) -> None:
        for vigil in self.board.vigils:
            if vigil.down and not vigil.probing:
                assert vigil.probe_at <= self.now + 30.0


Servers.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestServers = Servers.TestCase


# What may be sent elsewhere.

READ, WRITE, COUNT = get(b"k"), store("set", b"k", b"v", 0, 0), incr(b"k", 1)


@pytest.mark.parametrize(
    ("request_", "error", "ejected", "may"),
    [
        (READ, ConnectionLost(), False, True),
        (READ, ConnectFailed(), False, True),
        (READ, PoolTimeout(), False, True),
        (READ, OperationTimeout(), True, True),
        (READ, ServerError(), True, False),
        (WRITE, ConnectFailed(), False, False),
        (WRITE, ConnectFailed(), True, True),
        (WRITE, ConnectionLost(), False, False),
        (WRITE, ConnectionLost(), True, True),
        (COUNT, ConnectionLost(), True, False),
        (COUNT, PoolTimeout(), True, True),
        (COUNT, PoolTimeout(), False, False),
    ],
)
def test_what_may_be_sent_elsewhere(request_: Any, error: Any, ejected: bool, may: bool) -> None:
    assert may_go_elsewhere(request_, error, ejected=ejected) is may


def test_what_changes_a_value_is_a_write() -> None:
    reads = [READ, gets(b"k"), get_many([b"k"]), meta_get(b"k", b"v")]
    assert not any(map(is_write, reads))
    assert all(map(is_write, [WRITE, COUNT, delete(b"k")]))


# The journal.


def test_a_journal_remembers_keys_and_what_places_them() -> None:
    journal = Journal()
    assert journal.empty
    journal.note([b"a", b"b"], [b"route", b"b"])
    journal.note([b"a"], [b"route"])
    assert journal.some(10) == {b"a": b"route", b"b": b"b"}
    assert journal.some(1) == {b"a": b"route"}
    journal.strike([b"a"])
    assert journal.some(10) == {b"b": b"b"}
    journal.strike([b"b"])
    assert journal.empty


def test_a_journal_that_is_full_remembers_only_that_it_was() -> None:
    journal = Journal(most=2)
    journal.note([b"a", b"b"], [b"a", b"b"])
    assert not journal.overflowed
    journal.note([b"c"], [b"c"])
    assert journal.overflowed
    assert journal.some(10) == {}
    journal.note([b"d"], [b"d"])
    assert journal.some(10) == {}
    assert not journal.empty
    journal.clear()
    assert journal.empty


# The options.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"failover": "nowhere"}, "'fail', 'rehash', 'gutter', 'miss'"),
        ({"on_return": "burn"}, "'keep', 'flush', 'delete'"),
        ({"failover": "gutter"}, "needs gutter="),
        ({"gutter": (Server.at("a"),)}, 'is for failover="gutter"'),
        ({"gutter_ttl": 0}, "gutter_ttl=0 is out of range"),
        ({"gutter_ttl": True}, "gutter_ttl=True is out of range"),
        ({"gutter_ttl": 31 * 86400}, "is out of range"),
        ({"max_ejected": 1.1}, "a share from 0 to 1"),
        ({"max_ejected": "half"}, "a share from 0 to 1"),
        ({"on_node_down": 1}, "can not be called"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FailoverOptions(**wrong)
