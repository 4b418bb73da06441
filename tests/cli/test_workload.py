"""Who is looked up: skewed, repeatable, with the same share of newcomers for everybody."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from cenote.cli.demo.workload import CATALOGUE, NEWCOMER_EVERY, Workload, measured_origin


@pytest.fixture
def workload() -> Workload:
    return Workload("test")


def test_a_worker_looks_up_the_same_users_every_time(workload: Workload) -> None:
    first = list(islice(workload.lookups(3), 1000))
    assert first == list(islice(workload.lookups(3), 1000))
    assert first != list(islice(workload.lookups(4), 1000))


def test_a_few_users_are_asked_for_most(workload: Workload) -> None:
    asked = Counter(islice(workload.lookups(0), 10_000))
    popular = sum(asked[user] for user in range(CATALOGUE // 100))
    assert popular > 10_000 * 0.3


def test_the_popular_users_are_the_same_for_all_workers(workload: Workload) -> None:
    for worker in range(4):
        assert Counter(islice(workload.lookups(worker), 5000)).most_common(1)[0][0] == 0


@pytest.mark.parametrize("worker", [0, 1, 255])
def test_one_lookup_in_so_many_is_of_a_user_nobody_asked_for_before(
    workload: Workload, worker: int
) -> None:
    users = list(islice(workload.lookups(worker), 20 * NEWCOMER_EVERY))
    new = [user for user in users if user > CATALOGUE]
    assert len(new) == len(set(new)) == 20


def test_workers_never_share_a_newcomer(workload: Workload) -> None:
    seen = [
        {user for user in islice(workload.lookups(worker), 1000) if user > CATALOGUE}
        for worker in range(8)
    ]
    assert sum(map(len, seen)) == len(set().union(*seen))


def test_everybody_but_newcomers_is_in_the_catalogue(workload: Workload) -> None:
    catalogue = workload.catalogue()
    users = islice(workload.lookups(5), 3000)
    assert all(workload.key(user) in catalogue for user in users if user < CATALOGUE)


def test_a_record_carries_its_own_key(workload: Workload) -> None:
    record = workload.compute(42)
    assert json.loads(record)["key"] == workload.key(42)
    assert workload.belongs(42, record)


def test_the_origin_always_says_the_same_of_a_user(workload: Workload) -> None:
    assert workload.compute(42) == workload.compute(42)
    assert workload.compute(42) != workload.compute(43)


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"key": "test:user:43"}', b'{"key": "test:user:420"}', b"\xff"]
)
def test_a_record_of_anybody_else_is_recognised(workload: Workload, data: bytes) -> None:
    assert not workload.belongs(42, data)


def test_phases_share_no_key() -> None:
    assert not Workload("a").catalogue().keys() & Workload("b").catalogue().keys()


def test_the_cost_of_the_origin_is_measured() -> None:
    assert 0 < measured_origin(3) < 1
