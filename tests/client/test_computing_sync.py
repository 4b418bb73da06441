# Generated from tests/client/test_computing_aio.py by tools/unasync.py; do not edit.
"""get_or_compute on a real server: one computes, the others wait or are given the old value."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import cenote
from cenote.client.sync import Client
from cenote.client.compute import marker_of
from cenote.errors import (
    InvalidArgument,
    NotSerializable,
    OperationTimeout,
    OutOfMemory,
    UnknownFlagsWarning,
    ValueTooLarge,
)
from cenote.testing.faults import Chunk, Fault, Send, Step
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.client.together_sync import Gate, together
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")


class Source:
    """Computes values, and counts how often it was asked to."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)
        self.asked = 0

    def __call__(self) -> object:
        self.asked += 1
        value = self.values.pop(0)
        if isinstance(value, BaseException):
            raise value
        return value


class Slow:
    """Computes once ``may_end`` is set; ``begun`` tells that it is computing."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.asked = 0
        self.begun = Gate()
        self.may_end = Gate()

    def __call__(self) -> object:
        self.asked += 1
        self.begun.set()
        self.may_end.wait()
        return self.value


VALUES = [b"", b"bytes", "", "text", 0, False, None, [1], {"a": 1}]


@pytest.mark.parametrize("stale_for", [0, 60])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_computed_once_and_then_read(client_sync, value, stale_for):
    source = Source(value)
    for _ in range(3):
        read = client_sync.get_or_compute("k", source, 60, stale_for=stale_for)
        assert read == value
        assert type(read) is type(value)
    assert source.asked == 1
    assert client_sync.get("k", "nothing") == value
    assert client_sync.client_stats().computed == 1


def test_a_value_in_the_place_of_what_makes_it_is_refused(client_sync):
    with pytest.raises(InvalidArgument, match="compute is a function that makes the value, not in"):
        client_sync.get_or_compute("k", 7, 60)


def test_a_plain_function_computes_too(client_sync):
    assert client_sync.get_or_compute("k", lambda: 7, 60) == 7
    assert client_sync.get("k") == 7


def test_a_value_written_by_set_is_read(client_sync):
    client_sync.set("k", 1)
    assert client_sync.get_or_compute("k", Source(), 60) == 1


def test_with_stale_for_a_value_without_a_limit_is_never_due(server):
    with Client(server.url, protocol="meta", **PATIENCE) as client:
        client.set("k", 1)
        assert client.get_or_compute("k", Source(), 60, stale_for=60) == 1


def test_on_a_classic_server_a_value_of_unknown_age_is_due(server):
    with Client(server.url, protocol="classic", **PATIENCE) as client:
        client.set("k", 1)
        client.delete(marker_of(b"k"))
        assert client.get_or_compute("k", Source(2), 60, stale_for=60) == 2


@pytest.mark.parametrize("stale_for", [0, 60])
def test_of_many_who_miss_at_once_one_computes(client_sync, stale_for):
    slow = Slow("value")

    def look():
        return client_sync.get_or_compute("k", slow, 60, stale_for=stale_for)

    def let_it_end():
        slow.begun.wait()
        slow.may_end.set()
        return "value"

    assert together(*[look] * 24, let_it_end) == ["value"] * 25
    assert slow.asked == 1


def test_a_lease_is_no_value_to_anybody(client_sync):
    """Memcached makes an empty item of a lease; plain reads must not take it for a value."""
    slow = Slow("value")

    def look():
        return client_sync.get_or_compute("k", slow, 60)

    def read_meanwhile():
        slow.begun.wait()
        assert client_sync.get("k", "nothing") == "nothing"
        assert client_sync.gets("k") is None
        assert client_sync.gat("k", 60, "nothing") == "nothing"
        assert client_sync.get_many(["k"]) == {}
        assert client_sync.append("k", b"x") is False
        slow.may_end.set()
        return "read"

    assert together(look, read_meanwhile) == ["value", "read"]
    assert client_sync.client_stats().unreadable == 0
    assert client_sync.get("k") == "value"


def test_the_old_value_is_served_while_one_computes_the_new(client_sync):
    """A value is due as soon as it has less than ``stale_for`` left."""
    assert client_sync.get_or_compute("k", Source("old"), 1, stale_for=60) == "old"
    slow = Slow("new")

    def look():
        return client_sync.get_or_compute("k", slow, 1, stale_for=90)

    def look_meanwhile():
        slow.begun.wait()
        others = [look() for _ in range(5)]
        slow.may_end.set()
        return others

    client_sync.delete(marker_of(b"k"))
    assert together(look, look_meanwhile) == ["new", ["old"] * 5]
    assert slow.asked == 1
    assert client_sync.get("k") == "new"


def test_an_error_goes_to_its_caller_alone_and_the_next_in_turn_computes(client_sync):
    source = Source(ZeroDivisionError("mine"), "value")
    with pytest.raises(ZeroDivisionError, match="mine"):
        client_sync.get_or_compute("k", source, 60)
    assert client_sync.get_or_compute("k", source, 60) == "value"
    assert source.asked == 2


def test_those_who_wait_take_over_from_one_that_failed(client_sync):
    source = Source(ZeroDivisionError("mine"), "value")

    def look():
        try:
            return client_sync.get_or_compute("k", source, 60, lease_ttl=30)
        except ZeroDivisionError:
            return "failed"

    results = together(*[look] * 8)
    assert sorted(results) == ["failed"] + ["value"] * 7
    assert source.asked == 2


def test_an_old_value_survives_a_computation_that_failed(client_sync):
    client_sync.get_or_compute("k", Source("old"), 1, stale_for=600)
    client_sync.delete(marker_of(b"k"))
    with pytest.raises(ZeroDivisionError):
        client_sync.get_or_compute("k", Source(ZeroDivisionError()), 1, stale_for=900)
    assert client_sync.get("k") == "old"
    assert client_sync.get_or_compute("k", Source("new"), 1, stale_for=900) == "new"


class Meanwhile(Fault):
    """Has something done before requests that hold certain bytes are passed on."""

    __slots__ = ("_act", "_before")

    def __init__(self, before: bytes, act: Callable[[], object]) -> None:
        self._before = before
        self._act = act

    def plan(self, chunk: Chunk) -> Iterator[Step]:
        if self._before in chunk.data:
            self._act()
        yield Send(chunk.data)


READS = [
    ("get", "k", "value"),
    ("gets", "k", "value"),
    ("gat", "k", "value"),
    ("get_many", ["k"], {"k": "value"}),
    ("gat_many", ["k"], {"k": "value"}),
]


@pytest.mark.parametrize(("command", "asked", "answer"), READS, ids=[r[0] for r in READS])
def test_what_ends_a_lease_while_it_is_looked_at_is_read(server, make_sync, command, asked, answer):
    """The empty item that was seen first is nobody's value, also when a value has replaced it."""
    writer = cenote.Client(server.url, protocol="meta", **PATIENCE)
    writer.flush_all()

    def compute() -> str:
        ttl = (60,) if command.startswith("gat") else ()
        found = getattr(reader, command)(asked, *ttl)
        assert (found.value if command == "gets" else found) == answer
        return "outdated"

    with FaultProxy(server.endpoint) as proxy, writer:
        reader = make_sync("{}:{}".format(*proxy.address), protocol="meta")
        proxy.requests = Meanwhile(b"mg k ", lambda: writer.set("k", "value"))
        assert make_sync(server.url).get_or_compute("k", compute, 60) == "outdated"


def test_a_value_that_can_not_be_stored_gives_the_lease_back(client_sync):
    with pytest.raises(NotSerializable):
        client_sync.get_or_compute("k", Source(object()), 60, lease_ttl=30)
    assert client_sync.get_or_compute("k", Source(1), 60) == 1


@pytest.mark.parametrize("stale_for", [0, 60])
def test_a_value_over_the_servers_limit_is_told_and_gives_the_lease_back(client_sync, stale_for):
    """With ``stale_for``, what is not stored must not be marked as fresh either."""
    source = Source(b"x" * 1100000, "small")
    with pytest.raises(ValueTooLarge):
        client_sync.get_or_compute("k", source, 60, stale_for=stale_for, lease_ttl=30)
    assert client_sync.get(marker_of(b"k")) is None
    found = client_sync.get_or_compute("k", source, 60, stale_for=stale_for, wait=0.1)
    assert found == "small"


def test_an_old_value_whose_successor_is_refused_is_still_due(client_sync):
    client_sync.get_or_compute("k", Source("old"), 1, stale_for=600)
    client_sync.delete(marker_of(b"k"))
    source = Source(b"x" * 1100000, "new")
    with pytest.raises(ValueTooLarge):
        client_sync.get_or_compute("k", source, 1, stale_for=900, lease_ttl=30)
    assert client_sync.get_or_compute("k", source, 1, stale_for=900, wait=0.1) == "new"


def test_a_server_out_of_memory_gives_the_lease_back(small_server, protocol, make_sync):
    client = make_sync(small_server.url, protocol=protocol)
    client.set("k", "small enough for a lease")
    client.set_many({f"other{number}": b"x" * 500_000 for number in range(40)})
    client.delete("k")
    source = Source(b"x" * 500_000, "small")
    with pytest.raises(OutOfMemory):
        client.get_or_compute("k", source, 60, lease_ttl=30)
    assert client.get_or_compute("k", source, 60, wait=0.1) == "small"


def test_whatever_interrupts_a_computation_gives_the_lease_back(client_sync):
    class Interrupted(BaseException):
        """As a signal handler raises it."""

    with pytest.raises(Interrupted):
        client_sync.get_or_compute("k", Source(Interrupted()), 60, lease_ttl=30)
    assert client_sync.get_or_compute("k", Source("value"), 60, wait=0.1) == "value"


@pytest.mark.parametrize("stale_for", [0, 60])
def test_a_meta_clients_lease_is_no_value_to_a_classic_client(server, make_sync, stale_for):
    """It looks like an empty ``bytes`` value: both compute, nobody is given a wrong value."""
    meta = make_sync(server.url, protocol="meta")
    classic = make_sync(server.url, protocol="classic")
    meta.flush_all()

    def compute() -> str:
        found = classic.get_or_compute("k", Source("by classic"), 60, stale_for=stale_for)
        assert found == "by classic"
        return "by meta"

    assert meta.get_or_compute("k", compute, 60, stale_for=stale_for) == "by meta"
    assert classic.get("k") == "by classic"


def test_a_delete_while_a_value_is_computed_is_not_undone(client_sync):
    def compute():
        assert client_sync.delete("k") is True
        return "outdated"

    assert client_sync.get_or_compute("k", compute, 60) == "outdated"
    assert client_sync.get("k") is None


def test_a_write_while_a_value_is_computed_is_not_undone(client_sync):
    def compute():
        client_sync.set("k", "newer")
        return "outdated"

    assert client_sync.get_or_compute("k", compute, 60) == "outdated"
    assert client_sync.get("k") == "newer"


def test_a_lease_whose_holder_died_lapses(client_sync, server, protocol):
    """Its holder is closed in the middle of computing, and gives nothing back."""
    with Client(server.url, protocol=protocol, **PATIENCE) as dying:

        def compute():
            dying.close()
            return "lost"

        with pytest.raises(Exception, match="closed"):
            dying.get_or_compute("k", compute, 60, lease_ttl=1)
    source = Source("value")
    assert client_sync.get_or_compute("k", source, 60, wait=8) == "value"
    assert source.asked == 1


def test_who_has_waited_long_enough_is_told(client_sync):
    slow = Slow("value")

    def look():
        return client_sync.get_or_compute("k", slow, 60)

    def wait_in_vain():
        slow.begun.wait()
        with pytest.raises(OperationTimeout, match=r"'k' did not come within 0\.05 s"):
            client_sync.get_or_compute("k", Source(), 60, wait=0.05)
        slow.may_end.set()
        return "told"

    assert together(look, wait_in_vain) == ["value", "told"]


def test_a_value_nobody_here_can_read_is_computed_anew(client_sync, server, protocol):
    class Foreign:
        def dumps(self, value, /):
            return b"\x80", 9

        def loads(self, data, flags, /):
            return data

    with Client(server.url, protocol=protocol, serde=Foreign()) as foreign:
        for stale_for in (0, 60):
            foreign.set("k", None, 60)
            source = Source("value")
            with pytest.warns(UnknownFlagsWarning):
                found = client_sync.get_or_compute("k", source, 60, stale_for=stale_for)
            assert found == "value"
            assert client_sync.get("k") == "value"
            client_sync.delete("k")
            client_sync.delete(marker_of(b"k"))


def test_without_a_ttl_a_value_stays(client_sync):
    assert client_sync.get_or_compute("k", Source(1), None, stale_for=60) == 1
    assert client_sync.get_or_compute("k", Source(), None, stale_for=60) == 1


def test_a_ttl_that_is_over_computes_every_time(client_sync):
    source = Source(1, 2)
    assert client_sync.get_or_compute("k", source, 0) == 1
    assert client_sync.get_or_compute("k", source, -1, stale_for=60) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale_for": -1},
        {"stale_for": 30 * 86400 + 1},
        {"lease_ttl": 0},
        {"lease_ttl": 30 * 86400 + 1},
        {"wait": 0},
        {"wait": "long"},
    ],
    ids=str,
)
def test_wrong_terms_are_refused_before_anything_is_computed(client_sync, wrong):
    (name,) = wrong
    with pytest.raises(InvalidArgument, match=name):
        client_sync.get_or_compute("k", Source(), 60, **wrong)
    with pytest.raises(InvalidArgument, match=name):
        client_sync.cached(60, key="k", **wrong)


def test_a_decorator_refuses_a_ttl_that_is_none_at_once(client_sync):
    with pytest.raises(InvalidArgument, match="ttl"):
        client_sync.cached("60", key="k")


def test_a_decorated_function_is_computed_once_for_each_key(client_sync):
    calls = []

    @client_sync.cached(60, key="user:{user_id}:{fields}")
    def load(user_id: int, fields: str = "all") -> list[object]:
        """Load a user."""
        calls.append(user_id)
        return [user_id, fields]

    assert load.__name__ == "load"
    assert load.__doc__ == "Load a user."
    assert load(1) == [1, "all"]
    assert load(user_id=1, fields="all") == [1, "all"]
    assert load(2, "name") == [2, "name"]
    assert calls == [1, 2]
    assert client_sync.get("user:1:all") == [1, "all"]


def test_a_decorator_takes_a_callable_for_the_key(client_sync):
    @client_sync.cached(60, key=lambda user: f"user:{user['id']}", stale_for=5, lease_ttl=5, wait=1)
    def load(user: dict[str, int]) -> int:
        return user["id"]

    assert load({"id": 7}) == 7
    assert client_sync.get("user:7") == 7


@pytest.mark.parametrize("stale_for", [0, 60])
def test_with_the_server_gone_values_are_computed_here(protocol, stale_for, make_sync):
    with MemcachedServer() as mortal:
        client = make_sync(mortal.url, protocol=protocol, on_error="miss", timeout=1)
        mortal.stop()
    source = Source(1, 2)
    assert client.get_or_compute("k", source, 60, stale_for=stale_for) == 1
    assert client.get_or_compute("k", source, 60, stale_for=stale_for) == 2
    assert client.client_stats().outages == 2
    assert client.client_stats().computed == 2


def test_an_outage_while_computing_does_not_compute_twice(protocol, make_sync):
    with MemcachedServer() as mortal:
        client = make_sync(mortal.url, protocol=protocol, on_error="miss", timeout=1)
        source = Source("value")

        def compute():
            mortal.stop()
            return source()

        assert client.get_or_compute("k", compute, 60) == "value"
        assert source.asked == 1
        assert client.client_stats().outages == 1
