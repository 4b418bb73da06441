"""The handshake, driven by hand: requests out, replies in, traits at the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cenote.connection.handshake import ProtocolChoice, Traits, handshake
from cenote.errors import CenoteError, ClientError, ProtocolError, ServerError, UnknownCommand
from cenote.protocol import MetaReply, Reply

MN = MetaReply("MN", None, {})


def shake(protocol: ProtocolChoice, *replies: Reply) -> Traits:
    steps = handshake(protocol)
    flight = next(steps)
    assert len(flight) == len(replies)
    try:
        steps.send(replies)
    except StopIteration as done:
        traits: Traits = done.value
        return traits
    raise AssertionError("the handshake asks for more")


def sent(protocol: ProtocolChoice) -> bytes:
    return b"".join(request.payload for request in next(handshake(protocol)))


def test_the_probe_and_the_version_leave_in_one_flight() -> None:
    assert sent("auto") == b"mn\r\nversion\r\n"
    assert sent("meta") == b"mn\r\nversion\r\n"


def test_classic_does_not_ask_for_meta() -> None:
    assert sent("classic") == b"version\r\n"
    assert shake("classic", "1.6.18") == Traits(meta=False, version="1.6.18")


@pytest.mark.parametrize("protocol", ["auto", "meta"])
def test_a_server_that_answers_the_probe_speaks_meta(protocol: ProtocolChoice) -> None:
    assert shake(protocol, MN, "1.6.18") == Traits(meta=True, version="1.6.18")


def test_a_server_that_does_not_know_the_probe_is_classic() -> None:
    assert shake("auto", UnknownCommand("ERROR"), "1.4.39") == Traits(False, "1.4.39")


@pytest.mark.parametrize(
    ("version", "meta"),
    [
        ("1.5.22", False),
        ("1.6.9", False),
        ("1.6.10", True),
        ("1.6.45-rc1", True),
        ("mcrouter", True),
    ],
)
def test_servers_whose_meta_commands_were_drafts_count_as_classic(version: str, meta: bool) -> None:
    assert shake("auto", MN, version).meta is meta


def test_insisting_on_meta_fails_with_a_server_that_has_none() -> None:
    with pytest.raises(ProtocolError, match=r"1\.4\.39.*use protocol='auto'"):
        shake("meta", UnknownCommand("ERROR"), "1.4.39")


@pytest.mark.parametrize(
    "replies",
    [
        (ClientError("unauthenticated"), "1.6.18"),
        (MN, ClientError("unauthenticated")),
        (ServerError("busy"), ServerError("busy")),
    ],
)
def test_a_server_that_answers_with_an_error_fails_the_handshake_with_it(
    replies: Sequence[Reply],
) -> None:
    with pytest.raises(CenoteError) as caught:
        shake("auto", *replies)
    assert caught.value in replies


def test_a_version_that_is_no_text_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="answered 'version'"):
        shake("classic", 7)
