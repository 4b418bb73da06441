"""What somebody asks of the endpoint, and whether it may be told: pure, bytes in, a verdict out.

Strategy: of HTTP, as little as will do: a request is a head, which is bounded and has no body, and
each connection carries one. Whatever is not understood is refused in one line. Nothing can be
changed through the endpoint, so all that is to be guarded is reading. With a token, who does not
know it is told nothing. Without one only this machine can connect, and a page of another site that
got its name pointed here (rebinding) is told by the ``Host`` that its browser sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cenote.telemetry.endpoint import Endpoint, is_loopback

LONGEST_HEAD: Final = 8192
"""Bytes of a request's head."""

_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be answered.

    Attributes:
        path: What is asked for, without a query.
        body: Whether the answer is to be sent, or only its head.
    """

    path: str
    body: bool


class Refused(Exception):
    """A request that is answered by a status and a line of text only.

    Attributes:
        status: The HTTP status.
        says: What to change.
    """

    def __init__(self, status: HTTPStatus, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.says = says


def read(head: bytes, endpoint: Endpoint, token: str | None) -> Asked:
    """Read a request's head and judge it.

    Args:
        head: Up to the empty line.
        endpoint: Where it was asked.
        token: What whoever asks must know; None: nothing.

    Raises:
        Refused: It is no request, or not allowed.
    """
    first, _, rest = head.decode("latin-1").partition("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(HTTPStatus.BAD_REQUEST, "this is an HTTP/1 endpoint")
    method, target, _ = words
    headers = _headers(rest)
    try:
        parts = urlsplit(target)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the target is no path") from None
    if token is not None:
        _check_token(token, headers, parts.query)
    elif not endpoint.path:
        _check_host(headers)
    if method not in _METHODS:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "it can only be read: use GET")
    return Asked(parts.path, body=method == "GET")


def _headers(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines.split("\r\n"):
        name, colon, value = line.partition(":")
        if line and (not colon or not name or name.strip() != name):
            raise Refused(HTTPStatus.BAD_REQUEST, "a header is not one")
        if found.setdefault(name.lower(), value.strip()) != value.strip() and name:
            found[name.lower()] = ""  # said twice, differently: it counts as not said
    return found


def _check_token(token: str, headers: Mapping[str, str], query: str) -> None:
    """Let in whoever knows the token, as a header or in the query; takes as long for who does not.

    Raises:
        Refused: It is not known.
    """
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    known = parse_qs(query).get("token", [""])[0]
    said = bearer if kind.lower() == "bearer" else known
    if not compare_digest(said.encode("utf-8", "replace"), token.encode()):
        raise Refused(HTTPStatus.UNAUTHORIZED, "say the token: Authorization: Bearer ...")


def _check_host(headers: Mapping[str, str]) -> None:
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not is_loopback(name.strip("[]")):
        raise Refused(HTTPStatus.FORBIDDEN, "ask for it by a name of this machine: 127.0.0.1")


def answer(
    status: HTTPStatus, body: bytes, kind: str, more: Mapping[str, str], *, send_body: bool = True
) -> bytes:
    """Return the bytes of an answer, after which the connection is closed."""
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **more,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *map(": ".join, headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body if send_body else b"")
