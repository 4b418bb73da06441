"""Logging in by memcached's text protocol (``memcached -Y``), without any I/O.

Strategy: the first command a server with an authentication file takes is a ``set`` whose data is
the user and the password; key and expiry are not looked at. A server that does not ask for a
password would store them, so the expiry says that the item is gone already. Nothing is sent behind
it before it is answered: a server that refuses answers what came with it only in part.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, TypeAlias

from cenote.connection.credentials import Credentials
from cenote.errors import (
    AuthenticationFailed,
    CenoteError,
    ClientError,
    ConfigurationError,
    UnknownCommand,
)
from cenote.protocol import STORED, Reply, Request, store

Flight: TypeAlias = tuple[Request, ...]
Login: TypeAlias = Generator[Flight, Sequence[Reply], None]

_KEY: Final = b"cenote:login"
_EXPIRED: Final = -1


def text_login(credentials: Credentials) -> Login:
    """Log in to a server that was started with ``-Y``.

    Raises:
        AuthenticationFailed: The server does not know this user, or not this password.
        CenoteError: The server answered with another error, which is raised as it is.
    """
    data = f"{credentials.user} {credentials.password}".encode()
    (reply,) = yield (store("set", _KEY, data, 0, _EXPIRED),)
    if isinstance(reply, ClientError) and not isinstance(reply, UnknownCommand):
        raise AuthenticationFailed(
            f"the server refused user {credentials.user!r} or the password: compare them with its "
            "authentication file (memcached -Y)"
        )
    if isinstance(reply, CenoteError) and not isinstance(reply, UnknownCommand):
        raise reply
    if reply != STORED:
        raise AuthenticationFailed(
            f"the server neither took nor refused user {credentials.user!r}: it does not log in by "
            "memcached's text protocol (memcached -Y)"
        )


def check_text(credentials: Credentials) -> None:
    """Refuse what the text protocol can not say: the server ends both at a space or line break.

    Raises:
        ConfigurationError: It can not be said; the message does not repeat it.
    """
    for what, text in (("user name", credentials.user), ("password", credentials.password)):
        if any(character in text for character in " \r\n"):
            raise ConfigurationError(
                f"the {what} holds a space or a line break, which memcached's authentication file "
                "can not: choose another"
            )
