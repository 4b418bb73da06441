"""Pools and clients belong to their process: who copies or pickles one is told so."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

import cenote


class Link:
    """Something that is dear to open."""

    def close(self) -> None:
        """Nothing to be let go of."""


async def open_link() -> Link:
    return Link()


def of_a_key(_key: object) -> Callable[[], Link]:
    return Link


MAKERS: list[Callable[[], object]] = [
    lambda: cenote.Client("localhost"),
    lambda: cenote.AsyncClient("localhost"),
    lambda: cenote.Pool(Link),
    lambda: cenote.AsyncPool(open_link),
    lambda: cenote.KeyedPool(of_a_key),
    lambda: cenote.AsyncKeyedPool(lambda _key: open_link),
    lambda: cenote.ThreadMappedPool(Link),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_holds_connections_is_not_duplicated(
    make: Callable[[], object], duplicate: Callable[[object], object]
) -> None:
    original = make()
    with pytest.raises(TypeError, match=r"^<\w+ .*> can not be copied or pickled"):
        duplicate(original)
