"""A server whose name comes to lead elsewhere while a client is connected to it."""

from __future__ import annotations

import socket
from time import monotonic

import pytest

from cenote.runtime.aio import sleep
from cenote.testing.memcached import MemcachedServer

PATIENT = 10.0
NAME = "moving.example"


@pytest.fixture
def names(monkeypatch):
    """Where the name leads: one address, which a test changes."""
    leads = {NAME: "127.0.0.1"}
    real = socket.getaddrinfo

    def look_up(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002 - as it has them
        if host in leads and flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        return real(leads.get(host, host), port, family, type, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return leads


async def test_connections_to_an_address_that_has_vanished_are_closed(names, make_aio):
    """The old server works as well as ever: nothing but the name tells that it is not it."""
    with MemcachedServer() as old:
        port = old.port
        with MemcachedServer(options=["-l", f"127.0.0.2:{port}"]) as new:
            assert new.alive
            client = make_aio(f"{NAME}:{port}", timeout=PATIENT, max_size=2)
            assert await client.set("where", "old") is True
            names[NAME] = "127.0.0.2"
            async with client.connection(), client.connection():
                assert client.pools()[f"{NAME}:{port}"].generation == 1
            deadline = monotonic() + PATIENT
            while await client.get("where") is not None:
                assert monotonic() < deadline, "it never left the old server"
                await sleep(0.005)
            assert await client.set("where", "new") is True
            assert await make_aio(f"127.0.0.2:{port}").get("where") == "new"
            assert await make_aio(f"127.0.0.1:{port}").get("where") == "old"
