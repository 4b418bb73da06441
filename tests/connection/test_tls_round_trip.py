"""One request and one reply over TLS, blocking: what travels, and what interrupts it."""

from __future__ import annotations

import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

import pytest

from cenote.connection import TLS, Access, Securing, sync
from cenote.connection.tunnel import RECORD
from cenote.errors import ConnectionLost, OperationTimeout, ProtocolError
from cenote.protocol import get, meta_noop, meta_set, quiet, store
from cenote.protocol import version as ask_version
from tests.certificates import Certificates
from tests.connection.tls_peer import TLSPeer

MAIN = threading.get_ident()
VALUE = b"VALUE k 0 5\r\nvalue\r\nEND\r\n"
ITEM = (b"value", 0, 0)
WAIT = 60  # seconds, for what does not take long


@pytest.fixture
def trusting(certificates: Certificates) -> Access:
    return Access(tls=Securing(TLS(ca=certificates.authority.path)))


@pytest.fixture
def serving(certificates: Certificates) -> ssl.SSLContext:
    return certificates.server.serving()


def soon() -> float:
    return monotonic() + WAIT


class Interrupted(BaseException):
    """What a signal handler raises."""


@contextmanager
def interrupting(over: threading.Event) -> Iterator[None]:
    def handler(_: int, __: FrameType | None) -> None:
        if not over.is_set():
            over.set()
            raise Interrupted

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def records(sealed: bytes) -> list[int]:
    """How many bytes each record of a stream has, but for its header."""
    sizes = []
    while sealed:
        size = int.from_bytes(sealed[3:5], "big")
        assert len(sealed) >= 5 + size
        sizes.append(size)
        sealed = sealed[5 + size :]
    return sizes


def taken_whole(peer: TLSPeer, size: int) -> bytes:
    """What the client says in ``size`` bytes, as it travels."""
    sealed, said = b"", 0
    while said < size:
        arrived = peer.sock.recv(1 << 20)
        assert arrived
        sealed += arrived
        peer._incoming.write(arrived)
        while said < size:
            try:
                said += len(peer._tls.read(size))
            except ssl.SSLWantReadError:
                break
    return sealed


async def test_a_request_is_one_record_as_long_as_it_fits(trusting, serving) -> None:
    """What does not fit ends in a record of one byte: see ``tunnel``."""
    line = len(b"set k 0 0 16384\r\n\r\n")
    requests = [get(b"k"), store("set", b"k", bytes(RECORD - line), 0, 0)]
    requests.append(store("set", b"k", bytes(RECORD - line + 1), 0, 0))
    seen = []

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        for request, reply in zip(requests, (VALUE, b"STORED\r\n", b"STORED\r\n"), strict=True):
            seen.append(records(taken_whole(peer, len(request.payload))))
            peer.write(reply)

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        for request in requests:
            assert connection.exchange(request, soon())
        connection.close()
    more = seen[0][0] - len(requests[0].payload)  # the tag, and the kind of the record
    assert seen == [
        [len(requests[0].payload) + more],
        [RECORD + more],
        [RECORD + more, 1 + more],
    ]


async def test_what_says_nothing_is_no_reply(trusting, serving) -> None:
    """A session ticket may come alone, where a reply is waited for."""

    def script(peer: TLSPeer) -> None:
        peer.shake_hands(hold_tickets=True)
        peer.expect(b"mn\r\nversion\r\n", b"MN\r\nVERSION 1.6.18\r\n")  # with the tickets
        for _ in range(3):
            assert peer.read() == b"get k\r\n"
            peer._tls.write(VALUE)
            reply = peer._outgoing.read()
            for at in range(len(reply)):
                peer.sock.sendall(reply[at : at + 1])

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        for _ in range(3):
            assert connection.exchange(get(b"k"), soon()) == ITEM
            assert connection.clean
        connection.close()


async def test_replies_to_what_was_posted_are_read_first(trusting, serving) -> None:
    posted = quiet(meta_set(b"k", b"v", b""))

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.expect(posted.payload, b"")
        peer.expect(b"get k\r\n", b"MN\r\n" + VALUE)

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        connection.post(posted)
        assert connection.exchange(get(b"k"), soon()) == ITEM
        assert connection.pending == 0
        connection.close()


@pytest.mark.parametrize("unasked", [b"STORED\r\n", VALUE])
async def test_a_reply_too_many_spoils_the_connection(trusting, serving, unasked) -> None:
    """Its record is another than that of the reply, and comes with it."""

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        assert peer.read() == b"get k\r\n"
        peer._tls.write(VALUE)
        peer.write(unasked)
        peer.await_end()

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        with pytest.raises(ProtocolError):
            connection.exchange(get(b"k"), soon())
        assert not connection.clean
        connection.close()


@pytest.mark.parametrize("part", [0, 3, 20])
async def test_half_a_record_does_not_stretch_the_deadline(trusting, serving, part) -> None:
    def script(peer: TLSPeer) -> None:
        peer.introduce()
        assert peer.read() == b"get k\r\n"
        peer._tls.write(VALUE)
        peer.sock.sendall(peer._outgoing.read()[:part])
        peer.await_end()

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        began = monotonic()
        with pytest.raises(OperationTimeout):
            connection.exchange(get(b"k"), began + 0.1)
        assert monotonic() - began < 10
        assert not connection.clean
        connection.close()


async def test_a_deadline_that_has_passed_sends_nothing(trusting, serving) -> None:
    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.expect(b"version\r\n", b"VERSION 2\r\n")

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        with pytest.raises(OperationTimeout):
            connection.exchange(get(b"k"), monotonic())
        assert connection.clean
        assert connection.exchange(ask_version(), soon()) == "2"
        connection.close()


async def test_a_context_may_make_objects_of_its_own(certificates, serving) -> None:
    """As those do that log what is said, or hand it to another library."""
    said, heard = [], []

    class Listening(ssl.SSLObject):
        def write(self, data):
            said.append(bytes(data))
            return super().write(data)

        def read(self, *arguments, **named):
            data = super().read(*arguments, **named)
            heard.append(data)
            return data

    context = ssl.create_default_context(cafile=certificates.authority.path)
    context.sslobject_class = Listening

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        peer.expect(b"get k\r\n", VALUE)

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, Access(tls=Securing(context)), timeout=WAIT)
        assert connection.exchange(get(b"k"), soon()) == ITEM
        connection.close()
    assert (said[-1], heard[-1]) == (b"get k\r\n", VALUE)


def nothing(_: bytes) -> bytes:
    return b""


def half(sealed: bytes) -> bytes:
    return sealed[: len(sealed) // 2]


@pytest.mark.parametrize("part", [nothing, half], ids=["nothing", "half a record"])
async def test_an_exception_from_a_signal_handler_leaves_at_once_and_dirty(
    trusting, serving, part: Callable[[bytes], bytes]
) -> None:
    over = threading.Event()

    def script(peer: TLSPeer) -> None:
        peer.introduce()
        assert peer.read() == b"get k\r\n"
        peer._tls.write(VALUE)
        peer.sock.sendall(part(peer._outgoing.read()))
        while not over.wait(0.005):
            signal.pthread_kill(MAIN, signal.SIGUSR1)
        peer.await_end()

    async with TLSPeer(serving, script) as peer:
        connection = sync.connect(peer.address, trusting, timeout=WAIT)
        with interrupting(over), pytest.raises(Interrupted):
            connection.exchange(get(b"k"), soon())
        assert not connection.clean
        with pytest.raises(ConnectionLost, match="in the middle of an exchange"):
            connection.exchange(meta_noop(), soon())
        connection.close()
