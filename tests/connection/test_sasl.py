"""Logging in by SASL, driven by hand: what is said, and which servers are not believed."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from cenote.connection import Credentials, sasl
from cenote.connection.handshake import Traits, handshake
from cenote.connection.scram import FEWEST, MOST, prepared, scram
from cenote.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ProtocolError,
    ServerError,
    UnknownCommand,
)
from cenote.protocol import Reply
from cenote.protocol.replies import OK, SaslReply

PENCIL = Credentials("user", "pencil")

# The examples of RFC 5802 (section 5) and RFC 7677 (section 3).
EXAMPLES = {
    "sha1": (
        "fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "sha256": (
        "rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        (
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        ),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


# SCRAM.


@pytest.mark.parametrize("digest", sorted(EXAMPLES))
def test_scram_says_what_the_standards_say(digest):
    nonce, challenge, proof, signature = EXAMPLES[digest]
    mechanism = scram("user", "pencil", digest, nonce)
    assert next(mechanism) == f"n,,n=user,r={nonce}".encode()
    assert mechanism.send(challenge) == proof
    assert mechanism.send(signature) == b""
    with pytest.raises(StopIteration):
        mechanism.send(b"")


def test_a_comma_in_a_name_ends_nothing():
    assert next(scram("a,b=c", "x", "sha1", "N")) == b"n,,n=a=2Cb=3Dc,r=N"


def challenged(challenge: bytes) -> None:
    mechanism = scram("user", "pencil", "sha256", "NONCE")
    next(mechanism)
    mechanism.send(challenge)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=NONCEx",
        b"r=NONCE,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=OTHERx,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=NONCEx,s=QSXCR+Q6sek8bf92,i=many",
        b"r=NONCEx,s=*,i=4096",
        b"s=QSXCR+Q6sek8bf92,r=NONCEx,i=4096",
        b"m=more,r=NONCEx,s=QSXCR+Q6sek8bf92,i=4096",
        b"e=other-error",
    ],
)
def test_a_challenge_that_is_none_is_not_answered(challenge):
    with pytest.raises(AuthenticationFailed, match="SCRAM"):
        challenged(challenge)


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1, MOST + 1, 10**9])
def test_a_server_can_ask_for_neither_too_little_work_nor_too_much(count):
    with pytest.raises(AuthenticationFailed, match="iterations"):
        challenged(b"r=NONCEx,s=QSXCR+Q6sek8bf92,i=%d" % count)


@pytest.mark.parametrize(
    ("final", "says"),
    [
        (b"v=" + b64encode(bytes(20)), "may not be yours"),
        (b"", "may not be yours"),
        (b"Authenticated", "may not be yours"),
        (b"e=invalid-proof", "invalid-proof"),
    ],
)
def test_a_server_that_does_not_know_the_password_is_not_believed(final, says):
    nonce, challenge, _, _ = EXAMPLES["sha1"]
    mechanism = scram("user", "pencil", "sha1", nonce)
    next(mechanism)
    mechanism.send(challenge)
    with pytest.raises(AuthenticationFailed, match=says):
        mechanism.send(final)


@pytest.mark.parametrize(
    ("text", "same"),
    [("I\u00adX", "IX"), ("user", "user"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_texts_that_look_alike_are_alike(text, same):
    """The examples of RFC 4013, section 3."""
    assert prepared("password", text) == same


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "\ud7ff\ue000", "\u0627a\u0627"])
def test_texts_that_sasl_does_not_allow_are_refused_and_not_repeated(text):
    with pytest.raises(ConfigurationError, match="choose another") as caught:
        sasl.check_sasl(Credentials("user", "s3cret" + text))
    assert "s3cret" not in str(caught.value)


# The conversation.


def log_in(*answers: Reply, credentials: Credentials = PENCIL) -> list[bytes]:
    """Answer each flight in turn; what was sent, without headers."""
    login = sasl.sasl_login(credentials)
    said = []
    flight = next(login)
    try:
        for answer in answers:
            [request] = flight
            said.append(request.payload[24:])
            flight = login.send((answer,))
    except StopIteration:
        return said
    raise AssertionError("the login wants to say more")


def test_plain_is_said_in_one_step():
    said = log_in("PLAIN", SaslReply("done", b"Authenticated"))
    assert said == [b"", b"PLAIN\0user\0pencil"]


def test_the_strongest_mechanism_is_used(monkeypatch):
    nonce, challenge, proof, signature = EXAMPLES["sha256"]
    monkeypatch.setattr(sasl, "token_urlsafe", lambda size: nonce)
    said = log_in(
        "PLAIN SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5",
        SaslReply("more", challenge),
        SaslReply("more", signature),
        SaslReply("done", b"Authenticated"),
    )
    assert said[1].startswith(b"SCRAM-SHA-256n,,n=user,r=")
    assert said[2:] == [b"SCRAM-SHA-256" + proof, b"SCRAM-SHA-256"]
    assert not any(b"pencil" in text for text in said)


def test_a_server_may_prove_itself_with_its_last_word(monkeypatch):
    nonce, challenge, _, signature = EXAMPLES["sha1"]
    monkeypatch.setattr(sasl, "token_urlsafe", lambda size: nonce)
    log_in("SCRAM-SHA-1", SaslReply("more", challenge), SaslReply("done", signature))


@pytest.mark.parametrize(
    "answers",
    [
        [SaslReply("done", b"Authenticated")],
        [SaslReply("done", EXAMPLES["sha1"][1])],
        [SaslReply("more", EXAMPLES["sha1"][1]), SaslReply("done", b"Authenticated")],
        [SaslReply("more", EXAMPLES["sha1"][1]), SaslReply("done", b"")],
    ],
    ids=["at-once", "with-a-challenge", "without-a-proof", "without-a-word"],
)
def test_a_server_that_is_done_before_it_has_proved_itself_is_not_believed(answers, monkeypatch):
    monkeypatch.setattr(sasl, "token_urlsafe", lambda size: EXAMPLES["sha1"][0])
    with pytest.raises(AuthenticationFailed):
        log_in("SCRAM-SHA-1", *answers)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["PLAIN", SaslReply("refused", b"Auth failure.")], "refused user 'user'"),
        (["PLAIN", SaslReply("more", b"more")], "asks for more"),
        (["CRAM-MD5 GSSAPI"], "CRAM-MD5, GSSAPI"),
        ([""], "logs in by nothing"),
        ([UnknownCommand("no")], "leave username and password out"),
    ],
)
def test_a_login_that_fails_says_why_and_not_with_what(answers, says):
    with pytest.raises(AuthenticationFailed, match=says) as caught:
        log_in(*answers)
    assert isinstance(caught.value, PermissionError)
    assert "pencil" not in str(caught.value)


@pytest.mark.parametrize("answers", [[ServerError("busy")], ["PLAIN", ServerError("busy")]])
def test_other_errors_are_raised_as_they_are(answers):
    with pytest.raises(ServerError, match="busy"):
        log_in(*answers)


def test_an_answer_that_is_no_step_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="a step of its login"):
        log_in("PLAIN", OK)


def test_each_login_has_a_nonce_of_its_own():
    nonces = set()
    for _ in range(20):
        login = sasl.sasl_login(PENCIL)
        next(login)
        [request] = login.send(("SCRAM-SHA-1",))
        nonces.add(request.payload.rpartition(b"r=")[2])
    assert len(nonces) == 20
    assert all(len(b64decode(nonce, altchars=b"-_")) >= 16 for nonce in nonces)


# The handshake around it.


def test_who_is_let_in_is_asked_whether_it_may_talk_and_to_what():
    steps = handshake("binary", PENCIL)
    next(steps)
    steps.send(("PLAIN",))
    version, noop = steps.send((SaslReply("done", b""),))
    assert (version.verb, noop.verb) == ("version", "noop")
    with pytest.raises(StopIteration) as done:
        steps.send(("1.6.18", OK))
    assert done.value.value == Traits(meta=False, version="1.6.18", binary=True)
    assert done.value.value.dialect == "binary"
    assert done.value.value.probe().verb == "noop"


def test_without_credentials_a_refusal_is_raised():
    steps = handshake("binary")
    next(steps)
    with pytest.raises(AuthenticationFailed, match="give username="):
        steps.send(("1.6.18", AuthenticationFailed("give username=")))
