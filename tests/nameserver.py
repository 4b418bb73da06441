"""A small name server on loopback: it answers over UDP what a test has it answer."""

from __future__ import annotations

import socketserver
import threading
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """Answers from the moment it is made.

    Attributes:
        records: The texts of the records of each name and type, as ``{("cache.", "A"): [...]}``.
        ttl: How long they hold, in seconds.
        broken: Whether it answers with SERVFAIL.
        asked: How many questions there were.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl = 0
        self.broken = False
        self.asked = 0
        self._server = _Server(("127.0.0.1", 0), _Question)
        self._server.names = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="name-server"
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, as ``ip:port``."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def answer(self, wire: bytes) -> bytes:
        """Return the answer to a question."""
        self.asked += 1
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        (question,) = query.question
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        known = {each for each, _ in self.records}
        if self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif name not in known:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif texts := self.records.get((name, kind)):
            reply.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *texts))
        return reply.to_wire()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.UDPServer):
    names: NameServer


class _Question(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        wire, sock = self.request
        sock.sendto(self.server.names.answer(wire), self.client_address)
