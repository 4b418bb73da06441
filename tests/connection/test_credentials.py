"""Credentials: what they are, that nothing repeats them, and how they are asked for."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from functools import partial
from time import monotonic

import pytest

from cenote.connection import Credentials, credentials_aio, credentials_sync
from cenote.errors import ConfigurationError, OperationTimeout

SECRET = Credentials("ann", "s3cret")


def ask_sync(source, seconds=5.0):
    now = monotonic()
    return credentials_sync.ask(source, "host:1", now, now + seconds)


def test_credentials_hide_their_password() -> None:
    for text in (repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r:>5}", f"{[SECRET]}"):
        assert "ann" in text
        assert "s3cret" not in text


def test_credentials_are_equal_when_both_parts_are() -> None:
    assert Credentials("ann", "s3cret") == SECRET
    assert hash(Credentials("ann", "s3cret")) == hash(SECRET)
    assert Credentials("ann", "other") != SECRET
    assert Credentials("bob", "s3cret") != SECRET
    assert SECRET != ("ann", "s3cret")


def test_credentials_never_change() -> None:
    with pytest.raises(AttributeError):
        SECRET.password = "other"
    with pytest.raises(AttributeError):
        del SECRET.user


def test_credentials_survive_pickling_and_copying() -> None:
    assert pickle.loads(pickle.dumps(SECRET)) == SECRET
    assert copy.deepcopy(SECRET) == SECRET


@pytest.mark.parametrize(
    ("user", "password", "says"),
    [
        ("", "s3cret", "user name is empty"),
        ("ann", "", "password is empty"),
        (b"ann", "s3cret", "user name is a str, not bytes"),
        ("ann", b"s3cret", "password is a str, not bytes"),
        ("ann", None, "not NoneType"),
        ("ann", "s3cret\0", "NUL"),
        ("ann", "s3cret\ud800", "UTF-8"),
    ],
)
def test_what_can_be_no_credentials_is_refused_without_being_repeated(user, password, says) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Credentials(user, password)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given", [None, SECRET])
async def test_what_is_given_is_not_asked_for(given) -> None:
    assert ask_sync(given) is given
    assert await credentials_aio.ask(given) is given


async def test_a_callable_is_asked_each_time() -> None:
    rotating = iter([Credentials("ann", "1"), Credentials("ann", "2")])
    assert [ask_sync(lambda: next(rotating)).password for _ in range(2)] == ["1", "2"]
    rotating = iter([Credentials("ann", "1"), Credentials("ann", "2")])
    answers = [await credentials_aio.ask(lambda: next(rotating)) for _ in range(2)]
    assert [answer.password for answer in answers if answer] == ["1", "2"]


async def test_asyncio_awaits_coroutine_functions_in_the_loop() -> None:
    async def source():
        assert asyncio.get_running_loop() is loop
        return SECRET

    class Vault:
        async def __call__(self):
            return await source()

    loop = asyncio.get_running_loop()
    assert await credentials_aio.ask(source) is SECRET
    assert await credentials_aio.ask(Vault()) is SECRET
    assert await credentials_aio.ask(partial(source)) is SECRET


async def test_asyncio_calls_plain_functions_in_a_thread() -> None:
    async def names() -> list[int]:
        asked: list[int] = []

        def source() -> Credentials:
            asked.append(threading.get_ident())
            return SECRET

        await credentials_aio.ask(source)
        return asked

    assert await names() != [threading.get_ident()]


async def test_what_a_callable_raises_is_raised() -> None:
    def source():
        raise LookupError("the vault is sealed")

    with pytest.raises(LookupError, match="sealed"):
        ask_sync(source)
    with pytest.raises(LookupError, match="sealed"):
        await credentials_aio.ask(source)


async def test_a_callable_that_returns_something_else_is_an_error_that_does_not_repeat_it() -> None:
    def source():
        return ("ann", "s3cret")

    for ask in (ask_sync, lambda source: asyncio.run(credentials_aio.ask(source))):
        with pytest.raises(ConfigurationError, match=r"tuple: it must return") as caught:
            await asyncio.to_thread(ask, source)
        assert "s3cret" not in str(caught.value)


def test_threads_can_not_ask_a_coroutine_function() -> None:
    async def source():
        return SECRET

    with pytest.raises(ConfigurationError, match="use AsyncClient"):
        ask_sync(source)


def test_a_callable_that_hangs_costs_no_more_than_the_deadline() -> None:
    never = threading.Event()

    def source():
        never.wait()
        return SECRET

    with pytest.raises(OperationTimeout, match=r"credentials\(\)") as caught:
        ask_sync(source, 0.05)
    assert caught.value.phase == "connect"
    never.set()
