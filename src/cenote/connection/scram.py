"""SCRAM (RFC 5802, RFC 7677), as messages: both sides prove that they know the password.

Strategy: the password never leaves. The server's salt and count make a key of it; a proof made with
that key is sent, and the server answers with one that only somebody can make who has the key too.
Without that proof it is not believed. Pure: a generator of messages, given the server's.
"""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Generator
from typing import Final, TypeAlias

from cenote.errors import AuthenticationFailed, ConfigurationError

Mechanism: TypeAlias = Generator[bytes, bytes, None]
"""Yields what is to be said and is sent what the server says; ends when it is satisfied."""

FEWEST: Final = 4096
"""Iterations: with fewer, whoever listens could guess a password from its proof too cheaply."""

MOST: Final = 1_000_000
"""Iterations: they are computed at every connect, 300 ns each."""

_NOBODY: Final = b"n,,"  # no channel binding, and nobody else to act for
_FORBIDDEN: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def scram(user: str, password: str, digest: str, nonce: str) -> Mechanism:
    """Log in with a mechanism of the SCRAM family.

    Args:
        user: The user's name.
        password: The password.
        digest: The name of its hash, as ``hashlib`` has it: ``"sha256"``.
        nonce: Printable characters without a comma, never used before.

    Raises:
        AuthenticationFailed: The server did not answer by the rules, or could not prove that it
            knows the password.
    """
    name = prepared("user name", user).replace("=", "=3D").replace(",", "=2C")
    bare = f"n={name},r={nonce}".encode()
    server_first = yield _NOBODY + bare
    server_nonce, salt, iterations = _challenge(server_first, nonce.encode())
    without_proof = b"c=%b,r=%b" % (b64encode(_NOBODY), server_nonce)
    said = b"%b,%b,%b" % (bare, server_first, without_proof)
    secret = prepared("password", password).encode()
    salted = hashlib.pbkdf2_hmac(digest, secret, salt, iterations)
    server_final = yield b"%b,p=%b" % (without_proof, b64encode(_proof(salted, said, digest)))
    key = hmac.digest(salted, b"Server Key", digest)
    expected = b"v=" + b64encode(hmac.digest(key, said, digest))
    if not hmac.compare_digest(server_final.partition(b",")[0], expected):
        raise AuthenticationFailed(_refusal(server_final))
    yield b""  # some servers want to hear that we are satisfied, too


def _proof(salted: bytes, said: bytes, digest: str) -> bytes:
    key = hmac.digest(salted, b"Client Key", digest)
    signature = hmac.digest(hashlib.new(digest, key).digest(), said, digest)
    return bytes(ours ^ theirs for ours, theirs in zip(key, signature, strict=True))


def _challenge(server_first: bytes, nonce: bytes) -> tuple[bytes, bytes, int]:
    """Return the common nonce, the salt and how often to iterate."""
    fields = [field.partition(b"=") for field in server_first.split(b",")]
    if [name for name, _, _ in fields[:3]] != [b"r", b"s", b"i"]:
        raise AuthenticationFailed("SCRAM: the server did not answer with a challenge")
    (_, _, common), (_, _, salt), (_, _, count) = fields[:3]
    if not common.startswith(nonce) or len(common) == len(nonce):
        raise AuthenticationFailed("SCRAM: the server answered to somebody else's greeting")
    try:
        salted, iterations = b64decode(salt, validate=True), int(count)
    except (Error, ValueError):
        raise AuthenticationFailed("SCRAM: the server's challenge can not be read") from None
    if not FEWEST <= iterations <= MOST:
        raise AuthenticationFailed(
            f"SCRAM: the server asks for {iterations} iterations: {FEWEST} to {MOST} are done"
        )
    return common, salted, iterations


def _refusal(server_final: bytes) -> str:
    if server_final.startswith(b"e="):
        reason = server_final[2:].decode("utf-8", "backslashreplace")
        return f"SCRAM: the server refused the user or the password: {reason}"
    return "SCRAM: the server could not prove that it knows the password: it may not be yours"


def prepared(what: str, text: str) -> str:
    """Return a text in the one form in which it is compared (SASLprep, RFC 4013).

    Raises:
        ConfigurationError: It holds what such a text can not; the message does not repeat it.
    """
    kept = [" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)]
    text = unicodedata.normalize("NFKC", "".join(kept))
    if any(forbidden(c) for c in text for forbidden in _FORBIDDEN) or not _has_one_direction(text):
        raise ConfigurationError(
            f"the {what} holds characters that SASL does not allow (control characters, or both "
            "directions of writing): choose another"
        )
    return text


def _has_one_direction(text: str) -> bool:
    right_to_left = [stringprep.in_table_d1(c) for c in text]
    if not any(right_to_left):
        return True
    left_to_right = any(stringprep.in_table_d2(c) for c in text)
    return right_to_left[0] and right_to_left[-1] and not left_to_right
