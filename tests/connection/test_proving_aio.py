"""SCRAM makes a key of the password by thousands of iterations: not on the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator

import pytest

from cenote.connection import Access, Credentials, TCPAddress
from cenote.connection.aio import connect
from cenote.errors import AuthenticationFailed, OperationTimeout
from cenote.testing.memcached import MemcachedServer

ACCESS = Access(protocol="binary", credentials=Credentials("ann", "s3cret"))


@pytest.fixture(scope="module")
def server() -> Iterator[MemcachedServer]:
    with MemcachedServer(sasl_users={"ann": "s3cret"}, sasl_mechanisms="scram-sha-256") as server:
        yield server


class Gate:
    """Holds up who makes a key of a password."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Event()
        self.open = threading.Event()
        self._work = hashlib.pbkdf2_hmac
        monkeypatch.setattr(hashlib, "pbkdf2_hmac", self)

    def __call__(self, digest: str, secret: bytes, salt: bytes, iterations: int) -> bytes:
        self.asked.set()
        assert self.open.wait(20), "the loop did not go on meanwhile"
        return self._work(digest, secret, salt, iterations)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def test_the_loop_goes_on_while_a_password_is_proved(
    server: MemcachedServer, gate: Gate
) -> None:
    connecting = asyncio.ensure_future(
        connect(TCPAddress("127.0.0.1", server.port), ACCESS, timeout=20)
    )
    await asyncio.to_thread(gate.asked.wait, 20)
    assert not connecting.done()
    gate.open.set()
    connection = await connecting
    assert connection.traits.binary
    connection.close()


async def test_it_ends_by_the_deadline_and_shows_no_secret(
    server: MemcachedServer, gate: Gate
) -> None:
    with pytest.raises(OperationTimeout, match="working out the proof") as caught:
        await connect(TCPAddress("127.0.0.1", server.port), ACCESS, timeout=1)
    gate.open.set()
    assert caught.value.phase == "connect"
    assert "s3cret" not in str(caught.value)


async def test_a_cancel_is_not_held_up(server: MemcachedServer, gate: Gate) -> None:
    connecting = asyncio.ensure_future(
        connect(TCPAddress("127.0.0.1", server.port), ACCESS, timeout=20)
    )
    await asyncio.to_thread(gate.asked.wait, 20)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    gate.open.set()


async def test_a_refusal_comes_through_as_it_is(server: MemcachedServer) -> None:
    wrong = Access(protocol="binary", credentials=Credentials("ann", "wr0ng"))
    with pytest.raises(AuthenticationFailed, match="'ann' or the password"):
        await connect(TCPAddress("127.0.0.1", server.port), wrong, timeout=20)
