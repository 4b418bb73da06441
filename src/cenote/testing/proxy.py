"""A proxy that misbehaves on command, for tests of what happens when the network does.

    from cenote.testing.faults import Forward, Stall

    with FaultProxy(server_address) as proxy:
        client = connect_to(proxy.address)
        proxy.replies = Stall()             # the server goes silent
        ...
        proxy.replies = Forward()           # what was held back flows on

Strategy: a ``Fault`` (see ``faults.py``) is an immutable description of what happens to the bytes
of one direction (``requests`` towards the server, ``replies`` towards the client), and may be
exchanged at any moment. A pump per connection and direction reads a chunk, lets the fault in force
decide what becomes of it, and passes that on. ``refuse``, ``reset``, ``stop`` and ``start`` are for
the connections themselves.

Nothing here needs a sleep to be tested with: a fault is in force, for every chunk that arrives from
then on, when the assignment returns; connections are gone when ``reset`` and ``hang_up`` return;
and ``wait_for`` waits for what the proxy has seen: connections, bytes that arrived or were passed
on.

Threads never block in a call that could not be ended: they poll their socket beside a ``_Bell``,
which ``stop`` and the end of a connection ring. A descriptor is closed by the last thread that uses
it.

It listens on loopback or on a unix socket only (where a reset is only seen as one if the client has
unread bytes). Any thread may command it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from cenote.testing.faults import Chunk, End, Fault, Forward, Send, Wait

Address: TypeAlias = tuple[str, int] | str
"""``(host, port)``, or the path of a unix socket."""

_MOST = 65536
_RESET_ON_CLOSE = struct.pack("@ii", 1, 0)  # linger for 0 seconds: close sends RST


@dataclass(slots=True)
class Flow:
    """One direction: the fault in force, and what was seen.

    Attributes:
        arrived: Bytes that came in, over all connections.
        passed: Bytes that were passed on.
    """

    fault: Fault = field(default_factory=Forward)
    arrived: int = 0
    passed: int = 0


class _Bell:
    """An event that ``poll`` can wait for beside a socket. Once rung it stays rung."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def ring(self) -> None:
        os.write(self._writer, b"!")

    def await_ready(self, sock: socket.socket, events: int) -> bool:
        """Wait until ``sock`` is ready (True) or the bell rings (False)."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        poller.register(sock, events)
        return all(descriptor != self._reader for descriptor, _ in poller.poll())

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@dataclass(slots=True, eq=False)
class _Link:
    """A client's connection and the one made to the server for it."""

    client: socket.socket
    server: socket.socket
    bell: _Bell = field(default_factory=_Bell)
    pumps: int = 2
    ended: bool = False
    reset: bool = False

    def close(self) -> None:
        for sock in (self.client, self.server):
            _close(sock, reset=self.reset)
        self.bell.close()


class FaultProxy:
    """Stands between clients and a server, and does what the test says.

    Args:
        upstream: Where the server listens: ``(host, port)`` or the path of a unix socket.
        listen: Where to listen: by default a free port of 127.0.0.1; a path makes a unix socket.

    Attributes:
        address: Where clients connect to. Stays the same over ``stop``, ``refuse`` and ``start``.
        accepted: How many connections came in so far.
    """

    def __init__(self, upstream: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        if isinstance(listen, tuple) and listen[0] not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"a FaultProxy listens on loopback only, not on {listen[0]!r}")
        self._upstream = upstream
        self._changed = threading.Condition()  # guards everything below; never held over I/O
        self._requests = Flow()
        self._replies = Flow()
        self._links: set[_Link] = set()
        self._threads: set[threading.Thread] = set()
        self._acceptor: tuple[threading.Thread, _Bell] | None = None
        self.accepted = 0
        self.address = listen
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # What happens to bytes.

    @property
    def requests(self) -> Fault:
        """The fault in force for bytes from the client to the server."""
        return self._requests.fault

    @requests.setter
    def requests(self, fault: Fault) -> None:
        self._put(self._requests, fault)

    @property
    def replies(self) -> Fault:
        """The fault in force for bytes from the server to the client."""
        return self._replies.fault

    @replies.setter
    def replies(self, fault: Fault) -> None:
        self._put(self._replies, fault)

    def heal(self) -> None:
        """Pass everything on again, both ways."""
        self.requests = self.replies = Forward()

    def _put(self, flow: Flow, fault: Fault) -> None:
        with self._changed:
            flow.fault = fault
            self._changed.notify_all()

    # What happens to connections.

    def start(self) -> None:
        """Accept connections, at the same address as before. Does nothing when it does already."""
        if self._acceptor is not None:
            return
        listener, bell = _listen(self.address), _Bell()
        self.address = _name(listener)
        self._acceptor = self._spawn(self._accept, listener, bell), bell

    def refuse(self) -> None:
        """Refuse new connections until ``start``; the ones there are stay."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        thread, bell = acceptor
        bell.ring()
        thread.join()

    def reset(self) -> None:
        """End every connection by RST, which also throws away what the client has not read."""
        self._end_all(reset=True)

    def hang_up(self) -> None:
        """End every connection in good order (FIN)."""
        self._end_all(reset=False)

    def stop(self) -> None:
        """Refuse new connections, reset the ones there are, and wait for every thread to end."""
        self.refuse()
        self.reset()
        for thread in list(self._threads):
            thread.join()

    def _end_all(self, *, reset: bool) -> None:
        with self._changed:
            links = list(self._links)
        for link in links:
            self._end(link, reset=reset)
        self.wait_for(lambda _: self._links.isdisjoint(links))

    # What was seen.

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    @property
    def requested(self) -> int:
        """Bytes that clients sent, whatever became of them."""
        return self._requests.arrived

    @property
    def replied(self) -> int:
        """Bytes that the server sent, whatever became of them."""
        return self._replies.arrived

    @property
    def delivered(self) -> int:
        """Bytes of replies that were passed on to clients."""
        return self._replies.passed

    def wait_for(self, condition: Callable[[FaultProxy], bool], timeout: float = 5.0) -> None:
        """Wait until ``condition`` of this proxy holds; it is asked at every change.

        Args:
            condition: Such as ``lambda proxy: proxy.requested >= 10``. Must not command the proxy.
            timeout: Seconds.

        Raises:
            TimeoutError: It did not come to hold in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(
                    f"not within {timeout} s: {self.accepted} accepted, {self.connections} open, "
                    f"{self.requested} bytes requested, {self.replied} replied, "
                    f"{self.delivered} delivered"
                )

    # Threads.

    def _spawn(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=args, name=f"FaultProxy{target.__name__}", daemon=True
        )
        thread.start()
        self._threads = {each for each in self._threads if each.is_alive()} | {thread}
        return thread

    def _accept(self, listener: socket.socket, bell: _Bell) -> None:
        try:
            while bell.await_ready(listener, select.POLLIN):
                self._join(listener.accept()[0])
        finally:
            if isinstance(self.address, str):
                Path(self.address).unlink()
            listener.close()
            bell.close()

    def _join(self, client: socket.socket) -> None:
        """Connect a client to the server and start both pumps; refuse it if the server refuses."""
        try:
            server = _connect(self._upstream)
        except OSError:
            _close(client, reset=True)
            return
        for sock in (client, server):
            _prepare(sock)
        link = _Link(client, server)
        with self._changed:
            self._links.add(link)
            self.accepted += 1
            self._changed.notify_all()
        self._spawn(self._pump, link, client, server, self._requests)
        self._spawn(self._pump, link, server, client, self._replies)

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket, flow: Flow) -> None:
        """Carry bytes one way until either side ends; the end of one way is the end of both."""
        offset = 0
        try:
            while link.bell.await_ready(source, select.POLLIN) and (data := source.recv(_MOST)):
                self._note(flow, arrived=len(data))
                self._carry(link, sink, flow, Chunk(data, offset))
                offset += len(data)
            self._end(link, reset=False)
        except OSError:
            self._end(link, reset=True)
        finally:
            self._leave(link)

    def _carry(self, link: _Link, sink: socket.socket, flow: Flow, chunk: Chunk) -> None:
        """Do with a chunk what the fault says, unless the connection ends before."""
        for step in self._fault_in_force(link, flow).plan(chunk):
            match step:
                case Send(data):
                    self._send(link, sink, flow, data)
                case Wait(seconds):
                    self._rest(link, seconds)
                case End(reset):
                    self._end(link, reset=reset)
            if link.ended:
                return

    def _fault_in_force(self, link: _Link, flow: Flow) -> Fault:
        """The fault to apply, once it is one that does not hold everything back."""
        with self._changed:
            self._changed.wait_for(lambda: link.ended or not flow.fault.holds)
            return flow.fault

    def _send(self, link: _Link, sink: socket.socket, flow: Flow, data: bytes) -> None:
        while data and link.bell.await_ready(sink, select.POLLOUT):
            sent = sink.send(data)
            data = data[sent:]
            self._note(flow, passed=sent)

    def _rest(self, link: _Link, seconds: float) -> None:
        if seconds:
            with self._changed:
                self._changed.wait_for(lambda: link.ended, seconds)

    def _note(self, flow: Flow, *, arrived: int = 0, passed: int = 0) -> None:
        with self._changed:
            flow.arrived += arrived
            flow.passed += passed
            self._changed.notify_all()

    def _end(self, link: _Link, *, reset: bool) -> None:
        """Tell both pumps of a link to leave."""
        with self._changed:
            if link.ended:
                return
            link.ended, link.reset = True, reset
            link.bell.ring()
            self._changed.notify_all()

    def _leave(self, link: _Link) -> None:
        """End a pump; the last one of a link closes it."""
        with self._changed:
            link.pumps -= 1
            if link.pumps:
                return
        link.close()
        with self._changed:
            self._links.discard(link)
            self._changed.notify_all()


def _listen(address: Address) -> socket.socket:
    if isinstance(address, str):
        listener = socket.socket(socket.AF_UNIX)
    else:
        listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(1024)
    return listener


def _name(listener: socket.socket) -> Address:
    name = listener.getsockname()
    return name if isinstance(name, str) else (name[0], name[1])


def _connect(address: Address) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(sock: socket.socket, *, reset: bool) -> None:
    with contextlib.suppress(OSError):  # its peer was faster
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()
