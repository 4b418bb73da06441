"""The handshake, driven by hand: requests out, replies in, traits at the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cenote.connection import Credentials
from cenote.connection.handshake import Handshake, ProtocolChoice, Traits, handshake
from cenote.errors import (
    AuthenticationFailed,
    CenoteError,
    ClientError,
    ConfigurationError,
    ProtocolError,
    ServerError,
    UnknownCommand,
)
from cenote.protocol import NOT_STORED, STORED, MetaReply, Reply

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
        (ClientError("busy"), "1.6.18"),
        (MN, ClientError("busy")),
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


# Logging in.

ANN = Credentials("ann", "s3cret")
REFUSED = ClientError("set: the server refused the request: authentication failure")


def logged_in(protocol: ProtocolChoice = "auto") -> Handshake:
    steps = handshake(protocol, ANN)
    next(steps)
    return steps


@pytest.mark.parametrize("protocol", ["auto", "meta", "classic"])
def test_the_login_leaves_first_and_alone(protocol: ProtocolChoice) -> None:
    (login,) = next(handshake(protocol, ANN))
    assert login.payload == b"set cenote:login 0 -1 10\r\nann s3cret\r\n"
    assert "s3cret" not in repr(login)


def test_behind_the_login_comes_what_always_comes() -> None:
    steps = logged_in()
    assert b"".join(each.payload for each in steps.send([STORED])) == b"mn\r\nversion\r\n"
    with pytest.raises(StopIteration) as done:
        steps.send([MN, "1.6.18"])
    assert done.value.value == Traits(meta=True, version="1.6.18")


@pytest.mark.parametrize("reply", [REFUSED, NOT_STORED])
def test_a_login_that_is_refused_is_an_authentication_failure(reply: Reply) -> None:
    with pytest.raises(AuthenticationFailed, match="'ann'") as caught:
        logged_in().send([reply])
    assert isinstance(caught.value, PermissionError)
    assert "s3cret" not in str(caught.value)


def test_a_server_in_trouble_is_no_authentication_failure() -> None:
    with pytest.raises(ServerError, match="busy"):
        logged_in().send([ServerError("busy")])


def test_a_server_that_wants_a_password_says_so() -> None:
    steps = handshake()
    next(steps)
    with pytest.raises(AuthenticationFailed, match="give username= and password="):
        steps.throw(ClientError("mn: the server refused the request: unauthenticated"))


@pytest.mark.parametrize(
    "credentials", [Credentials("an n", "s3cret"), Credentials("ann", "s3 cret\r\n")]
)
def test_credentials_that_text_can_not_say_are_refused(credentials: Credentials) -> None:
    with pytest.raises(ConfigurationError, match="a space or a line break") as caught:
        next(handshake("auto", credentials))
    assert "cret" not in str(caught.value)
