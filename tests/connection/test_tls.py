"""TLS connections, blocking and in event loops: the same promises, over a secure stream."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from cenote.connection import TLS, Access, Securing, TCPAddress, aio, sync
from cenote.connection.opening_aio import Opening
from cenote.connection.opening_sync import open_socket
from cenote.connection.securing_sync import secure
from cenote.connection.tunnel import MOST, RECORD
from cenote.errors import ConnectionLost, OperationTimeout, ProtocolError, TLSError
from cenote.protocol import STORED, Request, get, meta_noop, meta_set, quiet, set_many, store
from cenote.protocol import version as ask_version
from cenote.testing.faults import CloseAfter, Corrupt, Split
from cenote.testing.memcached import MemcachedServer
from cenote.testing.proxy import FaultProxy
from tests.certificates import FAULTS, Certificates
from tests.connection.addresses import descriptors
from tests.connection.tls_peer import TLSPeer

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SIZES = [0, 1, 100, RECORD - 60, RECORD, RECORD + 1, 3 * RECORD, MOST - 40, MOST, MOST + 1, 900_000]


class Threads:
    """Blocking connections, each call in a thread of its own."""

    async def connect(self, address, access, timeout: float = 20) -> Any:
        return await asyncio.to_thread(sync.connect, address, access, timeout=timeout)

    async def exchange(self, connection, request: Request, seconds: float = 20) -> Any:
        return await asyncio.to_thread(connection.exchange, request, monotonic() + seconds)

    async def bare(self, address, tls: Securing) -> Any:
        """A connection that has not been shaken hands with but by TLS."""

        def work():
            now = monotonic()
            sock = open_socket(address, now, now + 20)
            return sync.Connection(sock, 20, address, secure(sock, tls, address, now, now + 20))

        return await asyncio.to_thread(work)


class Loop:
    """Connections of the event loop."""

    async def connect(self, address, access, timeout: float = 20) -> Any:
        return await aio.connect(address, access, timeout=timeout)

    async def exchange(self, connection, request: Request, seconds: float = 20) -> Any:
        return await connection.exchange(request, monotonic() + seconds)

    async def bare(self, address, tls: Securing) -> Any:
        sock = await Opening(address).run()
        return await aio._attach(sock, 20, address, tls)


@pytest.fixture(params=[Threads, Loop], ids=["threads", "asyncio"])
def world(request) -> Any:
    return request.param()


@pytest.fixture(scope="module")
def secured(certificates: Certificates) -> Iterator[MemcachedServer]:
    good = certificates.server
    with MemcachedServer(certificate=good.cert, key=good.key) as server:
        yield server


@pytest.fixture
def address(secured: MemcachedServer) -> TCPAddress:
    return TCPAddress("127.0.0.1", secured.port)


@pytest.fixture
def trusting(certificates: Certificates) -> Access:
    return Access(tls=Securing(TLS(ca=certificates.authority.path)))


async def turn(times: int) -> None:
    """Let the loop run what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


# Talking.


@pytest.mark.parametrize("size", SIZES)
async def test_values_of_any_size_arrive_as_they_were_sent(world, address, trusting, size) -> None:
    connection = await world.connect(address, trusting)
    value = os.urandom(1024) * (size // 1024) + bytes(size % 1024)
    assert await world.exchange(connection, store("set", b"k", value, 7, 0)) == STORED
    item = await world.exchange(connection, get(b"k"))
    assert item == (value, 7, 0)
    assert connection.clean
    connection.close()


async def test_a_server_that_reads_half_a_record_is_made_to_read_the_rest(
    world, address, trusting
) -> None:
    """memcached waits for its socket with data in hand: see ``tunnel``."""
    connection = await world.connect(address, trusting)
    for size, count in ((1000, 300), (5000, 60), (20000, 20)):
        items = [(b"k%d" % n, bytes(size), 0) for n in range(count)]
        reply = await world.exchange(connection, set_many(items, 0, meta=True))
        assert not reply.failures
    big = quiet(meta_set(b"k", bytes(100_000)))
    assert len(big.payload) > MOST // 4
    await world.exchange(connection, big)
    connection.close()


async def test_a_reply_in_pieces_is_put_together(world, secured, trusting) -> None:
    with FaultProxy(secured.endpoint) as proxy:
        connection = await world.connect(TCPAddress(*proxy.address), trusting)
        value = os.urandom(40_000)
        await world.exchange(connection, store("set", b"k", value, 0, 0))
        proxy.replies = Split(size=7001)
        assert (await world.exchange(connection, get(b"k")))[0] == value
        proxy.replies = Split()
        assert await world.exchange(connection, meta_noop())
        connection.close()


@pytest.mark.parametrize("tls_version", VERSIONS, ids=lambda version: version.name)
async def test_the_next_connection_resumes_the_session(
    world, certificates, secured, tls_version
) -> None:
    context = ssl.create_default_context(cafile=certificates.authority.path)
    context.maximum_version = tls_version
    access = Access(tls=Securing(context))
    address = TCPAddress("127.0.0.1", secured.port)
    resumed = []
    for _ in range(3):
        connection = await world.connect(address, access)
        assert connection.tunnel.version.replace(".", "_") == tls_version.name
        resumed.append(connection.tunnel.resumed)
        connection.close()
    assert resumed == [False, True, True]


async def test_nothing_older_than_tls_1_2_is_spoken(world, certificates, trusting) -> None:
    assert trusting.tls.context().minimum_version is ssl.TLSVersion.TLSv1_2
    context = certificates.server.serving()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    def script(peer: TLSPeer) -> None:
        with pytest.raises(ssl.SSLError):
            peer.shake_hands()
        peer.flush()

    async with TLSPeer(context, script) as peer:
        with pytest.raises(TLSError, match=r"from 1\.2 on"):
            await world.connect(peer.address, trusting)


# Whom it talks to.


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_bad_certificate_says_what_is_wrong(world, certificates, trusting, fault) -> None:
    bad = certificates.bad[fault]
    with (
        MemcachedServer(certificate=bad.cert, key=bad.key) as server,
        pytest.raises(TLSError, match=FAULTS[fault]) as caught,
    ):
        await world.connect(TCPAddress("127.0.0.1", server.port), trusting)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_name_may_be_given_or_not_be_checked(world, certificates) -> None:
    bad, ca = certificates.bad["misnamed"], certificates.authority.path
    with MemcachedServer(certificate=bad.cert, key=bad.key) as server:
        address = TCPAddress("127.0.0.1", server.port)
        for tls in (
            TLS(ca=ca, server_hostname="elsewhere.example"),
            TLS(ca=ca, check_hostname=False),
        ):
            (await world.connect(address, Access(tls=Securing(tls)))).close()


async def test_the_systems_authorities_are_trusted_by_default(world, address) -> None:
    with pytest.raises(TLSError, match="not trusted"):
        await world.connect(address, Access(tls=Securing(TLS())))


@pytest.mark.parametrize("tls_version", VERSIONS, ids=lambda version: version.name)
async def test_a_server_may_want_a_certificate(world, certificates, tls_version) -> None:
    good, ca = certificates.server, certificates.authority.path
    options = ["-o", f"ssl_min_version={VERSIONS.index(tls_version) + 2}"]
    with MemcachedServer(
        certificate=good.cert, key=good.key, client_ca=ca, options=options
    ) as server:
        address = TCPAddress("127.0.0.1", server.port)
        own = certificates.client
        with_one = Securing(TLS(ca=ca, cert=own.cert, key=own.key))
        with_one.context().maximum_version = tls_version
        (await world.connect(address, Access(tls=with_one))).close()
        stranger = certificates.bad["unknown"]
        for tls in (TLS(ca=ca), TLS(ca=ca, cert=stranger.cert, key=stranger.key)):
            without = Securing(tls)
            without.context().maximum_version = tls_version
            with pytest.raises(TLSError, match=r"client's certificate"):
                await world.connect(address, Access(tls=without))


async def test_a_hang_up_after_the_handshake_is_a_refusal_until_one_was_let_in(
    world, certificates, trusting
) -> None:
    """A server that is restarted does it too, and is worth trying again soon."""
    scripts = [TLSPeer.shake_hands, TLSPeer.introduce, TLSPeer.shake_hands]
    async with TLSPeer(certificates.server.serving(), *scripts) as peer:
        with pytest.raises(TLSError, match="as soon as the TLS handshake was over"):
            await world.connect(peer.address, trusting)
        (await world.connect(peer.address, trusting)).close()
        with pytest.raises(ConnectionLost, match="as soon as the TLS handshake was over"):
            await world.connect(peer.address, trusting)


# What is no TLS.


async def test_a_server_without_tls_is_a_typed_error(world, tcp, trusting) -> None:
    """It waits for a line, or answers what happens to be one."""
    with pytest.raises((TLSError, OperationTimeout), match="memcached -Z"):
        await world.connect(tcp, trusting, timeout=1)


async def test_a_server_that_answers_something_else_is_a_typed_error(
    world, certificates, trusting
) -> None:
    def script(peer: TLSPeer) -> None:
        peer.receive()
        peer.sock.sendall(b"ERROR\r\n")
        peer.await_end()

    async with TLSPeer(certificates.server.serving(), script) as peer:
        with pytest.raises(TLSError, match=r"what it answers is no TLS.*memcached://"):
            await world.connect(peer.address, trusting)


async def test_a_server_with_tls_hangs_up_on_who_has_none(world, address) -> None:
    with pytest.raises(ConnectionLost, match="memcacheds://"):
        await world.connect(address, Access())


async def test_a_drop_in_the_handshake_is_a_lost_connection(world, certificates, trusting) -> None:
    async with TLSPeer(certificates.server.serving(), TLSPeer.receive) as peer:
        with pytest.raises(ConnectionLost, match="during the TLS handshake"):
            await world.connect(peer.address, trusting)


@pytest.mark.parametrize("after", [1, 700, 1500])
async def test_a_drop_anywhere_in_the_handshake_leaves_nothing_behind(
    world, secured, trusting, after
) -> None:
    with FaultProxy(secured.endpoint) as proxy:
        proxy.replies = CloseAfter(after)
        with pytest.raises((ConnectionLost, TLSError)):
            await world.connect(TCPAddress(*proxy.address), trusting)
        proxy.heal()
        (await world.connect(TCPAddress(*proxy.address), trusting)).close()


async def test_a_handshake_that_hangs_ends_at_the_deadline(world, certificates, trusting) -> None:
    async with TLSPeer(certificates.server.serving(), TLSPeer.await_end) as peer:
        began = monotonic()
        with pytest.raises(OperationTimeout, match="in the TLS handshake") as caught:
            await world.connect(peer.address, trusting, timeout=0.2)
        assert caught.value.phase == "connect"
        assert monotonic() - began < 10


async def test_a_drip_of_bytes_does_not_stretch_the_deadline(world, secured, trusting) -> None:
    with FaultProxy(secured.endpoint) as proxy:
        proxy.replies = Split(size=1, seconds=0.02)
        with pytest.raises(OperationTimeout, match="in the TLS handshake"):
            await world.connect(TCPAddress(*proxy.address), trusting, timeout=0.3)


# The end.

HALF_A_VALUE = b"VALUE k 0 1000\r\n" + bytes(500)


@pytest.mark.parametrize("ending", [TLSPeer.say_goodbye, TLSPeer.close], ids=["goodbye", "ragged"])
async def test_an_end_inside_a_value_is_no_value(world, certificates, trusting, ending) -> None:
    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.expect(b"get k\r\n", HALF_A_VALUE)
        ending(peer)

    async with TLSPeer(certificates.server.serving(), script) as peer:
        connection = await world.connect(peer.address, trusting)
        with pytest.raises(ConnectionLost) as caught:
            await world.exchange(connection, get(b"k"))
        assert caught.value.replied
        assert not connection.clean
        connection.close()


async def test_what_was_tampered_with_is_not_believed(world, secured, trusting) -> None:
    with FaultProxy(secured.endpoint) as proxy:
        connection = await world.connect(TCPAddress(*proxy.address), trusting)
        await world.exchange(connection, store("set", b"k", bytes(5000), 0, 0))
        proxy.replies = Corrupt(at=3000, by=b"tampered")
        with pytest.raises(ConnectionLost):
            await world.exchange(connection, get(b"k"))
        assert not connection.clean
        connection.abort()


async def test_a_reply_and_the_end_may_come_together(world, certificates, trusting) -> None:
    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.read()
        peer._tls.write(b"VERSION 1\r\n")
        peer.say_goodbye()
        peer.await_end()

    async with TLSPeer(certificates.server.serving(), script) as peer:
        connection = await world.connect(peer.address, trusting)
        assert await world.exchange(connection, ask_version()) == "1"
        assert not connection.is_alive()
        connection.close()


async def test_a_request_behind_the_end_is_a_lost_connection(certificates, trusting) -> None:
    """Who is woken by the last reply asks again at once, before the end is noted."""

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.read()
        peer._tls.write(b"VERSION 1\r\n")
        peer.sock.sendall(peer._outgoing.read() + b"\x17\x03\x03\x00\x14 this is no record    ")
        peer.await_end()

    async with TLSPeer(certificates.server.serving(), script) as peer:
        connection = await aio.connect(peer.address, trusting, timeout=20)
        assert await connection.exchange(ask_version(), monotonic() + 20) == "1"
        with pytest.raises(ConnectionLost):
            await connection.exchange(ask_version(), monotonic() + 20)
        connection.close()


# What is seen of an idle connection.


async def test_tickets_that_come_late_are_no_reason_to_discard(
    world, certificates, trusting
) -> None:
    go, sent = threading.Event(), threading.Event()

    def script(peer: TLSPeer) -> None:
        peer.shake_hands(hold_tickets=True)
        assert go.wait(20)
        assert peer._outgoing.pending
        peer.flush()
        sent.set()
        peer.expect(b"version\r\n", b"VERSION 2\r\n")

    async with TLSPeer(certificates.server.serving(), script) as peer:
        connection = await world.bare(peer.address, trusting.tls)
        assert connection.is_alive()
        go.set()
        assert sent.wait(20)
        assert connection.is_alive()
        assert connection.clean
        assert await world.exchange(connection, ask_version()) == "2"
        connection.close()


@pytest.mark.parametrize(
    "ending",
    [
        TLSPeer.say_goodbye,
        TLSPeer.close,
        lambda peer: peer.write(b"STORED\r\n"),
        lambda peer: peer.sock.sendall(b"\x17\x03\x03\x00\x14 this is no record    "),
    ],
    ids=["goodbye", "ragged", "unasked", "garbage"],
)
@pytest.mark.parametrize("tls_version", VERSIONS, ids=lambda version: version.name)
async def test_an_idle_connection_that_says_anything_else_is_discarded(
    world, certificates, trusting, ending, tls_version
) -> None:
    go, done = threading.Event(), threading.Event()

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        assert go.wait(20)
        ending(peer)
        done.set()
        if peer.sock.fileno() >= 0:
            peer.await_end()

    async with TLSPeer(certificates.server.serving(tls_version), script) as peer:
        connection = await world.connect(peer.address, trusting)
        assert connection.is_alive()
        go.set()
        assert done.wait(20)
        assert not connection.is_alive()
        assert not connection.clean
        with pytest.raises((ConnectionLost, ProtocolError)):
            await world.exchange(connection, ask_version())
        connection.close()


async def test_closing_says_goodbye(world, certificates, trusting) -> None:
    def script(peer: TLSPeer) -> None:
        peer.introduce()
        assert peer.read() == b""  # at the end of the stream alone it would raise

    async with TLSPeer(certificates.server.serving(), script) as peer:
        (await world.connect(peer.address, trusting)).close()
        await asyncio.sleep(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_forked_child_writes_nothing_on_the_session(world, address, trusting) -> None:
    connection = await world.connect(address, trusting)
    child = os.fork()
    if not child:
        try:
            try:
                if isinstance(world, Loop):
                    connection.submit(ask_version(), monotonic() + 5)
                else:
                    connection.exchange(ask_version(), monotonic() + 5)
            except ConnectionLost:
                connection.close()
                connection.abort()
                os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
    assert os.waitstatus_to_exitcode(status) == 0
    assert connection.is_alive()
    assert await world.exchange(connection, ask_version())
    connection.close()


@pytest.mark.stress
async def test_a_cancel_at_any_moment_of_connecting_leaves_nothing_open(
    address, trusting, caplog
) -> None:
    (await aio.connect(address, trusting, timeout=20)).close()
    await turn(10)
    before = descriptors()
    for turns in range(10_000):
        task = asyncio.create_task(aio.connect(address, trusting, timeout=20))
        await turn(turns)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result().close()
        await turn(10)
        assert descriptors() == before, turns
        if not task.cancelled():
            gc.collect()
            assert not caplog.records
            return
    raise AssertionError("it never connects")
