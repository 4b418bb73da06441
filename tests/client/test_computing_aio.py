"""get_or_compute on a real server: one computes, the others wait or are given the old value."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import cenote
from cenote.client.aio import AsyncClient
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
from tests.client.together_aio import Gate, together
from tests.patience import PATIENCE

PROTOCOLS = ("meta", "classic", "binary")


class Source:
    """Computes values, and counts how often it was asked to."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)
        self.asked = 0

    async def __call__(self) -> object:
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

    async def __call__(self) -> object:
        self.asked += 1
        self.begun.set()
        await self.may_end.wait()
        return self.value


VALUES = [b"", b"bytes", "", "text", 0, False, None, [1], {"a": 1}]


@pytest.mark.parametrize("stale_for", [0, 60])
@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_is_computed_once_and_then_read(client_aio, value, stale_for):
    source = Source(value)
    for _ in range(3):
        read = await client_aio.get_or_compute("k", source, 60, stale_for=stale_for)
        assert read == value
        assert type(read) is type(value)
    assert source.asked == 1
    assert await client_aio.get("k", "nothing") == value
    assert client_aio.client_stats().computed == 1


async def test_a_value_in_the_place_of_what_makes_it_is_refused(client_aio):
    with pytest.raises(InvalidArgument, match="compute is a function that makes the value, not in"):
        await client_aio.get_or_compute("k", 7, 60)


async def test_a_plain_function_computes_too(client_aio):
    assert await client_aio.get_or_compute("k", lambda: 7, 60) == 7
    assert await client_aio.get("k") == 7


async def test_a_value_written_by_set_is_read(client_aio):
    await client_aio.set("k", 1)
    assert await client_aio.get_or_compute("k", Source(), 60) == 1


async def test_with_stale_for_a_value_without_a_limit_is_never_due(server):
    async with AsyncClient(server.url, protocol="meta", **PATIENCE) as client:
        await client.set("k", 1)
        assert await client.get_or_compute("k", Source(), 60, stale_for=60) == 1


async def test_on_a_classic_server_a_value_of_unknown_age_is_due(server):
    async with AsyncClient(server.url, protocol="classic", **PATIENCE) as client:
        await client.set("k", 1)
        await client.delete(marker_of(b"k"))
        assert await client.get_or_compute("k", Source(2), 60, stale_for=60) == 2


@pytest.mark.parametrize("stale_for", [0, 60])
async def test_of_many_who_miss_at_once_one_computes(client_aio, stale_for):
    slow = Slow("value")

    async def look():
        return await client_aio.get_or_compute("k", slow, 60, stale_for=stale_for)

    async def let_it_end():
        await slow.begun.wait()
        slow.may_end.set()
        return "value"

    assert await together(*[look] * 24, let_it_end) == ["value"] * 25
    assert slow.asked == 1


async def test_a_lease_is_no_value_to_anybody(client_aio):
    """Memcached makes an empty item of a lease; plain reads must not take it for a value."""
    slow = Slow("value")

    async def look():
        return await client_aio.get_or_compute("k", slow, 60)

    async def read_meanwhile():
        await slow.begun.wait()
        assert await client_aio.get("k", "nothing") == "nothing"
        assert await client_aio.gets("k") is None
        assert await client_aio.gat("k", 60, "nothing") == "nothing"
        assert await client_aio.get_many(["k"]) == {}
        assert await client_aio.append("k", b"x") is False
        slow.may_end.set()
        return "read"

    assert await together(look, read_meanwhile) == ["value", "read"]
    assert client_aio.client_stats().unreadable == 0
    assert await client_aio.get("k") == "value"


async def test_the_old_value_is_served_while_one_computes_the_new(client_aio):
    """A value is due as soon as it has less than ``stale_for`` left."""
    assert await client_aio.get_or_compute("k", Source("old"), 1, stale_for=60) == "old"
    slow = Slow("new")

    async def look():
        return await client_aio.get_or_compute("k", slow, 1, stale_for=90)

    async def look_meanwhile():
        await slow.begun.wait()
        others = [await look() for _ in range(5)]
        slow.may_end.set()
        return others

    await client_aio.delete(marker_of(b"k"))
    assert await together(look, look_meanwhile) == ["new", ["old"] * 5]
    assert slow.asked == 1
    assert await client_aio.get("k") == "new"


async def test_an_error_goes_to_its_caller_alone_and_the_next_in_turn_computes(client_aio):
    source = Source(ZeroDivisionError("mine"), "value")
    with pytest.raises(ZeroDivisionError, match="mine"):
        await client_aio.get_or_compute("k", source, 60)
    assert await client_aio.get_or_compute("k", source, 60) == "value"
    assert source.asked == 2


async def test_those_who_wait_take_over_from_one_that_failed(client_aio):
    source = Source(ZeroDivisionError("mine"), "value")

    async def look():
        try:
            return await client_aio.get_or_compute("k", source, 60, lease_ttl=30)
        except ZeroDivisionError:
            return "failed"

    results = await together(*[look] * 8)
    assert sorted(results) == ["failed"] + ["value"] * 7
    assert source.asked == 2


async def test_an_old_value_survives_a_computation_that_failed(client_aio):
    await client_aio.get_or_compute("k", Source("old"), 1, stale_for=600)
    await client_aio.delete(marker_of(b"k"))
    with pytest.raises(ZeroDivisionError):
        await client_aio.get_or_compute("k", Source(ZeroDivisionError()), 1, stale_for=900)
    assert await client_aio.get("k") == "old"
    assert await client_aio.get_or_compute("k", Source("new"), 1, stale_for=900) == "new"


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
async def test_what_ends_a_lease_while_it_is_looked_at_is_read(
    server, make_aio, command, asked, answer
):
    """The empty item that was seen first is nobody's value, also when a value has replaced it."""
    writer = cenote.Client(server.url, protocol="meta", **PATIENCE)
    writer.flush_all()

    async def compute() -> str:
        ttl = (60,) if command.startswith("gat") else ()
        found = await getattr(reader, command)(asked, *ttl)
        assert (found.value if command == "gets" else found) == answer
        return "outdated"

    with FaultProxy(server.endpoint) as proxy, writer:
        reader = make_aio("{}:{}".format(*proxy.address), protocol="meta")
        proxy.requests = Meanwhile(b"mg k ", lambda: writer.set("k", "value"))
        assert await make_aio(server.url).get_or_compute("k", compute, 60) == "outdated"


async def test_a_value_that_can_not_be_stored_gives_the_lease_back(client_aio):
    with pytest.raises(NotSerializable):
        await client_aio.get_or_compute("k", Source(object()), 60, lease_ttl=30)
    assert await client_aio.get_or_compute("k", Source(1), 60) == 1


@pytest.mark.parametrize("stale_for", [0, 60])
async def test_a_value_over_the_servers_limit_is_told_and_gives_the_lease_back(
    client_aio, stale_for
):
    """With ``stale_for``, what is not stored must not be marked as fresh either."""
    source = Source(b"x" * 1100000, "small")
    with pytest.raises(ValueTooLarge):
        await client_aio.get_or_compute("k", source, 60, stale_for=stale_for, lease_ttl=30)
    assert await client_aio.get(marker_of(b"k")) is None
    found = await client_aio.get_or_compute("k", source, 60, stale_for=stale_for, wait=0.1)
    assert found == "small"


async def test_an_old_value_whose_successor_is_refused_is_still_due(client_aio):
    await client_aio.get_or_compute("k", Source("old"), 1, stale_for=600)
    await client_aio.delete(marker_of(b"k"))
    source = Source(b"x" * 1100000, "new")
    with pytest.raises(ValueTooLarge):
        await client_aio.get_or_compute("k", source, 1, stale_for=900, lease_ttl=30)
    assert await client_aio.get_or_compute("k", source, 1, stale_for=900, wait=0.1) == "new"


async def test_a_server_out_of_memory_gives_the_lease_back(small_server, protocol, make_aio):
    client = make_aio(small_server.url, protocol=protocol)
    await client.set("k", "small enough for a lease")
    await client.set_many({f"other{number}": b"x" * 500_000 for number in range(40)})
    await client.delete("k")
    source = Source(b"x" * 500_000, "small")
    with pytest.raises(OutOfMemory):
        await client.get_or_compute("k", source, 60, lease_ttl=30)
    assert await client.get_or_compute("k", source, 60, wait=0.1) == "small"


async def test_whatever_interrupts_a_computation_gives_the_lease_back(client_aio):
    class Interrupted(BaseException):
        """As a signal handler raises it."""

    with pytest.raises(Interrupted):
        await client_aio.get_or_compute("k", Source(Interrupted()), 60, lease_ttl=30)
    assert await client_aio.get_or_compute("k", Source("value"), 60, wait=0.1) == "value"


@pytest.mark.parametrize("stale_for", [0, 60])
async def test_a_meta_clients_lease_is_no_value_to_a_classic_client(server, make_aio, stale_for):
    """It looks like an empty ``bytes`` value: both compute, nobody is given a wrong value."""
    meta = make_aio(server.url, protocol="meta")
    classic = make_aio(server.url, protocol="classic")
    await meta.flush_all()

    async def compute() -> str:
        found = await classic.get_or_compute("k", Source("by classic"), 60, stale_for=stale_for)
        assert found == "by classic"
        return "by meta"

    assert await meta.get_or_compute("k", compute, 60, stale_for=stale_for) == "by meta"
    assert await classic.get("k") == "by classic"


async def test_a_delete_while_a_value_is_computed_is_not_undone(client_aio):
    async def compute():
        assert await client_aio.delete("k") is True
        return "outdated"

    assert await client_aio.get_or_compute("k", compute, 60) == "outdated"
    assert await client_aio.get("k") is None


async def test_a_write_while_a_value_is_computed_is_not_undone(client_aio):
    async def compute():
        await client_aio.set("k", "newer")
        return "outdated"

    assert await client_aio.get_or_compute("k", compute, 60) == "outdated"
    assert await client_aio.get("k") == "newer"


async def test_a_lease_whose_holder_died_lapses(client_aio, server, protocol):
    """Its holder is closed in the middle of computing, and gives nothing back."""
    async with AsyncClient(server.url, protocol=protocol, **PATIENCE) as dying:

        async def compute():
            await dying.close()
            return "lost"

        with pytest.raises(Exception, match="closed"):
            await dying.get_or_compute("k", compute, 60, lease_ttl=1)
    source = Source("value")
    assert await client_aio.get_or_compute("k", source, 60, wait=8) == "value"
    assert source.asked == 1


async def test_who_has_waited_long_enough_is_told(client_aio):
    slow = Slow("value")

    async def look():
        return await client_aio.get_or_compute("k", slow, 60)

    async def wait_in_vain():
        await slow.begun.wait()
        with pytest.raises(OperationTimeout, match=r"'k' did not come within 0\.05 s"):
            await client_aio.get_or_compute("k", Source(), 60, wait=0.05)
        slow.may_end.set()
        return "told"

    assert await together(look, wait_in_vain) == ["value", "told"]


async def test_a_value_nobody_here_can_read_is_computed_anew(client_aio, server, protocol):
    class Foreign:
        def dumps(self, value, /):
            return b"\x80", 9

        def loads(self, data, flags, /):
            return data

    async with AsyncClient(server.url, protocol=protocol, serde=Foreign()) as foreign:
        for stale_for in (0, 60):
            await foreign.set("k", None, 60)
            source = Source("value")
            with pytest.warns(UnknownFlagsWarning):
                found = await client_aio.get_or_compute("k", source, 60, stale_for=stale_for)
            assert found == "value"
            assert await client_aio.get("k") == "value"
            await client_aio.delete("k")
            await client_aio.delete(marker_of(b"k"))


async def test_without_a_ttl_a_value_stays(client_aio):
    assert await client_aio.get_or_compute("k", Source(1), None, stale_for=60) == 1
    assert await client_aio.get_or_compute("k", Source(), None, stale_for=60) == 1


async def test_a_ttl_that_is_over_computes_every_time(client_aio):
    source = Source(1, 2)
    assert await client_aio.get_or_compute("k", source, 0) == 1
    assert await client_aio.get_or_compute("k", source, -1, stale_for=60) == 2


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
async def test_wrong_terms_are_refused_before_anything_is_computed(client_aio, wrong):
    (name,) = wrong
    with pytest.raises(InvalidArgument, match=name):
        await client_aio.get_or_compute("k", Source(), 60, **wrong)
    with pytest.raises(InvalidArgument, match=name):
        client_aio.cached(60, key="k", **wrong)


async def test_a_decorator_refuses_a_ttl_that_is_none_at_once(client_aio):
    with pytest.raises(InvalidArgument, match="ttl"):
        client_aio.cached("60", key="k")


async def test_a_decorated_function_is_computed_once_for_each_key(client_aio):
    calls = []

    @client_aio.cached(60, key="user:{user_id}:{fields}")
    async def load(user_id: int, fields: str = "all") -> list[object]:
        """Load a user."""
        calls.append(user_id)
        return [user_id, fields]

    assert load.__name__ == "load"
    assert load.__doc__ == "Load a user."
    assert await load(1) == [1, "all"]
    assert await load(user_id=1, fields="all") == [1, "all"]
    assert await load(2, "name") == [2, "name"]
    assert calls == [1, 2]
    assert await client_aio.get("user:1:all") == [1, "all"]


async def test_a_decorator_takes_a_callable_for_the_key(client_aio):
    @client_aio.cached(60, key=lambda user: f"user:{user['id']}", stale_for=5, lease_ttl=5, wait=1)
    async def load(user: dict[str, int]) -> int:
        return user["id"]

    assert await load({"id": 7}) == 7
    assert await client_aio.get("user:7") == 7


@pytest.mark.parametrize("stale_for", [0, 60])
async def test_with_the_server_gone_values_are_computed_here(protocol, stale_for, make_aio):
    with MemcachedServer() as mortal:
        client = make_aio(mortal.url, protocol=protocol, on_error="miss", timeout=1)
        mortal.stop()
    source = Source(1, 2)
    assert await client.get_or_compute("k", source, 60, stale_for=stale_for) == 1
    assert await client.get_or_compute("k", source, 60, stale_for=stale_for) == 2
    assert client.client_stats().outages == 2
    assert client.client_stats().computed == 2


async def test_an_outage_while_computing_does_not_compute_twice(protocol, make_aio):
    with MemcachedServer() as mortal:
        client = make_aio(mortal.url, protocol=protocol, on_error="miss", timeout=1)
        source = Source("value")

        async def compute():
            mortal.stop()
            return await source()

        assert await client.get_or_compute("k", compute, 60) == "value"
        assert source.asked == 1
        assert client.client_stats().outages == 1
