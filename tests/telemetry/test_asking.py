"""Requests are judged, whatever they are made of."""

from __future__ import annotations

from http import HTTPStatus

from hypothesis import given
from hypothesis import strategies as st

from cenote.telemetry.asking import Asked, Refused, answer, read
from cenote.telemetry.endpoint import Endpoint

LOOPBACK = Endpoint(host="127.0.0.1", port=1)
SOCKET = Endpoint(path="/run/pools.sock")

heads = st.binary(max_size=200) | st.builds(
    b"%b %b HTTP/1.1\r\n%b".__mod__,
    st.tuples(
        st.sampled_from([b"GET", b"HEAD", b"POST", b""]),
        st.binary(max_size=40) | st.sampled_from([b"/", b"/?token=s3cret", b"/?" + b"a&" * 40]),
        st.binary(max_size=80)
        | st.sampled_from([b"Host: localhost", b"Host: x", b"Authorization: Bearer s3cret"]),
    ),
)


def judged(head: bytes, endpoint: Endpoint, token: str | None) -> Asked | Refused:
    try:
        return read(head, endpoint, token)
    except Refused as refused:
        return refused


@given(heads, st.sampled_from([LOOPBACK, SOCKET]), st.sampled_from([None, "s3cret"]))
def test_whatever_is_sent_is_answered_or_refused(
    head: bytes, endpoint: Endpoint, token: str | None
) -> None:
    verdict = judged(head, endpoint, token)
    if isinstance(verdict, Refused):
        assert 400 <= verdict.status < 500
        assert "s3cret" not in verdict.says
        return
    assert head.startswith((b"GET ", b"HEAD "))
    if token is not None:
        assert b"s3cret" in head or b"%" in head
    elif endpoint is LOOPBACK:
        assert b"localhost" in head.lower() or b"127." in head or b"::1" in head


def test_a_query_of_many_fields_is_read_to_its_end() -> None:
    head = b"GET /?" + b"&" * 4000 + b"token=s3cret HTTP/1.1\r\n"
    assert read(head, LOOPBACK, "s3cret") == Asked("/", body=True)


def test_a_token_in_the_query_may_be_quoted() -> None:
    assert read(b"GET /?token=a%20b HTTP/1.1\r\n", LOOPBACK, "a b") == Asked("/", body=True)


def test_an_answer_ends_the_connection_and_is_kept_nowhere() -> None:
    made = answer(HTTPStatus.OK, b"hi", "text/plain", {"X-More": "1"})
    head, _, body = made.partition(b"\r\n\r\n")
    assert body == b"hi"
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    for line in (
        b"Content-Length: 2",
        b"Connection: close",
        b"Cache-Control: no-store",
        b"X-More: 1",
    ):
        assert line in lines
