"""A keyed pool for threads: what it shares among keys, and what it forgets."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator

import pytest

from cenote import (
    ConfigurationError,
    KeyedPool,
    LeaseError,
    NestedAcquire,
    Observer,
    PoolClosed,
    PoolTimeout,
)
from tests.patience import until

PATIENCE = 30.0


class Conn:
    """A connection to a key that knows whether it is open, and how many were at once."""

    def __init__(self, backend: Backend, key: str) -> None:
        self.backend, self.key, self.is_open, self.owner = backend, key, True, 0

    def close(self) -> None:
        assert self.is_open, "closed twice"
        self.is_open = False
        self.backend.ended(self.key)


class Backend:
    """Hands out connections, and counts them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_in_all = 0
        self.opened = 0
        self.asked: list[str] = []
        self.down: set[str] = set()

    def connector(self, key: str) -> Connecting:
        self.asked.append(key)
        return Connecting(self, key)

    def ended(self, key: str) -> None:
        with self.lock:
            self.now[key] -= 1


class Connecting:
    """The connector of one key."""

    def __init__(self, backend: Backend, key: str) -> None:
        self.backend, self.key = backend, key

    def connect(self, timeout: float) -> Conn:
        backend = self.backend
        if self.key in backend.down:
            raise OSError("refused")
        with backend.lock:
            backend.opened += 1
            backend.now[self.key] += 1
            backend.most[self.key] = max(backend.most[self.key], backend.now[self.key])
            backend.most_in_all = max(backend.most_in_all, sum(backend.now.values()))
        return Conn(backend, self.key)

    def close(self, conn: Conn) -> None:
        conn.close()


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def pools() -> Iterator[list[KeyedPool[str, Conn]]]:
    """Pools to be closed at the end."""
    made: list[KeyedPool[str, Conn]] = []
    yield made
    for pool in made:
        pool.close(PATIENCE)


def test_a_key_is_connected_to_by_its_own_connector_and_its_connection_used_again(
    backend: Backend,
) -> None:
    with KeyedPool(backend.connector) as pool:
        with pool.connection("a") as first:
            assert first.key == "a"
        with pool.connection("b") as other:
            assert other.key == "b"
        with pool.connection("a") as again:
            assert again is first
        assert backend.asked == ["a", "b"]
        assert sorted(pool.keys()) == ["a", "b"]
    assert not first.is_open
    assert not other.is_open


def test_acquire_and_release_find_the_key_of_a_connection_by_themselves(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool:
        one, other = pool.acquire("a"), pool.acquire("b")
        pool.release(one)
        pool.release(other)
        assert pool.stats().used == 0
        with pytest.raises(LeaseError, match="released twice, or foreign"):
            pool.release(one)


def test_a_connection_of_another_pool_is_refused(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool, KeyedPool(backend.connector) as other:
        conn = pool.acquire("a")
        with pytest.raises(LeaseError):
            other.release(conn)
        with pytest.raises(LeaseError):
            other.detach(conn)
        pool.release(conn)


@pytest.mark.parametrize("how", ["acquire", "connection"])
def test_a_connection_is_detached_from_whichever_key_it_is_of(backend: Backend, how: str) -> None:
    with KeyedPool(backend.connector, max_total=1) as pool:
        if how == "acquire":
            conn = pool.detach(pool.acquire("a"))
        else:
            with pool.connection("a") as conn:
                pool.detach(conn)
        assert pool.stats().detached == 1
        assert not pool.keys()  # its slot is free, its key forgotten
        with pool.connection("b"):
            pass
    assert conn.is_open
    conn.close()


def test_the_connection_that_was_idle_longest_makes_room_for_another_key(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=2) as pool:
        for key in "aba":
            with pool.connection(key):
                pass
        with pool.connection("c"):
            assert sorted(pool.keys()) == ["a", "c"]
        assert pool.stats().closed["evicted"] == 1
        assert pool.stats().size == 2
    assert backend.most_in_all == 2


def test_a_key_has_at_most_its_share_and_all_keys_at_most_the_total(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=3, max_per_key=2) as pool:
        held = [pool.acquire("a"), pool.acquire("a")]
        with pytest.raises(PoolTimeout, match=r"2/2 in use.*raise max_per_key"):
            pool.acquire("a", timeout=0)
        held.append(pool.acquire("b"))
        message = r"3/3 slots of all keys taken, longest held .*raise max_total"
        with pytest.raises(PoolTimeout, match=message) as caught:
            pool.acquire("b", timeout=0)
        assert caught.value.pool == f"{pool.name}[b]"
        for conn in held:
            pool.release(conn)


def test_keys_without_a_share_of_their_own_may_have_all_there_is(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=3, max_per_key=None) as pool:
        held = [pool.acquire("a") for _ in range(3)]
        assert pool.try_acquire("a") is None
        for conn in held:
            pool.release(conn)


def test_a_waiting_key_gets_the_slot_of_a_connection_that_comes_back(
    backend: Backend, pools: list[KeyedPool[str, Conn]]
) -> None:
    pool = KeyedPool(backend.connector, max_total=1, turn_after=1e6)
    pools.append(pool)
    held, got = pool.acquire("a"), []
    thread = threading.Thread(target=lambda: got.append(pool.acquire("b", timeout=PATIENCE)))
    thread.start()
    until(lambda: pool.stats().waiting == 1)
    pool.release(held)
    thread.join(PATIENCE)
    assert [conn.key for conn in got] == ["b"]
    assert not held.is_open
    pool.release(got[0])


def test_no_key_starves_beside_one_that_is_always_busy(
    backend: Backend, pools: list[KeyedPool[str, Conn]]
) -> None:
    pool = KeyedPool(backend.connector, max_total=2, max_per_key=2, turn_after=0.01, timeout=None)
    pools.append(pool)
    served: Counter[str] = Counter()
    enough = threading.Event()

    def use(key: str) -> None:
        while not enough.is_set():
            with pool.connection(key) as conn:
                assert conn.key == key
                served[key] += 1
                time.sleep(0)

    busy = [threading.Thread(target=use, args=("busy",)) for _ in range(5)]
    others = [threading.Thread(target=use, args=(key,)) for key in "abc"]
    for thread in [*busy, *others]:
        thread.start()
    try:
        until(lambda: all(served[key] >= 5 for key in "abc"))
    finally:
        enough.set()
        for thread in [*busy, *others]:
            thread.join(PATIENCE)
    assert backend.most_in_all <= 2


def test_a_key_of_which_nothing_is_left_is_forgotten_and_its_counts_are_not(
    backend: Backend,
) -> None:
    with KeyedPool(backend.connector, max_total=1) as pool:
        for number in range(20):
            with pool.connection(f"key-{number}"):
                assert len(pool.keys()) <= 2  # its own, and the one that is going
        stats = pool.stats()
        assert (stats.acquired, stats.created) == (20, 20)
        until(lambda: pool.keys() == ["key-19"])
        assert list(pool.stats_by_key()) == ["key-19"]
        assert len(pool.keyring.members) == 1


def test_a_lease_made_before_its_key_was_forgotten_serves_all_the_same(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=1) as pool:
        with pool.connection("a"):
            pass
        lease = pool.connection("a")
        with pool.connection("b"):
            until(lambda: pool.keys() == ["b"])
        with lease as conn:
            assert conn.key == "a"
            assert pool.stats_by_key()["a"].used == 1
        assert backend.asked == ["a", "b"]


def test_a_forgotten_key_leaves_no_object_behind(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=1) as pool:
        with pool.connection("a"):
            ghost = weakref.ref(pool.keyring.fronts["a"])
        with pool.connection("b"):
            pass
        until(lambda: gc.collect() >= 0 and ghost() is None)


def test_a_key_that_can_not_be_reached_keeps_its_back_off_until_others_come_much_later(
    backend: Backend,
) -> None:
    now = [1000.0]
    backend.down.add("a")
    with KeyedPool(backend.connector, backoff_cap=4.0, clock=lambda: now[0]) as pool:
        with pytest.raises(PoolTimeout):
            pool.acquire("a", timeout=0)
        until(lambda: pool.stats().create_errors == 1)
        pool.front("b")
        assert pool.keys() == ["a"], "its back-off was forgotten"
        now[0] += 5.0
        pool.front("c")
        assert pool.keys() == []
        assert pool.stats().create_errors == 1


def test_one_key_or_all_are_invalidated(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool:
        for key in "ab":
            with pool.connection(key):
                pass
        pool.invalidate_all("a")
        until(lambda: pool.keys() == ["b"])
        pool.invalidate_all()
        until(lambda: pool.keys() == [])
        assert pool.stats().closed["invalidated"] == 2


def test_a_pause_holds_for_keys_that_come_later_too(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool:
        with pool.connection("a"):
            pass
        pool.pause()
        for key in "ab":
            with pytest.raises(PoolTimeout, match="the pool is paused"):
                pool.acquire(key, timeout=0)
        pool.resume()
        for key in "ab":
            with pool.connection(key, PATIENCE):
                pass


def test_lower_limits_close_what_is_idle_and_what_comes_back(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=4, max_per_key=4) as pool:
        held = [pool.acquire(key) for key in "aabc"]
        pool.release(held.pop())
        pool.resize(2, 1)
        until(lambda: pool.stats().size == 3)
        for conn in held:
            pool.release(conn)
        until(lambda: pool.stats().size <= 2)
        assert all(stats.size <= 1 for stats in pool.stats_by_key().values())
        with pytest.raises(ConfigurationError, match="max_total=0"):
            pool.resize(0, 1)


def test_the_holders_of_all_keys_are_told_longest_first(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool:
        with pool.connection("a"), pool.connection("b"):
            holders = pool.holders()
        assert {(holder.key, holder.who) for holder in holders} == {
            ("a", "MainThread"),
            ("b", "MainThread"),
        }
        assert holders[0].seconds >= holders[1].seconds


def test_closing_closes_every_key_within_one_timeout_and_refuses_whoever_comes(
    backend: Backend,
) -> None:
    pool = KeyedPool(backend.connector)
    held = [pool.acquire(key) for key in "abc"]
    pool.release(held.pop())
    report = pool.close(timeout=0.05)
    assert report.abandoned == 2
    assert {holder.key for holder in report.holders} == {"a", "b"}
    assert report.seconds < PATIENCE
    for key in ("a", "z"):
        with pytest.raises(PoolClosed, match="stays closed"):
            pool.acquire(key)
    for conn in held:
        pool.release(conn)
    until(lambda: not sum(backend.now.values()))
    assert pool.close().complete
    with pytest.raises(PoolClosed):
        pool.open()


def test_draining_serves_those_who_wait_and_refuses_newcomers(backend: Backend) -> None:
    with KeyedPool(backend.connector, max_total=1) as pool:
        held = pool.acquire("a")
        assert not pool.drain(timeout=0)
        with pytest.raises(PoolClosed):
            pool.acquire("b")
        pool.release(held)
        assert pool.drain(timeout=PATIENCE)


def test_a_keyed_pool_that_is_dropped_says_what_it_leaves_open(backend: Backend) -> None:
    pools = [KeyedPool(backend.connector, name="dropped")]
    with pools[0].connection("a") as conn:
        pass
    with pytest.warns(ResourceWarning, match=r"'dropped\[a\]' was dropped with 1 connections"):
        _drop(pools, conn)  # a thread that opened it may still have its pool in hand


def test_a_keyed_pool_that_is_dropped_as_soon_as_it_is_closed_closes_what_it_had(
    backend: Backend,
) -> None:
    pools = [KeyedPool(backend.connector)]
    with pools[0].connection("a") as conn:
        pass
    pools[0].close(timeout=0.0)
    _drop(pools, conn)


def _drop(pools: list[KeyedPool[str, Conn]], conn: Conn) -> None:
    pools.clear()
    until(lambda: not conn.is_open)


def test_observers_are_told_of_each_key_by_name(backend: Backend) -> None:
    class Ears(Observer):
        heard: list[str] = []  # noqa: RUF012 - one for the test

        def connected(self, pool: str, seconds: float) -> None:
            self.heard.append(pool)

    with KeyedPool(backend.connector, name="web", observer=Ears()) as pool:
        for key in "ab":
            with pool.connection(key):
                pass
    assert Ears.heard == ["web[a]", "web[b]"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_total": 0}, "max_total=0"),
        ({"max_per_key": 0}, "max_per_key=0"),
        ({"turn_after": -1.0}, "turn_after=-1.0"),
        ({"max_connecting": 0}, "max_connecting=0"),
    ],
)
def test_options_out_of_range_are_refused(
    backend: Backend, wrong: dict[str, float], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        KeyedPool(backend.connector, **wrong)  # type: ignore[arg-type]


def test_a_connector_for_a_key_that_raises_changes_nothing(backend: Backend) -> None:
    def choosy(key: str) -> Connecting:
        if key == "bad":
            raise LookupError(key)
        return backend.connector(key)

    with KeyedPool(choosy) as pool:
        with pytest.raises(LookupError):
            pool.acquire("bad")
        assert pool.keys() == []
        with pool.connection("good"):
            pass


def test_a_thread_that_would_wait_for_a_slot_that_its_other_key_holds_is_told(
    backend: Backend,
) -> None:
    with KeyedPool(backend.connector, max_total=1, nested="error") as pool:
        with pool.connection("a"), pytest.raises(NestedAcquire, match="raise max_total"):
            pool.acquire("b")
        with pool.connection("b"):  # the idle one of "a" makes room
            pass


def test_a_thread_that_would_wait_for_itself_at_one_key_is_told(backend: Backend) -> None:
    with (
        KeyedPool(backend.connector, max_per_key=1, nested="error") as pool,
        pool.connection("a"),
        pool.connection("b"),
        pytest.raises(NestedAcquire, match="raise max_per_key"),
    ):
        pool.acquire("a")


def test_a_forked_child_begins_anew_and_the_parent_keeps_what_it_has(backend: Backend) -> None:
    with KeyedPool(backend.connector) as pool:
        with pool.connection("a") as idle:
            pass
        held = pool.acquire("b")
        child = os.fork()
        if not child:  # pragma: no cover - in the child
            os._exit(_as_expected(pool, held))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert idle.is_open
        pool.release(held)
        with pool.connection("a") as again:
            assert again is idle


def _as_expected(pool: KeyedPool[str, Conn], held: Conn) -> int:
    try:
        assert pool.keys() == []
        assert pool.stats().size == 0
        with pytest.raises(LeaseError):
            pool.release(held)
        with pool.connection("a") as conn:
            assert conn.key == "a"
        pool.close()
    except BaseException:
        return 1
    return 0


def test_many_threads_on_many_keys_never_meet_on_a_connection_nor_exceed_a_limit(
    backend: Backend, pools: list[KeyedPool[str, Conn]]
) -> None:
    pool = KeyedPool(backend.connector, max_total=4, max_per_key=2, timeout=None, turn_after=0.01)
    pools.append(pool)
    wrong: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for turn in range(150):
                key = "abcdef"[(number + turn // 10) % 6]
                with pool.connection(key) as conn:
                    assert (conn.key, conn.owner, conn.is_open) == (key, 0, True)
                    conn.owner = number
                    time.sleep(0)
                    assert conn.owner == number
                    conn.owner = 0
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
    stats = pool.stats()
    assert stats.acquired == stats.released == 8 * 150
    assert backend.most_in_all <= 4
    assert max(backend.most.values()) <= 2
