"""No client at all: a Python socket, bytes prepared beforehand, replies received and not read.

The floor under every client written in Python: two system calls (three over TLS) and two method
calls a round trip. It believes whatever comes back, so nobody could use it; it shows what parsing
and safety cost.
"""

from __future__ import annotations

import os
import socket
import ssl

from bench.adapters.verbs import Place, Verbs


def _connected(place: Place) -> socket.socket:
    wire = socket.create_connection((place.host, place.port))
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def bare(place: Place) -> Verbs:
    return _verbs(_connected(place))


def over_tls(place: Place) -> Verbs:
    context = ssl.create_default_context(cafile=os.environ["BENCH_CA"])
    return _verbs(context.wrap_socket(_connected(place), server_hostname=place.host))


def _verbs(wire: socket.socket) -> Verbs:
    requests: dict[object, bytes] = {}
    send, recv = wire.sendall, wire.recv

    def prepared(key: object, make) -> bytes:
        request = requests.get(key)
        if request is None:
            request = requests[key] = make()
        return request

    def round_trip(request: bytes, ending: bytes) -> bytes:
        send(request)
        reply = recv(65536)
        while not reply.endswith(ending):
            reply += recv(65536)
        return reply

    def set_(key: str, value: bytes) -> None:
        round_trip(prepared((key, len(value)), lambda: _set(key, value)), b"STORED\r\n")

    def get(key: str) -> bytes:
        reply = round_trip(prepared(key, lambda: b"get %b\r\n" % key.encode()), b"END\r\n")
        return reply[reply.index(b"\r\n") + 2 : -7]

    def get_many(keys: list[str]) -> None:
        request = prepared(
            len(keys), lambda: b"get %b\r\n" % b" ".join(key.encode() for key in keys)
        )
        round_trip(request, b"END\r\n")

    def set_many(items: dict[str, bytes]) -> None:
        send(prepared("many", lambda: b"".join(_set(*item) for item in items.items())))
        left = len(b"STORED\r\n") * len(items)
        while left:
            left -= len(recv(65536))

    return Verbs(set_, get, get_many, set_many)


def _set(key: str, value: bytes) -> bytes:
    return b"set %b 0 0 %d\r\n%b\r\n" % (key.encode(), len(value), value)


CONTENDERS = {
    "single": {"bare socket, no parsing": bare},
    "tls": {"bare TLS socket, no parsing": over_tls},
}
