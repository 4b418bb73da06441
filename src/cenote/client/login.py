"""Which credentials a client logs in with: from keywords, a callable, or a URL; as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cenote.connection import AnyCredentials, Credentials, check_login, is_coroutine_source
from cenote.errors import ConfigurationError

if TYPE_CHECKING:
    from cenote.connection import ProtocolChoice


def chosen(
    username: str | None, password: str | None, credentials: AnyCredentials | None
) -> AnyCredentials | None:
    """Return what ``username``, ``password`` and ``credentials`` come to.

    Raises:
        ConfigurationError: One is missing or too many. Nothing of them is repeated.
    """
    if username is None and password is None:
        return credentials
    if credentials is not None:
        raise ConfigurationError("give username and password, or credentials: not both")
    if username is None or password is None:
        missing = "username" if username is None else "password"
        raise ConfigurationError(f"{missing} is missing: username and password go together")
    return Credentials(username, password)


def check_credentials(credentials: object, protocol: ProtocolChoice) -> None:
    """Refuse what is no credentials, can not give any, or can not be said in the protocol.

    Raises:
        ConfigurationError: It is so. What it is is not repeated.
    """
    if isinstance(credentials, Credentials):
        check_login(protocol, credentials)
    elif credentials is not None and not callable(credentials):
        raise ConfigurationError(
            "credentials is a cenote.Credentials, or a callable that returns one: not "
            f"{type(credentials).__name__}"
        )


def check_blocking(credentials: AnyCredentials | None) -> None:
    """Refuse a coroutine function, which a blocking client can not ask.

    Raises:
        ConfigurationError: It is one.
    """
    if is_coroutine_source(credentials):
        raise ConfigurationError("credentials is a coroutine function: use AsyncClient")
