"""Logging in by SASL, as the binary protocol carries it (``memcached -S``), without any I/O.

Strategy: the server says which mechanisms it has, and the strongest that is known here is used:
SCRAM, which sends no password and makes the server prove that it knows it, before PLAIN, which
sends it as it is (over TLS, nobody else sees it). A server that says "done" before the mechanism
is satisfied is not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from secrets import token_urlsafe
from typing import Final

from cenote.connection.credentials import Credentials
from cenote.connection.login import Login
from cenote.connection.scram import Mechanism, prepared, scram
from cenote.errors import AuthenticationFailed, CenoteError, ProtocolError, UnknownCommand
from cenote.protocol import Reply, binary
from cenote.protocol.replies import SaslReply


def sasl_login(credentials: Credentials) -> Login:
    """Log in to a server that was started with ``-S``.

    Raises:
        AuthenticationFailed: The server does not know this user, or not this password; it has no
            mechanism that is known here, or does not prove what the mechanism asks of it.
        CenoteError: The server answered with another error, which is raised as it is.
    """
    (offered,) = yield (binary.sasl_mechanisms(),)
    name = _chosen(offered)
    mechanism = MECHANISMS[name](credentials)
    (reply,) = yield (binary.sasl_auth(name, next(mechanism)),)
    while (answer := _step(reply)).step == "more":
        (reply,) = yield (binary.sasl_step(name, _next(mechanism, answer.data)),)
    if answer.step == "refused":
        raise AuthenticationFailed(
            f"the server refused user {credentials.user!r} or the password ({name}): compare them "
            "with its SASL database (saslpasswd2), the realm included"
        )
    if not _is_satisfied(mechanism, answer.data):
        raise AuthenticationFailed(f"the server ended {name} before it had proved anything")


def check_sasl(credentials: Credentials) -> None:
    """Refuse what SASL can not say.

    Raises:
        ConfigurationError: It can not be said; the message does not repeat it.
    """
    prepared("user name", credentials.user)
    prepared("password", credentials.password)


def _plain(credentials: Credentials) -> Mechanism:
    yield f"\0{credentials.user}\0{credentials.password}".encode()


def _scram(digest: str, credentials: Credentials) -> Mechanism:
    return scram(credentials.user, credentials.password, digest, token_urlsafe(18))


MECHANISMS: Final[Mapping[str, Callable[[Credentials], Mechanism]]] = {
    "SCRAM-SHA-256": partial(_scram, "sha256"),
    "SCRAM-SHA-1": partial(_scram, "sha1"),
    "PLAIN": _plain,
}
"""What is known here, the strongest first."""


def _chosen(offered: Reply) -> str:
    if isinstance(offered, UnknownCommand):
        raise AuthenticationFailed(
            "the server does not log in anybody (it runs without memcached -S): leave username and "
            "password out"
        ) from offered
    if isinstance(offered, CenoteError):
        raise offered
    names = str(offered).split()
    for name in MECHANISMS:
        if name in names:
            return name
    raise AuthenticationFailed(
        f"the server logs in by {', '.join(names) or 'nothing'}, and here {', '.join(MECHANISMS)} "
        "are known: add one to mech_list in its SASL configuration"
    )


def _step(reply: Reply) -> SaslReply:
    if isinstance(reply, CenoteError):
        raise reply
    if not isinstance(reply, SaslReply):
        raise ProtocolError(f"the server answered a step of its login with {type(reply).__name__}")
    return reply


def _next(mechanism: Mechanism, said: bytes) -> bytes:
    """Return what the mechanism says to what the server says."""
    try:
        return mechanism.send(said)
    except StopIteration:
        raise AuthenticationFailed("the server asks for more than its mechanism has") from None


def _is_satisfied(mechanism: Mechanism, said: bytes) -> bool:
    """Tell whether the mechanism is at its end, the server's last words included."""
    try:
        return not mechanism.send(said)
    except StopIteration:
        return True
